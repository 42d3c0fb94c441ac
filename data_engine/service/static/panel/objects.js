// The list of objects. A row is made anew only if what it says has changed.

import { CURRENT, lookOf } from "../canvas/sprites.js";

export class ObjectList {
  rows = new Map(); // by id

  constructor(list, count, onSelect) {
    Object.assign(this, { list, count, onSelect });
  }

  show(task) {
    const objects = task ? [...task.objects.values()] : [];
    for (const id of this.rows.keys()) if (!task?.objects.has(id)) this.drop(id);
    let before = null;
    for (const object of objects) before = this.place(object, object.id === task.current, before);
    this.count.textContent = objects.length;
    if (task && this.scrolledTo !== task.current) {
      this.rows.get(task.current)?.item.scrollIntoView({ block: "nearest" });
      this.scrolledTo = task.current;
    }
  }

  place(object, isCurrent, before) {
    const row = this.rows.get(object.id) ?? this.add(object.id, before);
    if (row.object !== object || row.isCurrent !== isCurrent) {
      Object.assign(row, { object, isCurrent });
      row.item.classList.toggle("current", isCurrent);
      row.item.classList.toggle("warned", Boolean(object.duplicate_of));
      row.swatch.style.background = `rgb(${isCurrent ? CURRENT : lookOf(object).colour})`;
      row.text.textContent = `Object ${object.id} · ${stateOf(object)}`;
    }
    return row.item;
  }

  add(id, before) {
    const [item, swatch, text] = ["li", "i", "span"].map((tag) => document.createElement(tag));
    item.append(swatch, text);
    item.addEventListener("click", () => this.onSelect(id));
    if (before) before.after(item);
    else this.list.prepend(item);
    const row = { item, swatch, text };
    this.rows.set(id, row);
    return row;
  }

  drop(id) {
    this.rows.get(id).item.remove();
    this.rows.delete(id);
  }
}

const VERDICTS = { accept: "accepted", correct: "corrected", reject: "rejected" };

function stateOf({ given, locked, verdict, mask, duplicate_of, prompts, strokes, predicted_iou }) {
  if (locked) return verdict === "reject" ? "rejected" : `found, ${Math.round(100 * predicted_iou)} %`;
  if (given) return VERDICTS[verdict] ?? "to judge";
  if (duplicate_of) return `same as ${duplicate_of}`;
  if (!mask) return "empty";
  const made = prompts.length + strokes;
  return `${made} ${made === 1 ? "action" : "actions"}`;
}
