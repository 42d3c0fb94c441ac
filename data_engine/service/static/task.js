// One image: its objects as the server knows them, and the actions on their way there.

import { colourOf, CURRENT, spriteOf } from "./sprites.js";

const IDLE_S = 120; // whoever does nothing for longer has left

export class Task {
  objects = new Map();
  highest = 0; // id so far: that of a deleted object is not used again
  queue = Promise.resolve();

  constructor(connection, data, picture) {
    this.connection = connection;
    this.picture = picture;
    this.key = data.key;
    this.width = data.width;
    this.height = data.height;
    this.layer = new OffscreenCanvas(data.width, data.height); // all masks but the current one
    this.apply(data);
    this.highest = Math.max(this.highest, data.current ?? 0);
    this.current = data.current ?? 1;
    this.started = this.last = performance.now(); // of work on this object; of the last action
    this.paintLayer();
  }

  get object() {
    return this.objects.get(this.current);
  }

  get nextId() {
    return this.highest + 1;
  }

  // Sends an action after those before it; resolves when it is stored and shown.
  act(kind, { coords = [], label = null, radius = null, object = this.current } = {}) {
    const now = performance.now(), seconds = Math.min((now - this.last) / 1000, IDLE_S);
    this.last = now;
    const sent = this.queue.then(async () => {
      const message = { seq: this.seq, object, kind, seconds, coords, label, radius };
      const change = await this.connection.post(`/api/tasks/${this.key}/actions`, message);
      this.apply(change);
      return change;
    });
    this.queue = sent.catch(() => {});
    return sent;
  }

  async finish(state) {
    await this.queue;
    await this.connection.post(`/api/tasks/${this.key}/${state}`, { seq: this.seq });
  }

  renew() {
    return this.connection.post(`/api/tasks/${this.key}/lease`);
  }

  apply({ seq, can_undo, can_redo, objects }) {
    Object.assign(this, { seq, canUndo: can_undo, canRedo: can_redo });
    for (const object of objects) {
      this.highest = Math.max(this.highest, object.id);
      if (object.prompts.length + object.strokes) this.objects.set(object.id, object);
      else this.objects.delete(object.id);
    }
  }

  select(id) {
    this.current = id;
    this.started = performance.now();
    this.paintLayer();
  }

  sprite(object) {
    const isCurrent = object.id === this.current;
    if (object.sprite === undefined || object.painted !== isCurrent) {
      object.sprite = object.mask && spriteOf(object.mask, isCurrent ? CURRENT : colourOf(object.id));
      object.painted = isCurrent;
    }
    return object.sprite;
  }

  paintLayer() {
    const context = this.layer.getContext("2d");
    context.clearRect(0, 0, this.width, this.height);
    for (const object of this.objects.values()) {
      if (object.id === this.current) continue;
      const sprite = this.sprite(object);
      if (sprite) context.drawImage(sprite.canvas, sprite.x, sprite.y);
    }
  }
}
