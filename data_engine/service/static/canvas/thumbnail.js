// A mask small, with the part of the image around it.

export function thumbnail(canvas, picture, sprite, side) {
  const pixels = Math.round(side * (window.devicePixelRatio || 1));
  Object.assign(canvas, { width: pixels, height: pixels });
  const { x, y, width, height } = frameOf(sprite, picture);
  const context = canvas.getContext("2d"), scale = pixels / Math.max(width, height);
  const left = pixels / 2 - scale * (x + width / 2), top = pixels / 2 - scale * (y + height / 2);
  context.setTransform(scale, 0, 0, scale, left, top);
  context.drawImage(picture, 0, 0);
  sprite.drawOn(context, Math.max(1, 2 ** Math.floor(-Math.log2(scale))));
}

// The mask with a margin; all of the image if it has no pixel.
function frameOf({ x, y, width, height }, picture) {
  if (!width) return { x: 0, y: 0, width: picture.width, height: picture.height };
  const margin = 0.15 * Math.max(width, height) + 2;
  return { x: x - margin, y: y - margin, width: width + 2 * margin, height: height + 2 * margin };
}
