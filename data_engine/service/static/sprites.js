// Masks as small pictures, made once: panning and zooming only copy them.

import { bitmapOf } from "./rle.js";

export const CURRENT = [53, 200, 245];

// Neighbouring ids get hues far apart.
export function colourOf(id) {
  const hue = (id * 137.508) % 360, part = (n) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (0.6 - 0.38 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [part(0), part(8), part(4)];
}

export function spriteOf(rle, [red, green, blue]) {
  const { x, y, width, height, bits } = bitmapOf(rle);
  if (!width) return null;
  const picture = new ImageData(width, height), data = picture.data;
  for (let row = 0, at = 0; row < height; row++) {
    for (let column = 0; column < width; column++, at++) {
      if (!bits[at]) continue;
      const inside = row > 0 && column > 0 && row < height - 1 && column < width - 1
        && bits[at - 1] && bits[at + 1] && bits[at - width] && bits[at + width];
      data.set([red, green, blue, inside ? 105 : 255], 4 * at);
    }
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return { x, y, width, height, canvas };
}
