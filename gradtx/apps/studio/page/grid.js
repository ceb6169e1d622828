/* A surface on a grid of points: its values, heights from 0 to 1, and contour lines. */
"use strict";

const Grid = (() => {
  /* {values (rows from low to high w2), columns, rows, view}. */
  function sample(value, view, columns, rows) {
    const [x0, x1, y0, y1] = view, values = new Float64Array(columns * rows);
    for (let j = 0; j < rows; j += 1)
      for (let i = 0; i < columns; i += 1)
        values[j * columns + i] = value(x0 + ((x1 - x0) * i) / (columns - 1), y0 + ((y1 - y0) * j) / (rows - 1));
    return { values, columns, rows, view };
  }

  /* The height of an error: ((E - low) / (high - low))^power, with the power that puts the median half way up. So the
     levels show the bottom of a bowl and of Rosenbrock's valley alike. If even that would show nothing, as for e^e^w,
     the height is the fraction of points below. `kind` is "even" for this, "soft" for half the bend, or "linear". */
  const LEAST_POWER = 0.2;

  function scaleOf(values, kind) {
    const sorted = Float64Array.from(values.filter(Number.isFinite)).sort();
    if (!sorted.length) return null;
    const at = (part) => sorted[Math.round(part * (sorted.length - 1))];
    const low = sorted[0];
    // Very large values at a pole would flatten the rest.
    const high = at(1) - low > 50 * (at(0.98) - low) && at(0.98) > low ? at(0.98) : at(1);
    const span = high - low, flat = !(span > 0);
    if (flat) return { low, high, flat, height: () => 0.5, error: () => low };
    const even = Math.min(Math.log(0.5) / Math.log((at(0.5) - low) / span), 1);
    const power = { even, soft: Math.sqrt(even), linear: 1 }[kind];
    if (Number.isFinite(span) && (even >= LEAST_POWER || kind === "linear"))
      return {
        low,
        high,
        flat,
        height: (e) => Math.min(Math.max((e - low) / span, 0), 1) ** power,
        error: (t) => low + span * t ** (1 / power),
      };
    return { low, high: at(1), flat, height: (e) => below(sorted, e), error: at };
  }

  /* The fraction of sorted numbers below e, by bisection. */
  function below(sorted, e) {
    let [from, to] = [0, sorted.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (sorted[middle] < e) from = middle + 1;
      else to = middle;
    }
    return Math.min(from / (sorted.length - 1 || 1), 1);
  }

  /* The same grid with heights, NaN where the error is not finite. */
  const heights = (grid, scale) => ({
    ...grid,
    values: grid.values.map((e) => (Number.isFinite(e) ? scale.height(e) : NaN)),
  });

  // Corners of a cell: lower left, lower right, upper right, upper left; an edge joins two, in the order of the grid.
  const PLACES = [[0, 0], [1, 0], [1, 1], [0, 1]], EDGES = [[0, 1], [1, 2], [3, 2], [0, 3]];

  /* The lines values = level, each a list of [x, y] in grid units. Cells with a corner that is not finite have none. */
  function contour(grid, level) {
    const { values, columns, rows } = grid, crossings = new Map(), next = new Map();
    const join = (a, b) => {
      for (const [from, to] of [[a, b], [b, a]]) next.has(from) ? next.get(from).push(to) : next.set(from, [to]);
    };
    for (let j = 0; j < rows - 1; j += 1)
      for (let i = 0; i < columns - 1; i += 1) {
        const k = j * columns + i;
        const corners = [values[k], values[k + 1], values[k + columns + 1], values[k + columns]];
        const above = corners.map((x) => x >= level);
        if (above[0] === above[1] && above[1] === above[2] && above[2] === above[3]) continue;
        if (!corners.every(Number.isFinite)) continue;
        const cut = EDGES.flatMap(([a, b]) => {
          if (above[a] === above[b]) return [];
          const [dx, dy] = PLACES[a], upright = PLACES[b][0] === dx;
          const t = (level - corners[a]) / (corners[b] - corners[a]);
          const id = 2 * ((j + dy) * columns + i + dx) + (upright ? 1 : 0); // neighbouring cells share it
          crossings.set(id, [i + dx + (upright ? 0 : t), j + dy + (upright ? t : 0)]);
          return [id];
        });
        // At a saddle, the middle of the cell decides which corners are connected.
        const middle = (corners[0] + corners[1] + corners[2] + corners[3]) / 4 >= level;
        if (cut.length === 4 && middle !== above[0]) cut.unshift(cut.pop());
        for (let n = 0; n < cut.length; n += 2) join(cut[n], cut[n + 1]);
      }
    return chains(next).map((ids) => ids.map((id) => crossings.get(id)));
  }

  /* Neighbours joined to lines: first the open lines from their ends, then the rings. */
  function chains(next) {
    const found = [];
    const follow = (start) => {
      const line = [start];
      for (let here = start, there; (there = next.get(here).pop()) !== undefined; here = there) {
        const back = next.get(there);
        back.splice(back.indexOf(here), 1);
        line.push(there);
      }
      found.push(line);
    };
    for (const [id, list] of next) if (list.length === 1) follow(id);
    for (const [id, list] of next) while (list.length) follow(id);
    return found;
  }

  /* The value between the points of the grid; not finite if one of the four is not. */
  function between({ values, columns, rows }, x, y) {
    const i = Math.min(Math.max(Math.floor(x), 0), columns - 2), j = Math.min(Math.max(Math.floor(y), 0), rows - 2);
    const a = x - i, b = y - j, k = j * columns + i;
    return (
      (values[k] * (1 - a) + values[k + 1] * a) * (1 - b) +
      (values[k + columns] * (1 - a) + values[k + columns + 1] * a) * b
    );
  }

  return { sample, scaleOf, heights, contour, between };
})();
