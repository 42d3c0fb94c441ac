// The mask that a click under the cursor would give, asked for before anybody clicks: shown where
// the click would begin an object. One that refines an object is then answered at once, too.

import { hasPixel } from "../canvas/rle.js";
import { CURRENT, Sprite } from "../canvas/sprites.js";

const REST_MS = 40; // the cursor stands still for so long before the server is asked

export class Hover {
  isOn = true;
  sprite = null;
  place = null; // under the cursor, in image pixels
  asking = null; // what cancels the question on its way: there is never more than one

  constructor(connection, onChange) {
    this.connection = connection;
    this.onChange = onChange;
  }

  // The cursor is at a place where a click would begin or refine an object; null: it is not.
  move(task, place, crop) {
    clearTimeout(this.timer);
    if (!place || !this.isOn) return this.clear();
    Object.assign(this, { task, place, crop });
    if (this.mask && !this.covers(this.mask)) this.show(null);
    this.timer = setTimeout(() => this.ask(), REST_MS);
  }

  clear() {
    clearTimeout(this.timer);
    this.asking?.abort();
    this.place = null;
    this.show(null);
  }

  async ask() {
    this.isAskedAgain = Boolean(this.asking);
    if (this.asking) return;
    const { task, crop, place: { x, y } } = this, { signal } = (this.asking = new AbortController());
    const begins = !task.object || task.object.locked, object = begins ? task.nextId : task.current;
    const message = { object, kind: "point", coords: [x, y], label: 1 };
    if (crop) message.crop = crop;
    const answer = await this.connection.ask(`/api/tasks/${task.key}/preview`, message, signal);
    this.asking = null;
    if (!this.place) return;
    if (begins && !signal.aborted) this.show(answer?.mask && this.covers(answer.mask) ? answer.mask : null);
    if (this.isAskedAgain) await this.ask();
  }

  // An answer about a place that the cursor has left still holds if its mask is under it.
  covers(mask) {
    return hasPixel(mask, Math.floor(this.place.x), Math.floor(this.place.y));
  }

  show(mask) {
    if (mask === this.mask) return;
    this.mask = mask;
    this.sprite = mask && new Sprite(mask, { colour: CURRENT, inside: "striped" });
    this.onChange();
  }
}
