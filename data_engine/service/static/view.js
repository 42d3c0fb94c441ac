// Where the image lies on the screen, and drawing it there.

export class View {
  scale = 1;
  x = 0; // of the image's corner, in canvas pixels
  y = 0;

  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
  }

  fit(width, height) {
    const { clientWidth, clientHeight } = this.canvas;
    this.scale = 0.96 * Math.min(clientWidth / width, clientHeight / height);
    this.x = (clientWidth - width * this.scale) / 2;
    this.y = (clientHeight - height * this.scale) / 2;
  }

  zoom(factor, at = { x: this.canvas.clientWidth / 2, y: this.canvas.clientHeight / 2 }) {
    const scale = Math.min(64, Math.max(0.02, this.scale * factor));
    this.x = at.x - (at.x - this.x) * (scale / this.scale);
    this.y = at.y - (at.y - this.y) * (scale / this.scale);
    this.scale = scale;
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
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
