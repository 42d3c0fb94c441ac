// Masks as small pictures, made once: drawing only copies them.

import { bitmapOf } from "./rle.js";

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

export function spriteOf(rle, { colour, inside = "plain" }) {
  const { x, y, width, height, bits } = bitmapOf(rle);
  const canvas = new OffscreenCanvas(width || 1, height || 1);
  if (!width) return { x, y, width, height, canvas };
  const picture = new ImageData(width, height), pixels = new Uint32Array(picture.data.buffer);
  const thick = Math.max(1, Math.round(Math.max(...rle.size) / 1500)); // as wide on large images
  const shade = (opacity) => ((opacity << 24) | (colour[2] << 16) | (colour[1] << 8) | colour[0]) >>> 0;
  const edge = shade(EDGE), fill = shade(INSIDE), pale = shade(inside === "empty" ? 0 : STRIPE);
  const isPale = { plain: () => false, empty: () => true, striped: (n) => Math.floor(n / (4 * thick)) % 2 };
  const pick = isPale[inside];
  for (let row = 0, at = 0; row < height; row++) {
    const isEdgeRow = row < thick || row >= height - thick;
    for (let column = 0; column < width; column++, at++) {
      if (!bits[at]) continue;
      const isInside = !isEdgeRow && column >= thick && column < width - thick
        && bits[at - thick] && bits[at + thick] && bits[at - thick * width] && bits[at + thick * width];
      pixels[at] = isInside ? (pick(x + column + y + row) ? pale : fill) : edge;
    }
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return { x, y, width, height, canvas };
}
