// The mouse on the canvas: presses, drags, and moving and zooming the image.

const WHEEL = 400; // pixels of the wheel that zoom by e

// `take` says what to do: press, move, release, select, leave, and moved for the view.
export function listenToPointer(canvas, view, take) {
  const place = (event) => view.toImage({ x: event.offsetX, y: event.offsetY });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerdown", (event) => {
    canvas.focus();
    canvas.setPointerCapture(event.pointerId);
    if (take.isGrabbing() || event.button === 1) return;
    if (event.shiftKey) return take.select(place(event));
    const background = event.button === 2 || event.altKey;
    take.press(place(event), { background, since: event.timeStamp });
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons && (take.isGrabbing() || event.buttons & 4)) {
      view.pan(event.movementX, event.movementY);
      take.moved();
    }
    const steps = event.getCoalescedEvents();
    take.move(place(event), steps.length ? steps.map(place) : [place(event)]);
  });
  canvas.addEventListener("pointerup", () => take.release());
  canvas.addEventListener("pointercancel", () => take.release());
  canvas.addEventListener("pointerleave", () => take.leave());
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.shiftKey) view.pan(-event.deltaX - event.deltaY, 0);
    else view.zoom(Math.exp(-event.deltaY / WHEEL), { x: event.offsetX, y: event.offsetY });
    take.moved();
  }, { passive: false });
}
