// The masks that the model answers to one click, to choose from.

import { CURRENT, Sprite } from "../canvas/sprites.js";
import { thumbnail } from "../canvas/thumbnail.js";

const SIDE = 68; // screen pixels

export class Candidates {
  shown = null; // object

  constructor(place, onChoose) {
    Object.assign(this, { place, onChoose });
  }

  show(task) {
    const object = task?.object;
    if (object && object === this.shown) return;
    this.shown = object;
    const candidates = object?.candidates ?? [];
    if (candidates.length > 1) this.place.replaceChildren(...candidates.map((one, n) => this.button(task, one, n)));
    else this.place.replaceChildren(whatNow(task));
  }

  button(task, { segmentation, predicted_iou }, number) {
    const button = document.createElement("button"), canvas = document.createElement("canvas");
    thumbnail(canvas, task.picture, new Sprite(segmentation, { colour: CURRENT }), SIDE);
    button.append(canvas, `${number + 1} · ${Math.round(100 * predicted_iou)} %`);
    button.setAttribute("aria-pressed", number === task.object.chosen);
    button.addEventListener("click", () => this.onChoose(number));
    return button;
  }
}

function whatNow(task) {
  if (!task) return "";
  const { object } = task;
  if (object?.locked) return object.verdict === "reject"
    ? "Rejected. X takes that back; a click begins a new object."
    : "Found by the detector. X rejects it if it is wrong; a click begins a new object.";
  if (object?.given && !object.verdict) return "Is this mask right? A accepts, X rejects; clicks or the brush correct it.";
  if (object?.verdict) return "A accepts it, X rejects it, clicks or the brush correct it. Z takes back what you did.";
  if (object) return "More clicks refine the mask. N begins the next object.";
  return "Click on an object, or drag a box.";
}
