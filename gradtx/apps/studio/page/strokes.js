/* Lines from dark to bright with their dashes, and markers. */
"use strict";

const Strokes = (() => {
  function line(g, points) {
    g.beginPath();
    points.forEach(([x, y], i) => (i ? g.lineTo(x, y) : g.moveTo(x, y)));
    g.stroke();
  }
  const segment = (g, x0, y0, x1, y1) => line(g, [[x0, y0], [x1, y1]]);

  /* Segments [x0, y0, x1, y1] that can be seen on any ground: a wide light line below a narrow dark one. */
  function outlined(g, [light, wide], [dark, narrow], ...segments) {
    for (const [colour, width] of [[light, wide], [dark, narrow]]) {
      [g.strokeStyle, g.lineWidth] = [colour, width];
      segments.forEach((ends) => segment(g, ...ends));
    }
  }
  /* A cross of two lines through a whole box. */
  const cross = (g, at, [a, b], light, dark) =>
    outlined(
      g, [light, 3], [dark, 1],
      [at.x(a), at.box.top, at.x(a), at.box.bottom], [at.box.left, at.y(b), at.box.right, at.y(b)],
    );

  /* The part of a segment inside a box, or null. A trajectory may end 1e90 pixels away. */
  function clipped([x0, y0], [x1, y1], { left, top, right, bottom }) {
    const [dx, dy] = [x1 - x0, y1 - y0];
    let [from, to] = [0, 1];
    for (const [p, q] of [[-dx, x0 - left], [dx, right - x0], [-dy, y0 - top], [dy, bottom - y0]]) {
      if (p === 0 ? q < 0 : p < 0 ? q / p > to : q / p < from) return null;
      if (p < 0) from = Math.max(from, q / p);
      else if (p > 0) to = Math.min(to, q / p);
    }
    return [[x0 + from * dx, y0 + from * dy], [x0 + to * dx, y0 + to * dy]];
  }

  const WIDTH = 2.2, SEAM = "rgba(12,18,28,0.42)";

  /* A path in pixels on a dark seam. `time(i)`, from 0 to 1, gives the brightness of the piece that ends at point i. */
  function path(g, points, style, time, box) {
    const pieces = [];
    let last = 0; // pieces of less than half a pixel are joined
    for (let i = 1; i < points.length; i += 1) {
      const length = Math.hypot(points[i][0] - points[last][0], points[i][1] - points[last][1]);
      if (i < points.length - 1 && length < 0.5) continue;
      const ends = clipped(points[last], points[i], box);
      const joins = pieces.length > 0 && pieces.at(-1).i === last;
      if (ends) pieces.push({ ends, joins, i, shade: Math.round(time(i) * 40) / 40 });
      last = i;
    }
    const stroke = (list) => {
      g.beginPath();
      list.forEach(({ ends: [p, q], joins }, k) => {
        if (!joins || !k) g.moveTo(...p);
        g.lineTo(...q);
      });
      g.stroke();
    };
    g.save();
    [g.strokeStyle, g.lineWidth] = [SEAM, WIDTH + 1.6];
    stroke(pieces);
    g.lineWidth = WIDTH;
    g.lineCap = style.dash.length ? "butt" : "round";
    g.setLineDash(style.dash);
    let gone = 0;
    for (let from = 0, to; from < pieces.length; from = to) {
      for (to = from; to < pieces.length && pieces[to].shade === pieces[from].shade; to += 1);
      const alike = pieces.slice(from, to);
      g.strokeStyle = style.at(alike[0].shade);
      g.lineDashOffset = -gone; // the dashes continue from the piece before
      stroke(alike);
      for (const { ends: [p, q] } of alike) gone += Math.hypot(q[0] - p[0], q[1] - p[1]);
    }
    g.restore();
  }

  /* Indices of points that are at least `gap` pixels of path apart. */
  function spaced(points, gap) {
    const found = [];
    let gone = 0;
    for (let i = 1; i < points.length; i += 1) {
      gone += Math.hypot(points[i][0] - points[i - 1][0], points[i][1] - points[i - 1][1]);
      if (gone < gap) continue;
      found.push(i);
      gone = 0;
    }
    return found;
  }

  const corners = (text) => text.split(", ").map((corner) => corner.split(" ").map(Number));
  const around = (count, size) =>
    Array.from({ length: count }, (_, k) => {
      const angle = (k * 2 * Math.PI) / count;
      return [size(k) * Math.sin(angle), -size(k) * Math.cos(angle)];
    });
  const SHAPES = {
    square: corners("-1 -1, 1 -1, 1 1, -1 1"),
    triangle: corners("0 -1.25, 1.15 0.85, -1.15 0.85"),
    down: corners("0 1.25, 1.15 -0.85, -1.15 -0.85"),
    diamond: corners("0 -1.4, 1.2 0, 0 1.4, -1.2 0"),
    cross: corners(
      "-1.2 -0.6, -0.6 -1.2, 0 -0.6, 0.6 -1.2, 1.2 -0.6, 0.6 0, 1.2 0.6, 0.6 1.2, 0 0.6, -0.6 1.2, -1.2 0.6, -0.6 0",
    ),
    plus: corners(
      "-0.45 -1.3, 0.45 -1.3, 0.45 -0.45, 1.3 -0.45, 1.3 0.45, 0.45 0.45, " +
        "0.45 1.3, -0.45 1.3, -0.45 0.45, -1.3 0.45, -1.3 -0.45, -0.45 -0.45",
    ),
    pentagon: around(5, () => 1.25),
    star: around(10, (k) => (k % 2 ? 0.6 : 1.45)),
  };

  function marker(g, shape, x, y, size, fill, edge, edgeWidth) {
    g.save();
    g.beginPath();
    if (shape === "circle") g.arc(x, y, size * 1.05, 0, 2 * Math.PI);
    else SHAPES[shape].forEach(([a, b], i) => g[i ? "lineTo" : "moveTo"](x + a * size, y + b * size));
    g.closePath();
    [g.fillStyle, g.strokeStyle, g.lineWidth] = [fill, edge, edgeWidth];
    g.fill();
    g.stroke();
    g.restore();
  }

  return { line, segment, outlined, cross, path, clipped, spaced, marker };
})();
