// All shortcuts in one table: what is shown is what works.

export const KEYS = [
  ["P B R E", "click, box, brush, eraser"],
  ["Right, Alt", "background; other brush"],
  ["1 2 3", "choose the mask"],
  ["N", "next object"],
  ["Z  Y", "undo, redo (also Ctrl)"],
  ["X, Del", "delete or reject it"],
  ["A", "accept it", "review"],
  ["⇧A ⇧X", "accept the rest; send back", "review"],
  ["Tab", "go through the objects"],
  ["⇧ click", "take the mask there"],
  ["F  0", "look at it; all of the image"],
  ["[ ]", "smaller, larger brush"],
  ["Arrows", "move the cross, ⇧: 1 px"],
  ["Enter", "press there, hold to drag"],
  ["Wheel + −", "zoom"],
  ["Space drag", "move the image"],
  ["H  V", "hide masks; no preview"],
  ["S  K", "save, skip the image"],
];

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function listen(commands) {
  window.addEventListener("keydown", (event) => {
    if (handle(event, commands)) event.preventDefault();
  });
  window.addEventListener("keyup", ({ key }) => {
    if (key === "Enter") commands.release();
    if (key === " ") commands.grab(false);
  });
}

// Whether the key meant something.
function handle(event, commands) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const arrow = ARROWS[key], isOnButton = event.target instanceof HTMLButtonElement;
  if (event.target instanceof HTMLInputElement && arrow) return false;
  if (isOnButton && ["Enter", " ", "Tab"].includes(key)) return false;
  if (event.metaKey || event.ctrlKey) return control(commands, key, event.shiftKey);
  if (arrow) commands.moveCross(arrow, event.shiftKey ? 1 : 12);
  else if (key === "Enter") event.repeat || commands.press({ background: event.altKey });
  else if (key === "Tab") commands.cycle(event.shiftKey ? -1 : 1);
  else if (event.shiftKey && commands.byShift[key]) event.repeat || commands.byShift[key]();
  else if (commands.byKey[key]) event.repeat && !"[]+-=".includes(key) || commands.byKey[key]();
  else return false;
  return true;
}

function control(commands, key, shift) {
  if (key === "z") commands.byKey[shift ? "y" : "z"]();
  else if (key === "y") commands.byKey.y();
  else return false;
  return true;
}

export function showKeys(list) {
  for (const [key, meaning, task] of KEYS) {
    const term = document.createElement("dt"), description = document.createElement("dd");
    term.textContent = key;
    description.textContent = meaning;
    if (task) term.dataset.only = description.dataset.only = task;
    list.append(term, description);
  }
}
