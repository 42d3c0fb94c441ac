// What is on the canvas: the image, the masks, and what the hand is doing.

const SINGLE_PIXELS = 6; // screen pixels of an image pixel, from which one looks at them

export function draw(view, task, hand, { masksShown, preview, cursor }) {
  const context = view.begin();
  if (!task) return;
  context.drawImage(task.picture, 0, 0);
  context.globalAlpha = view.scale < SINGLE_PIXELS ? 1 : 0.6; // the pixels under an edge show
  if (masksShown) {
    task.layer.drawOn(context);
    task.currentSprite()?.drawOn(context, view.step);
  }
  preview?.drawOn(context, view.step);
  context.globalAlpha = 1;
  drawPrompts(context, task.object?.prompts ?? [], view.scale);
  drawHand(context, hand, view.scale);
  if (cursor) drawCursor(context, hand, cursor, view.scale);
}

function drawPrompts(context, prompts, scale) {
  for (const { type, coords, label } of prompts) {
    if (type === "box") outline(context, coords, scale);
    else dot(context, coords, label ? "#5bd68a" : "#ff7b72", scale);
  }
}

function dot(context, [x, y], colour, scale) {
  context.beginPath();
  context.arc(x, y, 5.5 / scale, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.fill();
  context.lineWidth = 2 / scale;
  context.strokeStyle = "#fff";
  context.stroke();
}

function outline(context, [x0, y0, x1, y1], scale) {
  for (const [colour, width] of [["#000a", 4], ["#fff", 1.5]]) {
    context.strokeStyle = colour;
    context.lineWidth = width / scale;
    context.strokeRect(x0, y0, x1 - x0, y1 - y0);
  }
}

function drawHand(context, hand, scale) {
  if (hand.waiting) dot(context, hand.waiting.coords, hand.waiting.label ? "#5bd68a88" : "#ff7b7288", scale);
  if (hand.box) outline(context, hand.box, scale);
  if (!hand.stroke) return;
  const { coords, label, radius } = hand.stroke;
  context.strokeStyle = label ? "rgb(53 200 245 / 55%)" : "rgb(255 123 114 / 55%)";
  context.lineWidth = Math.max(1, 2 * radius);
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  context.moveTo(coords[0], coords[1]);
  for (let i = 0; i < coords.length; i += 2) context.lineTo(coords[i] + 0.01, coords[i + 1]);
  context.stroke();
}

function drawCursor(context, hand, { x, y }, scale) {
  const reach = hand.isBrush ? Math.max(0.5, hand.radius) : 9 / scale;
  context.lineWidth = 1.5 / scale;
  for (const [colour, extra] of [["#000", 1 / scale], ["#fff", 0]]) {
    context.strokeStyle = colour;
    context.beginPath();
    if (hand.isBrush) context.arc(x, y, reach + extra, 0, 2 * Math.PI);
    else if (hand.byKeyboard) {
      context.moveTo(x - reach, y + extra), context.lineTo(x + reach, y + extra);
      context.moveTo(x + extra, y - reach), context.lineTo(x + extra, y + reach);
    }
    context.stroke();
  }
}
