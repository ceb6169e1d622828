/* Lines dark to bright with their dashes, and markers. */
"use strict";

const Strokes = (() => {
  function line(g, points) {
    g.beginPath();
    points.forEach(([x, y], i) => (i ? g.lineTo(x, y) : g.moveTo(x, y)));
    g.stroke();
  }

  /* The piece of a segment inside a box, or null: a trajectory may go off by 1e90 pixels. */
  function clipped([x0, y0], [x1, y1], { left, top, right, bottom }) {
    const [dx, dy] = [x1 - x0, y1 - y0];
    let [from, to] = [0, 1];
    for (const [p, q] of [
      [-dx, x0 - left],
      [dx, right - x0],
      [-dy, y0 - top],
      [dy, bottom - y0],
    ]) {
      if (p === 0 ? q < 0 : p < 0 ? q / p > to : q / p < from) return null;
      if (p < 0) from = Math.max(from, q / p);
      else if (p > 0) to = Math.min(to, q / p);
    }
    return [
      [x0 + from * dx, y0 + from * dy],
      [x0 + to * dx, y0 + to * dy],
    ];
  }

  /* A path in pixels, dark to bright: `time(i)` of 0..1 colours the piece up to point i. A dark seam sets it off. */
  function path(g, points, style, time, box, { width = 2.2, seam = "rgba(12,18,28,0.42)" } = {}) {
    const segments = [];
    let last = 0; // pieces of less than half a pixel are gathered
    for (let i = 1; i < points.length; i += 1) {
      if (i < points.length - 1 && Math.hypot(points[i][0] - points[last][0], points[i][1] - points[last][1]) < 0.5)
        continue;
      const piece = clipped(points[last], points[i], box);
      if (piece)
        segments.push({
          piece,
          joins: segments.length > 0 && segments.at(-1).i === last,
          i,
          shade: Math.round(time(i) * 40) / 40,
        });
      last = i;
    }
    const stroke = (list) => {
      g.beginPath();
      list.forEach(({ piece: [p, q], joins }, k) => {
        if (!joins || !k) g.moveTo(...p);
        g.lineTo(...q);
      });
      g.stroke();
    };
    g.save();
    if (seam) {
      g.strokeStyle = seam;
      g.lineWidth = width + 1.6;
      stroke(segments);
    }
    g.lineWidth = width;
    g.lineCap = style.dash.length ? "butt" : "round";
    g.setLineDash(style.dash);
    let gone = 0;
    for (let from = 0, to; from < segments.length; from = to) {
      for (to = from; to < segments.length && segments[to].shade === segments[from].shade; to += 1);
      const alike = segments.slice(from, to);
      g.strokeStyle = style.at(alike[0].shade);
      g.lineDashOffset = -gone; // the dashes go on where the last piece ended
      stroke(alike);
      for (const {
        piece: [p, q],
      } of alike)
        gone += Math.hypot(q[0] - p[0], q[1] - p[1]);
    }
    g.restore();
  }

  /* Indices of points at least `gap` pixels of path apart. */
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

  const SHAPES = {
    square: [
      [-1, -1],
      [1, -1],
      [1, 1],
      [-1, 1],
    ],
    triangle: [
      [0, -1.25],
      [1.15, 0.85],
      [-1.15, 0.85],
    ],
    down: [
      [0, 1.25],
      [1.15, -0.85],
      [-1.15, -0.85],
    ],
    diamond: [
      [0, -1.4],
      [1.2, 0],
      [0, 1.4],
      [-1.2, 0],
    ],
    cross: [
      [-1.2, -0.6],
      [-0.6, -1.2],
      [0, -0.6],
      [0.6, -1.2],
      [1.2, -0.6],
      [0.6, 0],
      [1.2, 0.6],
      [0.6, 1.2],
      [0, 0.6],
      [-0.6, 1.2],
      [-1.2, 0.6],
      [-0.6, 0],
    ],
    plus: [
      [-0.45, -1.3],
      [0.45, -1.3],
      [0.45, -0.45],
      [1.3, -0.45],
      [1.3, 0.45],
      [0.45, 0.45],
      [0.45, 1.3],
      [-0.45, 1.3],
      [-0.45, 0.45],
      [-1.3, 0.45],
      [-1.3, -0.45],
      [-0.45, -0.45],
    ],
    pentagon: Array.from({ length: 5 }, (_, k) => [
      1.25 * Math.sin((k * 2 * Math.PI) / 5),
      -1.25 * Math.cos((k * 2 * Math.PI) / 5),
    ]),
    star: Array.from({ length: 10 }, (_, k) =>
      [Math.sin((k * Math.PI) / 5), -Math.cos((k * Math.PI) / 5)].map((x) => x * (k % 2 ? 0.6 : 1.45)),
    ),
  };

  function marker(g, shape, x, y, size, fill, edge = "rgba(12,18,28,0.85)", edgeWidth = 1.2) {
    g.save();
    g.beginPath();
    if (shape === "circle") g.arc(x, y, size * 1.05, 0, 2 * Math.PI);
    else
      SHAPES[shape].forEach(([a, b], i) =>
        i ? g.lineTo(x + a * size, y + b * size) : g.moveTo(x + a * size, y + b * size),
      );
    g.closePath();
    g.fillStyle = fill;
    g.strokeStyle = edge;
    g.lineWidth = edgeWidth;
    g.fill();
    g.stroke();
    g.restore();
  }

  return { line, path, clipped, spaced, marker };
})();
