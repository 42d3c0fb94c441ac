// The parts around the canvas: candidates, objects, progress, hints.

import { frameOf, thumbnail } from "./draw.js";
import { colourOf, CURRENT, spriteOf } from "./sprites.js";

export const at = (id) => document.getElementById(id);
const LONG_S = 30; // on one mask: the paper's annotators went on to the next image

export function showTask(task, progress) {
  at("image-name").textContent = task ? task.key : "";
  const total = progress.open + progress.saved + progress.skipped;
  at("progress").textContent = `${progress.saved} of ${total} images saved`;
  at("message").hidden = Boolean(task);
  if (!task) at("message").textContent = "All images are done. Thank you.";
}

export function showObjects(task, onSelect) {
  at("undo").disabled = !task?.canUndo;
  at("redo").disabled = !task?.canRedo;
  at("delete").disabled = at("next").disabled = !task?.object;
  at("save").disabled = at("skip").disabled = !task;
  const objects = task ? [...task.objects.values()] : [];
  at("count").textContent = objects.length;
  at("objects").replaceChildren(...objects.map((object) => row(task, object, onSelect)));
  at("objects").querySelector(".current")?.scrollIntoView({ block: "nearest" });
  showCandidates(task);
}

function row(task, object, onSelect) {
  const item = document.createElement("li"), swatch = document.createElement("i");
  const isCurrent = object.id === task.current;
  item.classList.toggle("current", isCurrent);
  swatch.style.background = `rgb(${isCurrent ? CURRENT : colourOf(object.id)})`;
  const made = object.prompts.length + object.strokes;
  item.append(swatch, `Object ${object.id}`, ` · ${made} ${made === 1 ? "action" : "actions"}`, object.mask ? "" : " · empty");
  item.addEventListener("click", () => onSelect(object.id));
  return item;
}

function showCandidates(task) {
  const candidates = task?.object?.candidates ?? [];
  if (candidates.length < 2) {
    const text = task?.object ? "More clicks refine the mask." : "Click on an object, or drag a box.";
    at("candidates").replaceChildren(text);
    return;
  }
  const sprites = candidates.map((candidate) => spriteOf(candidate.segmentation, CURRENT));
  at("candidates").replaceChildren(...candidates.map((candidate, number) => {
    const button = document.createElement("button"), canvas = document.createElement("canvas");
    thumbnail(canvas, task.picture, sprites[number], frameOf(sprites[number], task));
    button.append(canvas, `${number + 1} · ${Math.round(100 * candidate.predicted_iou)} %`);
    button.setAttribute("aria-pressed", number === task.object.chosen);
    button.addEventListener("click", () => task.choose(number));
    return button;
  }));
}

export function showTime(task) {
  const seconds = task ? Math.floor((performance.now() - task.started) / 1000) : 0;
  const isLong = Boolean(task?.object) && seconds >= LONG_S;
  at("timer").textContent = `${seconds} s`;
  at("timer").classList.toggle("long", isLong);
  at("hint").hidden = !isLong;
  at("hint").textContent = `${LONG_S} s on this mask: keep what is good, or delete it (X), and save the image (S).`;
}

export function showConnection(connected) {
  at("connection").textContent = connected ? "connected" : "no connection";
  at("connection").classList.toggle("lost", !connected);
  show(connected ? "" : "The connection is lost. All but the last action is stored; the page goes on by itself when the server is back.");
}

export function show(sentence) {
  at("banner").hidden = !sentence;
  at("banner").textContent = sentence;
}
