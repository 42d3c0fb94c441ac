// The page: puts its parts together.

import { draw } from "./canvas/draw.js";
import { listenToPointer } from "./canvas/pointer.js";
import { View } from "./canvas/view.js";
import { Candidates } from "./panel/candidates.js";
import { listen, showKeys } from "./panel/keys.js";
import { ObjectList } from "./panel/objects.js";
import { at, say, showButtons, showMagnifier, showStored, showTask, showTime } from "./panel/panel.js";
import { Connection } from "./session/connection.js";
import { Hand } from "./session/hand.js";
import { Hover } from "./session/hover.js";
import { Magnifier } from "./session/magnifier.js";
import { Session } from "./session/session.js";

const canvas = at("canvas"), view = new View(canvas);
const connection = new Connection(tokenOfLink(), showState);
const hover = new Hover(connection, redraw), magnifier = new Magnifier(connection, showMagnifier);
const session = new Session(connection, magnifier, { opened, shown, say });
const hand = new Hand((kind, content) => session.act(kind, content));
const objects = new ObjectList(at("objects"), at("count"), (id) => session.select(id));
const candidates = new Candidates(at("candidates"), choose);
let masksShown = true, cursor = null, pressed = null, isGrabbed = false, isDrawn = true;

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
    const preview = hover.sprite ?? hand.preview;
    draw(view, session.task, hand, { masksShown, preview, cursor });
  });
}

function opened() {
  const { task } = session;
  hand.cancel();
  hover.clear();
  magnifier.look(task, null);
  if (task) view.fit(task.width, task.height);
  showTask(session);
  shown();
}

function shown() {
  objects.show(session.task);
  candidates.show(session.task);
  showButtons(session.task);
  showState();
  lookAhead();
  redraw();
}

function showState() {
  showStored(connection.connected, session?.task?.pending ?? 0);
}

function moved() {
  if (session.task) magnifier.look(session.task, view.visible(session.task));
  redraw();
}

function isInside({ x, y }) {
  return x >= 0 && y >= 0 && x <= session.task.width && y <= session.task.height;
}

// What a click at the cursor would give is asked for beforehand, but not where one was just made.
function lookAhead() {
  const { task } = session, isFree = session.isReady && !task.pending && !isGrabbed && !hand.isDown;
  const isThere = isFree && hand.tool === "point" && cursor && cursor !== pressed && isInside(cursor);
  hover.move(task, isThere ? cursor : null, isThere ? magnifier.cropOf([cursor.x, cursor.y]) : null);
}

function setTool(tool) {
  hand.cancel();
  hand.tool = tool;
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", button.dataset.tool === tool);
  }
  at("radius-label").style.visibility = hand.isBrush ? "visible" : "hidden";
  hover.clear();
  redraw();
}

function setRadius(radius) {
  hand.radius = Math.min(300, Math.max(0.5, Math.round(2 * radius) / 2));
  at("radius").value = hand.radius;
  at("radius-value").textContent = hand.radius;
  redraw();
}

function zoom(factor) {
  view.zoom(factor, hand.byKeyboard && cursor ? view.toScreen(cursor) : undefined);
  moved();
}

function choose(number) {
  const { task } = session;
  if (session.isReady && number < (task.object?.candidates.length ?? 0)) session.act("choose", { label: number });
}

const pointer = {
  isGrabbing: () => isGrabbed,
  moved,
  press(place, how) {
    hand.byKeyboard = false;
    cursor = pressed = place;
    if (!session.isReady) return;
    const inside = isInside(place);
    hand.preview = inside && !how.background ? hover.sprite : null; // until the click is answered
    hover.clear();
    hand.down(place, { ...how, inside });
    redraw();
  },
  move(place, steps) {
    hand.byKeyboard = false;
    cursor = place;
    for (const step of steps) hand.move(step);
    lookAhead();
    redraw();
  },
  release() {
    if (hand.isDown && session.task) hand.up(session.task);
    redraw();
  },
  leave() {
    cursor = null;
    hover.clear();
    redraw();
  },
  select: (place) => session.task && session.select(session.task.objectAt(place)?.id ?? session.task.nextId),
};

const commands = {
  byKey: {
    p: () => setTool("point"), b: () => setTool("box"), r: () => setTool("paint"), e: () => setTool("erase"),
    1: () => choose(0), 2: () => choose(1), 3: () => choose(2),
    z: () => session.isReady && session.task.canUndo && session.act("undo"),
    y: () => session.isReady && session.task.canRedo && session.act("redo"),
    x: () => session.remove(), Delete: () => session.remove(), a: () => accept(),
    n: () => session.task?.object && session.select(session.task.nextId),
    f: () => { const box = session.task?.currentSprite(); if (box?.width) { view.focus(box); moved(); } },
    s: () => session.finish("saved"), k: () => session.finish("skipped"),
    "[": () => setRadius(hand.radius / 1.25), "]": () => setRadius(Math.max(hand.radius * 1.25, hand.radius + 0.5)),
    "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8),
    0: () => { if (session.task) { view.fit(session.task.width, session.task.height); moved(); } },
    h: () => { masksShown = !masksShown; redraw(); },
    v: () => { hover.isOn = !hover.isOn; lookAhead(); say(hover.isOn ? "Previews are on." : "Previews are off (V)."); },
    " ": () => commands.grab(true),
    Escape: () => { hand.cancel(); redraw(); },
  },
  byShift: { a: () => session.judgeImage("accept"), x: () => session.judgeImage("reject") },
  moveCross([dx, dy], step) {
    if (!session.task) return;
    const middle = { x: canvas.clientWidth / 2, y: canvas.clientHeight / 2 };
    const place = view.toScreen(cursor ?? view.toImage(middle));
    hand.byKeyboard = true;
    cursor = view.toImage({ x: place.x + dx * step, y: place.y + dy * step });
    view.reveal(cursor);
    hand.move(cursor);
    lookAhead();
    redraw();
  },
  press(how) {
    if (!hand.byKeyboard || !cursor) return;
    pointer.press(cursor, { ...how, since: performance.now() });
    hand.byKeyboard = true;
  },
  release: () => hand.byKeyboard && pointer.release(),
  cycle(step) {
    const ids = session.task ? [...session.task.objects.keys()] : [];
    if (ids.length) session.select(ids.at((ids.indexOf(session.task.current) + step) % ids.length));
  },
  grab(on) {
    isGrabbed = on;
    canvas.style.cursor = on ? "grab" : hand.isBrush ? "none" : "crosshair";
  },
};

function accept() {
  if (session.isReady && session.task.object?.given) session.judge("accept");
}

async function start() {
  showKeys(at("keys"));
  listen(commands);
  listenToPointer(canvas, view, pointer);
  new ResizeObserver(redraw).observe(canvas);
  for (const button of document.querySelectorAll("button[data-key]")) {
    const { key, shift } = button.dataset;
    button.addEventListener("click", () => { (shift ? commands.byShift : commands.byKey)[key](); canvas.focus(); });
  }
  at("radius").addEventListener("input", (event) => setRadius(Number(event.target.value)));
  window.addEventListener("beforeunload", (event) => {
    if (session.task?.pending || hand.isDown) event.preventDefault(); // the browser asks
  });
  setTool("point");
  setInterval(() => showTime(session.task), 1000);
  setInterval(() => session.renew(), 5000);
  await session.attempt(async () => {
    const { name } = await connection.send("/api/annotator");
    at("who").textContent = name;
    at("accounting").href = `/accounting?token=${encodeURIComponent(connection.token)}`;
    await session.load();
  });
}

start();
