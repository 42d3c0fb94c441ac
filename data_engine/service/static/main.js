// The page: puts its parts together.

import { Connection, Refused } from "./connection.js";
import { draw } from "./draw.js";
import { Hand } from "./hand.js";
import { listen, showKeys } from "./keys.js";
import { at, show, showConnection, showObjects, showTask, showTime } from "./panel.js";
import { Task } from "./task.js";
import { View } from "./view.js";

const connection = new Connection(tokenOfLink(), showConnection);
const canvas = at("canvas"), view = new View(canvas), hand = new Hand(act);
let task = null, masksShown = true, cursor = null, grabbed = false, isDrawn = true;

// The token is in the part of the link that browsers do not send, and survives a reload.
function tokenOfLink() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) sessionStorage.setItem("token", given);
  history.replaceState(null, "", location.pathname);
  return sessionStorage.getItem("token") ?? "";
}

function redraw() {
  if (!isDrawn) return;
  isDrawn = false;
  requestAnimationFrame(() => {
    isDrawn = true;
    draw(view, task, hand, { masksShown, cursor });
  });
}

function refresh() {
  showObjects(task, select);
  redraw();
}

async function attempt(work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    show(error.message);
    setTimeout(() => connection.connected && show(""), 5000);
    if (["not_yours", "out_of_step"].includes(error.kind)) await load();
  }
}

async function load() {
  task = null;
  hand.cancel();
  const data = await connection.post("/api/task");
  if (data.key) {
    const picture = await connection.image(`/api/tasks/${data.key}/image`);
    task = new Task(connection, data, picture);
    task.choose = (label) => act("choose", { label });
    view.fit(task.width, task.height);
  }
  showTask(task, data.progress);
  refresh();
}

// Nothing new is begun while the connection is lost: what is not stored would only seem safe.
async function act(kind, content = {}) {
  if (!task || !connection.connected) return;
  const started = performance.now(), worked = task;
  await attempt(async () => {
    redraw();
    const { objects } = await worked.act(kind, content);
    const others = objects.some(({ id }) => id !== worked.current);
    if (others || kind === "delete") worked.select(objects.length === 1 && worked.objects.has(objects[0].id) ? objects[0].id : worked.current);
    if (kind === "delete") worked.select(worked.nextId);
    hand.waiting = null;
    refresh();
    requestAnimationFrame(() => performance.measure(`${kind} shown`, { start: started, end: performance.now() }));
  });
}

function select(id) {
  task.select(id);
  refresh();
}

async function finish(state) {
  if (!task || !connection.connected) return;
  const finished = task;
  await attempt(async () => {
    await finished.finish(state);
    await load();
  });
}

function setTool(tool) {
  hand.cancel();
  hand.tool = tool;
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", button.dataset.tool === tool);
  }
  at("radius-label").style.visibility = hand.isBrush ? "visible" : "hidden";
  redraw();
}

function setRadius(radius) {
  hand.radius = Math.min(100, Math.max(0.5, radius));
  at("radius").value = hand.radius;
  at("radius-value").textContent = hand.radius;
  redraw();
}

function zoom(factor, place) {
  view.zoom(factor, place);
  redraw();
}

function isInside({ x, y }) {
  return x >= 0 && y >= 0 && x <= task.width && y <= task.height;
}

function press(place, { background }) {
  if (!task || !connection.connected) return;
  hand.down(place, { background, inside: isInside(place) });
  redraw();
}

const commands = {
  byKey: {
    p: () => setTool("point"), b: () => setTool("box"), r: () => setTool("paint"), e: () => setTool("erase"),
    1: () => choose(0), 2: () => choose(1), 3: () => choose(2),
    z: () => task?.canUndo && act("undo"), y: () => task?.canRedo && act("redo"),
    x: () => task?.object && act("delete"), Delete: () => task?.object && act("delete"),
    n: () => task?.object && select(task.nextId),
    s: () => finish("saved"), k: () => finish("skipped"),
    "[": () => setRadius(hand.radius / 1.25), "]": () => setRadius(hand.radius * 1.25),
    "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8),
    0: () => task && (view.fit(task.width, task.height), redraw()),
    h: () => { masksShown = !masksShown; redraw(); },
    " ": () => commands.grab(true),
    Escape: () => { hand.cancel(); redraw(); },
  },
  moveCross([dx, dy], step) {
    if (!task) return;
    const middle = { x: canvas.clientWidth / 2, y: canvas.clientHeight / 2 };
    const place = view.toScreen(cursor ?? view.toImage(middle));
    hand.byKeyboard = true;
    cursor = view.toImage({ x: place.x + dx * step, y: place.y + dy * step });
    hand.move(cursor);
    redraw();
  },
  press: (how) => hand.byKeyboard && cursor && press(cursor, how),
  release: () => { if (hand.isDown && hand.byKeyboard) { hand.up(task); redraw(); } },
  cycle(step) {
    const ids = task ? [...task.objects.keys()] : [];
    if (ids.length) select(ids[(ids.indexOf(task.current) + step + ids.length) % ids.length]);
  },
  grab(on) {
    grabbed = on;
    canvas.style.cursor = on ? "grab" : hand.isBrush ? "none" : "crosshair";
  },
};

function choose(number) {
  if (number < (task?.object?.candidates.length ?? 0)) act("choose", { label: number });
}

function listenToPointer() {
  const place = (event) => view.toImage({ x: event.offsetX, y: event.offsetY });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    hand.byKeyboard = false;
    cursor = place(event);
    if (!grabbed && event.button !== 1) press(cursor, { background: event.button === 2 || event.altKey });
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons && (grabbed || event.buttons & 4)) view.pan(event.movementX, event.movementY);
    hand.byKeyboard = false;
    cursor = place(event);
    for (const step of event.getCoalescedEvents()) hand.move(place(step));
    redraw();
  });
  canvas.addEventListener("pointerup", () => { if (hand.isDown) { hand.up(task); redraw(); } });
  canvas.addEventListener("pointerleave", () => { cursor = null; redraw(); });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.shiftKey) { view.pan(-event.deltaX - event.deltaY, 0); redraw(); }
    else zoom(Math.exp(-event.deltaY / 400), { x: event.offsetX, y: event.offsetY });
  }, { passive: false });
}

async function start() {
  showKeys(at("keys"));
  listen(commands);
  listenToPointer();
  new ResizeObserver(redraw).observe(canvas);
  for (const button of document.querySelectorAll("button[data-key]")) {
    button.addEventListener("click", () => { commands.byKey[button.dataset.key](); canvas.focus(); });
  }
  at("radius").addEventListener("input", (event) => setRadius(Number(event.target.value)));
  setTool("point");
  setInterval(() => showTime(task), 1000);
  setInterval(() => task && connection.connected && attempt(() => task.renew()), 5000);
  await attempt(async () => {
    const { name } = await (await connection.send("/api/annotator")).json();
    at("who").textContent = name;
    await load();
  });
}

start();
