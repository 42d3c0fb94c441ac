// The pointer, or the keyboard in its place, as clicks, boxes and strokes in image pixels.

const MAX_COORDS = 30_000; // of one message

export class Hand {
  tool = "point";
  radius = 8;
  byKeyboard = false;
  box = null; // being dragged
  stroke = null; // being drawn
  waiting = null; // a click that is not answered yet
  preview = null; // of its mask

  constructor(act) {
    this.act = act;
  }

  get isBrush() {
    return this.tool === "paint" || this.tool === "erase";
  }

  get isDown() {
    return this.start !== undefined;
  }

  // `since` is when the finger went down, in milliseconds.
  down(place, { background = false, inside, since }) {
    if (this.isBrush) {
      const label = (this.tool === "paint") !== background ? 1 : 0;
      this.stroke = { coords: [place.x, place.y], label, radius: this.radius };
    } else if (this.tool === "point") {
      if (inside) this.click([place.x, place.y], background ? 0 : 1, since);
      return;
    }
    this.start = place;
  }

  click(coords, label, since) {
    const waiting = (this.waiting = { coords, label });
    this.act("point", { coords, label, since }).finally(() => {
      if (this.waiting === waiting) this.waiting = this.preview = null;
    });
  }

  move(place) {
    if (!this.isDown) return;
    if (this.stroke) this.stroke.coords.push(place.x, place.y);
    else if (this.tool === "box") this.box = corners(this.start, place);
  }

  // `size` is of the image: a box ends at its edges.
  up({ width, height }) {
    const { box, stroke } = this;
    this.cancel();
    if (stroke) this.paint(stroke);
    if (!box) return;
    const clip = (value, most) => Math.min(Math.max(value, 0), most);
    const [x0, y0, x1, y1] = box.map((value, i) => clip(value, i % 2 ? height : width));
    if (x1 - x0 >= 1 && y1 - y0 >= 1) this.act("box", { coords: [x0, y0, x1, y1] });
  }

  // A stroke is shown until the server has painted it; a very long one is sent in parts.
  async paint(stroke) {
    this.stroke = stroke;
    const coords = thinned(stroke.coords), parts = [];
    do parts.push(coords.splice(0, MAX_COORDS)); while (coords.length);
    await Promise.all(parts.map((part, number) => {
      const joined = number ? [...parts[number - 1].slice(-2), ...part] : part;
      return this.act("brush", { ...stroke, coords: joined });
    }));
    if (this.stroke === stroke) this.stroke = null;
  }

  cancel() {
    this.start = undefined;
    this.box = this.stroke = null;
  }
}

function corners(a, b) {
  return [Math.min(a.x, b.x), Math.min(a.y, b.y), Math.max(a.x, b.x), Math.max(a.y, b.y)];
}

// Leaves out points that fall into the pixel of the one before; the painted pixels are the same.
function thinned(coords) {
  const kept = [];
  for (let i = 0; i < coords.length; i += 2) {
    const x = Math.floor(coords[i]) + 0.5, y = Math.floor(coords[i + 1]) + 0.5;
    if (x !== kept.at(-2) || y !== kept.at(-1)) kept.push(x, y);
  }
  return kept;
}
