// Where the image lies on the screen, and drawing it there.

const MIN_SCALE = 0.02, MAX_SCALE = 64; // screen pixels of an image pixel

export class View {
  scale = 1;
  x = 0; // of the image's corner, in canvas pixels
  y = 0;

  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
  }

  // How many pixels of the image, a power of two, are at least one of the screen.
  get step() {
    const scale = this.scale * (window.devicePixelRatio || 1);
    return scale < 1 ? 2 ** Math.floor(-Math.log2(scale)) : 1;
  }

  fit(width, height) {
    const { clientWidth, clientHeight } = this.canvas;
    this.scale = 0.96 * Math.min(clientWidth / width, clientHeight / height);
    this.x = (clientWidth - width * this.scale) / 2;
    this.y = (clientHeight - height * this.scale) / 2;
  }

  // Brings a box of the image into the middle, with as much around it on each side.
  focus({ x, y, width, height }) {
    const { clientWidth, clientHeight } = this.canvas;
    this.scale = Math.min(clientWidth / width / 3, clientHeight / height / 3, MAX_SCALE);
    this.x = clientWidth / 2 - (x + width / 2) * this.scale;
    this.y = clientHeight / 2 - (y + height / 2) * this.scale;
  }

  // The part of an image that is on the screen, XYXY; null if there is none of it.
  visible({ width, height }) {
    const { clientWidth, clientHeight } = this.canvas;
    const first = this.toImage({ x: 0, y: 0 }), last = this.toImage({ x: clientWidth, y: clientHeight });
    const part = [Math.max(0, first.x), Math.max(0, first.y), Math.min(width, last.x), Math.min(height, last.y)];
    return part[0] < part[2] && part[1] < part[3] ? part : null;
  }

  zoom(factor, at = { x: this.canvas.clientWidth / 2, y: this.canvas.clientHeight / 2 }) {
    const scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, this.scale * factor));
    this.x = at.x - (at.x - this.x) * (scale / this.scale);
    this.y = at.y - (at.y - this.y) * (scale / this.scale);
    this.scale = scale;
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
  }

  // Moves the image until a place of it is on the screen.
  reveal(place) {
    const { x, y } = this.toScreen(place), { clientWidth, clientHeight } = this.canvas;
    this.pan(Math.min(Math.max(x, 0), clientWidth) - x, Math.min(Math.max(y, 0), clientHeight) - y);
  }

  toImage({ x, y }) {
    return { x: (x - this.x) / this.scale, y: (y - this.y) / this.scale };
  }

  toScreen({ x, y }) {
    return { x: this.x + x * this.scale, y: this.y + y * this.scale };
  }

  // Clears the canvas and sets it to image coordinates.
  begin() {
    const ratio = window.devicePixelRatio || 1, { canvas, context } = this;
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    const scale = this.scale * ratio;
    context.setTransform(scale, 0, 0, scale, this.x * ratio, this.y * ratio);
    context.imageSmoothingEnabled = this.scale < 2; // single pixels show when they are large
    return context;
  }
}
