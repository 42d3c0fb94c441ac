// Masks as pictures, made once: drawing only copies them.

import { boxOf, runsOf, spansOf } from "./rle.js";

export const CURRENT = [53, 200, 245];
const ACCEPTED = [91, 214, 138], CORRECTED = [255, 200, 87], REJECTED = [255, 123, 114], UNJUDGED = [240, 240, 240];
const INSIDE = 105, EDGE = 255, STRIPE = 40; // opacity of 255

// How an object looks among the others. What a look says stands in the list in words, too.
export function lookOf({ id, given, locked, verdict }) {
  if (verdict === "reject") return { colour: REJECTED, inside: "empty" };
  if (locked) return { colour: colourOf(id), inside: "striped" };
  if (!given) return { colour: colourOf(id) };
  return { colour: { accept: ACCEPTED, correct: CORRECTED }[verdict] ?? UNJUDGED };
}

// Neighbouring ids get hues far apart; none gets that of the mask in hand.
export function colourOf(id) {
  const free = (id * 114.59) % 300, hue = free < 165 ? free : free + 60, part = (n) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (0.6 - 0.38 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [part(0), part(8), part(4)];
}

// The picture of a mask, of the box around it: made when it is first drawn, kept for the next time.
//
// Runs of an RLE go down the columns, and so do the pixels here: a run is filled at once. The
// canvas is turned over its diagonal when it is drawn. Zoomed out, a pixel stands for `step` x
// `step` of the image and is shown if any of them is foreground, so nothing thin is lost.
export class Sprite {
  canvas = null; // of the step that was drawn last

  constructor(rle, look) {
    const runs = runsOf(rle.counts), [height, width] = rle.size;
    Object.assign(this, { size: rle.size, runs, look, ...boxOf(runs, height, width) });
  }

  get pixels() {
    return this.width * this.height;
  }

  // Draws it where it lies in the image, in image coordinates.
  drawOn(context, step = 1) {
    const [x, y] = [this.x, this.y].map((value) => step * Math.floor(value / step));
    if (this.width) drawTurned(context, this.at(step), { step, x, y });
  }

  at(step) {
    if (this.step !== step) Object.assign(this, { step, canvas: this.painted(step) });
    return this.canvas;
  }

  painted(step) {
    const { colour, inside } = this.look, [height] = this.size;
    const { rows, columns } = spansOf(this.runs, height, this, step);
    const thick = Math.max(1, Math.round(Math.max(...this.size) / 1500 / step)); // as wide on large images
    const shade = (opacity) => ((opacity << 24) | (colour[2] << 16) | (colour[1] << 8) | colour[0]) >>> 0;
    const picture = new ImageData(rows, columns.length), pixels = new Uint32Array(picture.data.buffer);
    const edge = shade(EDGE), stripes = new Uint32Array(rows + 8 * thick).fill(shade(inside === "empty" ? 0 : INSIDE));
    if (inside === "striped") for (let n = 0; n < stripes.length; n++) if (Math.floor(n / (4 * thick)) % 2) stripes[n] = shade(STRIPE);
    const origin = Math.floor(this.x / step) + Math.floor(this.y / step);
    columns.forEach((spans, column) => {
      const start = column * rows;
      for (let n = 0; n < spans.length; n += 2) pixels.fill(edge, start + spans[n], start + spans[n + 1]);
      const sides = meet(columns[column - thick] ?? [], columns[column + thick] ?? []);
      const within = meet(inset(spans, thick), sides);
      for (let n = 0; n < within.length; n += 2) {
        const phase = (origin + column + within[n]) % (8 * thick);
        pixels.set(stripes.subarray(phase, phase + within[n + 1] - within[n]), start + within[n]);
      }
    });
    const canvas = new OffscreenCanvas(rows, columns.length);
    canvas.getContext("2d").putImageData(picture, 0, 0);
    return canvas;
  }
}

// Draws a picture whose rows are the columns of the image, each pixel `step` wide.
export function drawTurned(context, picture, { step = 1, x = 0, y = 0 } = {}) {
  context.save();
  context.transform(0, step, step, 0, x, y);
  context.drawImage(picture, 0, 0);
  context.restore();
}

// Spans without so many pixels at each end.
function inset(spans, thick) {
  const kept = [];
  for (let n = 0; n < spans.length; n += 2) {
    if (spans[n] + thick < spans[n + 1] - thick) kept.push(spans[n] + thick, spans[n + 1] - thick);
  }
  return kept;
}

// What lies in spans of both: start, stop, start, stop, ..., ascending.
function meet(a, b) {
  const both = [];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const start = Math.max(a[i], b[j]), stop = Math.min(a[i + 1], b[j + 1]);
    if (start < stop) both.push(start, stop);
    if (a[i + 1] < b[j + 1]) i += 2;
    else j += 2;
  }
  return both;
}
