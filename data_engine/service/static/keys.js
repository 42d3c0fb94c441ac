// All shortcuts in one table: what is shown is what works.

export const KEYS = [
  ["P B R E", "click, box, brush, eraser"],
  ["Right, Alt", "background; other brush"],
  ["1 2 3", "choose the mask"],
  ["N", "next object"],
  ["Z  Y", "undo, redo (also Ctrl)"],
  ["X, Del", "delete the object"],
  ["Tab", "go through the objects"],
  ["[ ]", "smaller, larger brush"],
  ["Arrows", "move the cross, Shift: 1 px"],
  ["Enter", "press there, hold to drag"],
  ["Wheel + −", "zoom; 0 fits"],
  ["Space drag", "move the image"],
  ["H", "hide the masks"],
  ["S  K", "save, skip the image"],
];

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function listen(commands) {
  window.addEventListener("keydown", (event) => {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const arrow = ARROWS[key];
    if (event.target instanceof HTMLInputElement && arrow) return;
    if (event.target instanceof HTMLButtonElement && (key === "Enter" || key === " ")) return;
    let handled = true;
    if (event.metaKey || event.ctrlKey) handled = control(commands, key, event.shiftKey);
    else if (arrow) commands.moveCross(arrow, event.shiftKey ? 1 : 12);
    else if (key === "Enter") event.repeat || commands.press({ background: event.altKey });
    else if (key === "Tab" && !(event.target instanceof HTMLButtonElement)) commands.cycle(event.shiftKey ? -1 : 1);
    else if (commands.byKey[key]) event.repeat && !"[]+-=".includes(key) || commands.byKey[key]();
    else handled = false;
    if (handled) event.preventDefault();
  });
  window.addEventListener("keyup", (event) => {
    if (event.key === "Enter") commands.release();
    if (event.key === " ") commands.grab(false);
  });
}

function control(commands, key, shift) {
  if (key === "z") commands.byKey[shift ? "y" : "z"]();
  else if (key === "y") commands.byKey.y();
  else return false;
  return true;
}

export function showKeys(list) {
  for (const [key, meaning] of KEYS) {
    const term = document.createElement("dt"), description = document.createElement("dd");
    term.textContent = key;
    description.textContent = meaning;
    list.append(term, description);
  }
}
