// COCO's compressed run lengths: columns first, background first, as the server sends masks.

export function runsOf(counts) {
  const runs = [];
  let place = 0;
  while (place < counts.length) {
    let value = 0, shift = 0, code;
    do {
      code = counts.charCodeAt(place++) - 48;
      value |= (code & 0x1f) << shift;
      shift += 5;
    } while (code & 0x20);
    if (code & 0x10) value |= -1 << shift;
    if (runs.length > 2) value += runs[runs.length - 2]; // stored as a difference
    runs.push(value);
  }
  return runs;
}

// For each column of the box, where its foreground starts and stops: start, stop, start, stop, ...
// ascending, from the top of the box. With a `step`, rows and columns are so many pixels wide.
export function spansOf(runs, height, box, step = 1) {
  const left = Math.floor(box.x / step), top = Math.floor(box.y / step);
  const count = box.width ? Math.ceil((box.x + box.width) / step) - left : 0;
  const rows = box.width ? Math.ceil((box.y + box.height) / step) - top : 0;
  const columns = Array.from({ length: count }, () => []);
  let place = 0;
  for (let i = 0; i + 1 < runs.length; i += 2) {
    place += runs[i];
    const stop = place + runs[i + 1];
    while (place < stop) {
      const x = Math.floor(place / height), y = place - x * height, length = Math.min(stop - place, height - y);
      columns[Math.floor(x / step) - left].push(Math.floor(y / step) - top, Math.ceil((y + length) / step) - top);
      place += length;
    }
  }
  return { rows, columns: step > 1 ? columns.map(joined) : columns };
}

// Spans in any order, which may overlap, as spans that do not.
function joined(spans) {
  const order = Array.from({ length: spans.length / 2 }, (_, n) => 2 * n).sort((a, b) => spans[a] - spans[b]);
  const kept = [];
  for (const n of order) {
    if (kept.length && spans[n] <= kept.at(-1)) kept[kept.length - 1] = Math.max(kept.at(-1), spans[n + 1]);
    else kept.push(spans[n], spans[n + 1]);
  }
  return kept;
}

export function boxOf(runs, height, width) {
  let left = width, right = -1, top = height, bottom = -1, place = 0;
  for (let i = 0; i + 1 < runs.length; i += 2) {
    place += runs[i];
    if (!runs[i + 1]) continue;
    const last = place + runs[i + 1] - 1;
    const x0 = Math.floor(place / height), x1 = Math.floor(last / height);
    left = Math.min(left, x0);
    right = Math.max(right, x1);
    top = Math.min(top, x0 === x1 ? place % height : 0);
    bottom = Math.max(bottom, x0 === x1 ? last % height : height - 1);
    place = last + 1;
  }
  if (right < 0) return { x: 0, y: 0, width: 0, height: 0 };
  return { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
}

export function areaOf(runs) {
  let area = 0;
  for (let i = 1; i < runs.length; i += 2) area += runs[i];
  return area;
}

// Whether the pixel belongs to the mask.
export function hasPixel({ size: [height, width], counts }, x, y) {
  if (x < 0 || y < 0 || x >= width || y >= height) return false;
  const runs = runsOf(counts);
  let left = x * height + y, number = 0;
  while (number < runs.length && left >= runs[number]) left -= runs[number++];
  return number % 2 === 1 && number < runs.length;
}
