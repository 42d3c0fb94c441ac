// One image and what is to be done to it: its objects as the server knows them, and the actions
// on their way there.

import { MaskLayer } from "../canvas/layer.js";
import { CURRENT, lookOf, Sprite } from "../canvas/sprites.js";

const IDLE_S = 120; // whoever does nothing for longer has left

export class Task {
  objects = new Map();
  highest = 0; // id so far: that of a deleted object is not used again
  pending = 0; // actions that are not stored yet
  queue = Promise.resolve();

  constructor(connection, data, picture) {
    this.connection = connection;
    this.picture = picture;
    const { key, kind, phase, width, height, rule } = data;
    Object.assign(this, { key, kind: kind ?? "annotate", phase, width, height, rule });
    this.layer = new MaskLayer(width, height);
    this.apply(data);
    this.highest = Math.max(this.highest, data.current ?? 0);
    this.select(data.current ?? this.unjudged[0]?.id ?? this.nextId);
    this.last = performance.now(); // action
  }

  get isReview() {
    return this.kind === "review";
  }

  get object() {
    return this.objects.get(this.current);
  }

  get nextId() {
    return this.highest + 1;
  }

  // The objects of a review about which nothing is said yet.
  get unjudged() {
    if (!this.isReview || this.imageVerdict) return [];
    return [...this.objects.values()].filter(({ given, verdict }) => given && !verdict);
  }

  // Sends an action after those before it; resolves when it is stored and shown.
  act(kind, { coords = [], label = null, radius = null, crop = null, object = this.current } = {}) {
    const now = performance.now(), seconds = Math.min((now - this.last) / 1000, IDLE_S);
    this.last = now;
    this.pending++;
    const sent = this.queue.then(async () => {
      const message = { seq: this.seq, object, kind, seconds, coords, label, radius };
      if (crop) message.crop = crop;
      const change = await this.connection.post(`/api/tasks/${this.key}/actions`, message);
      this.apply(change);
      return change;
    }).finally(() => this.pending--);
    this.queue = sent.catch(() => {});
    return sent;
  }

  async finish(state) {
    await this.queue;
    await this.connection.post(`/api/tasks/${this.key}/${state}`, { seq: this.seq });
  }

  renew() {
    return this.connection.post(`/api/tasks/${this.key}/lease`, {}, 5000);
  }

  apply({ seq, can_undo, can_redo, image_verdict = null, objects }) {
    Object.assign(this, { seq, canUndo: can_undo, canRedo: can_redo, imageVerdict: image_verdict });
    for (const object of objects) {
      this.highest = Math.max(this.highest, object.id);
      const isThere = object.given || object.prompts.length + object.strokes;
      if (isThere) this.objects.set(object.id, object);
      else this.objects.delete(object.id);
      this.layer.set(object.id, isThere ? object.mask : null, lookOf(object));
    }
  }

  select(id) {
    this.current = id;
    this.started = performance.now(); // of the work on this object
    this.layer.hide(id);
  }

  // The picture of the mask in hand, made when it is first shown.
  currentSprite() {
    const { object } = this;
    if (!object?.mask) return null;
    const look = object.verdict === "reject" ? { ...lookOf(object), colour: CURRENT } : { colour: CURRENT };
    return (object.sprite ??= new Sprite(object.mask, look));
  }

  // The smallest object whose mask has this pixel.
  objectAt(place) {
    return this.objects.get(this.layer.idAt(Math.floor(place.x), Math.floor(place.y)));
  }
}
