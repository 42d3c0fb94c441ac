// Zoomed in, the part in view is encoded on its own, so that the model sees small objects.

const REST_MS = 400; // the view stands still for so long before the server is asked

export class Magnifier {
  crop = null; // XYXY in image pixels; null: the model sees the whole image
  isAsking = false;

  constructor(connection, onChange) {
    this.connection = connection;
    this.onChange = onChange;
  }

  // `view` (XYXY) is what is on the screen.
  look(task, view) {
    clearTimeout(this.timer);
    const isAll = !view || view[2] - view[0] > task.width / 2 || view[3] - view[1] > task.height / 2;
    if (isAll) return this.show(null);
    if (this.crop && !contains(this.crop, view)) this.show(null);
    this.timer = setTimeout(() => this.ask(task, view), REST_MS);
  }

  async ask(task, view) {
    const { signal } = (this.asking = new AbortController());
    this.show(this.crop, true);
    const answer = await this.connection.ask(`/api/tasks/${task.key}/crop`, { crop: view }, signal);
    if (!signal.aborted) this.show(answer?.crop ?? null);
  }

  // The part that a prompt is answered on: that in view, if it holds all of the prompt.
  cropOf(coords) {
    return this.crop && contains(this.crop, [...coords.slice(0, 2), ...coords.slice(-2)]) ? this.crop : null;
  }

  show(crop, isAsking = false) {
    if (!isAsking) this.asking?.abort();
    Object.assign(this, { crop, isAsking });
    this.onChange(this);
  }
}

function contains([x0, y0, x1, y1], part) {
  return part[0] >= x0 && part[1] >= y0 && part[2] <= x1 && part[3] <= y1;
}
