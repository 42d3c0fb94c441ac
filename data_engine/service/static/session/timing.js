// Notes in the browser's performance timeline how long something took until it was on the screen.

export function noteShown(name, since) {
  // The frame after next's work begins when the next is painted.
  requestAnimationFrame(() => setTimeout(() => {
    performance.measure(name, { start: since, end: performance.now() });
  }));
}
