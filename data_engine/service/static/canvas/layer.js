// All masks but the one in hand as a single bitmap. Panning and zooming only copy it; where a mask
// changes, the box around it is painted anew. Like sprites it is turned over its diagonal.

import { areaOf, hasPixel } from "./rle.js";
import { drawTurned, Sprite } from "./sprites.js";

const KEPT_PIXELS = 40_000_000; // of sprites: those used last stay for the next painting

export class MaskLayer {
  masks = new Map(); // by id: rle, look, box, area
  sprites = new Map(); // by id, the one used last at the end
  spritePixels = 0;
  hidden = null;
  dirty = null; // box

  constructor(width, height) {
    this.canvas = new OffscreenCanvas(height, width);
    this.context = this.canvas.getContext("2d");
  }

  // Adds or changes a mask; null takes it away.
  set(id, rle, look) {
    const before = this.masks.get(id);
    if (before && id !== this.hidden) this.soil(before.box);
    this.forget(id);
    if (!rle) return void this.masks.delete(id);
    const sprite = new Sprite(rle, look), { x, y, width, height } = sprite, box = { x, y, width, height };
    this.masks.set(id, { rle, look, box, area: areaOf(sprite.runs) });
    if (id !== this.hidden) this.soil(box);
  }

  // Leaves out the mask in hand: it is drawn over the others.
  hide(id) {
    for (const changed of [this.hidden, id]) {
      if (this.masks.has(changed)) this.soil(this.masks.get(changed).box);
    }
    this.hidden = id;
  }

  drawOn(context) {
    if (this.dirty) this.paint(this.dirty);
    this.dirty = null;
    drawTurned(context, this.canvas);
  }

  idAt(x, y) {
    let found = null;
    for (const [id, { rle, box, area }] of this.masks) {
      const isNear = x >= box.x && y >= box.y && x < box.x + box.width && y < box.y + box.height;
      if (!isNear || (found && area >= found.area)) continue;
      if (hasPixel(rle, x, y)) found = { id, area };
    }
    return found?.id;
  }

  soil(box) {
    this.dirty = this.dirty ? union(this.dirty, box) : box;
  }

  paint(part) {
    const { context } = this, { x, y, width, height } = part;
    context.save();
    context.beginPath();
    context.rect(y, x, height, width);
    context.clip();
    context.clearRect(y, x, height, width);
    for (const [id, { box }] of this.masks) {
      if (id !== this.hidden && meet(box, part)) context.drawImage(this.sprite(id).at(1), box.y, box.x);
    }
    context.restore();
  }

  sprite(id) {
    const { rle, look } = this.masks.get(id), sprite = this.sprites.get(id) ?? new Sprite(rle, look);
    this.forget(id);
    this.sprites.set(id, sprite);
    this.spritePixels += sprite.pixels;
    for (const old of this.sprites.keys()) {
      if (this.spritePixels <= KEPT_PIXELS || old === id) break;
      this.forget(old);
    }
    return sprite;
  }

  forget(id) {
    const sprite = this.sprites.get(id);
    if (sprite) this.spritePixels -= sprite.pixels;
    this.sprites.delete(id);
  }
}

function union(a, b) {
  const x = Math.min(a.x, b.x), y = Math.min(a.y, b.y);
  const right = Math.max(a.x + a.width, b.x + b.width), bottom = Math.max(a.y + a.height, b.y + b.height);
  return { x, y, width: right - x, height: bottom - y };
}

function meet(a, b) {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}
