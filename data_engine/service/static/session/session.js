// What an annotator does: takes a task, acts on its objects, judges them, saves.

import { Refused } from "./connection.js";
import { Task } from "./task.js";
import { noteShown } from "./timing.js";

const DRAWN = ["point", "box", "brush"];

export class Session {
  task = null;
  progress = {};
  state = "loading"; // then "open", "done", or a sentence about why there is no task

  // `screen` has shown() for what changed, opened() for a new task, and say(sentence).
  constructor(connection, magnifier, screen) {
    Object.assign(this, { connection, magnifier, screen });
  }

  get isReady() {
    return Boolean(this.task) && this.connection.connected;
  }

  async load() {
    this.task = null;
    this.state = "loading";
    this.screen.opened();
    const data = await this.connection.post("/api/task", {}, 120_000);
    const picture = data.key && await this.connection.image(`/api/tasks/${data.key}/image`);
    this.task = data.key ? new Task(this.connection, data, picture) : null;
    this.progress = data.progress;
    this.state = this.task ? "open" : "done";
    this.screen.opened();
  }

  // Nothing new is begun while the connection is lost; what was begun before it is kept and sent.
  async act(kind, { since = performance.now(), ...content } = {}) {
    const { task } = this;
    if (!task) return;
    if (DRAWN.includes(kind)) {
      if (task.object?.locked) task.select(task.nextId);
      if (kind !== "brush") content.crop = this.magnifier.cropOf(content.coords);
    }
    this.screen.say("");
    const acted = task.act(kind, content);
    this.screen.shown();
    await this.attempt(async () => {
      const { objects } = await acted;
      if (task !== this.task) return;
      if (kind === "delete" && !task.object) task.select(task.nextId);
      if (["undo", "redo"].includes(kind)) this.takeUp(objects);
      this.screen.shown();
      noteShown(`${kind} shown`, since);
    });
  }

  // What was undone or redone is in hand again.
  takeUp([{ id }, ...others]) {
    const { task } = this;
    if (!others.length && task.objects.has(id) && task.current !== id && !task.pending) task.select(id);
  }

  // A verdict on the given object in hand. A review goes on to the next one without a verdict.
  async judge(verdict) {
    const { task } = this, isTaken = task.object.verdict === verdict && verdict === "reject";
    await this.act(isTaken && !task.isReview ? "accept" : verdict);
    if (task.isReview && task === this.task) this.selectUnjudged();
  }

  async judgeImage(verdict) {
    if (this.isReady && this.task.isReview) await this.act(verdict, { object: 0 });
  }

  // A given object cannot be deleted, only rejected.
  async remove() {
    if (!this.isReady || !this.task.object) return;
    if (this.task.object.given) await this.judge("reject");
    else await this.act("delete");
  }

  selectUnjudged() {
    const { unjudged, current } = this.task;
    const next = unjudged.find(({ id }) => id > current) ?? unjudged[0];
    if (next) this.select(next.id);
  }

  select(id) {
    if (!this.task || id === this.task.current) return;
    this.task.select(id);
    this.screen.shown();
  }

  async finish(state) {
    if (!this.isReady) return;
    const since = performance.now(), { unjudged, object } = this.task, missing = unjudged.length;
    if (missing && state === "saved") {
      if (!unjudged.includes(object)) this.selectUnjudged();
      return this.screen.say(`${missing} ${missing === 1 ? "object has" : "objects have"} no verdict yet: accept (A), correct or reject (X).`);
    }
    await this.attempt(async () => {
      await this.task.finish(state);
      await this.load();
      noteShown("image shown", since);
    });
  }

  async renew() {
    if (this.isReady && !this.task.pending) await this.attempt(() => this.task.renew());
  }

  stop(sentence) {
    Object.assign(this, { task: null, state: sentence });
    this.screen.opened();
  }

  // Says what the server refuses, and shows its state where the page has another.
  async attempt(work) {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.kind === "unknown") return this.stop(error.message);
      if (this.state === "loading") return this.stop(`${error.message}. Reload the page to try again.`);
      this.screen.say(error.message);
      if (["not_yours", "out_of_step"].includes(error.kind)) await this.attempt(() => this.load());
    }
  }
}
