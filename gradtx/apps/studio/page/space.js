/* The surface in space, as pieces to be painted: faces, and trajectories that lie on it. */
"use strict";

const Space = (() => {
  const TALL = 1.1; // height of the box, against half its width

  /* (x, y, z), each of -1..1, to {x, y, depth} on the screen. */
  function camera([turn, tilt], width, height) {
    const [a, b] = [turn, tilt].map((degrees) => (degrees * Math.PI) / 180);
    const size = Math.min((width - 72) / 2.83, (height - 56) / 2.6); // the box in every position, and its labels
    return (x, y, z) => {
      const [across, along] = [x * Math.cos(a) - y * Math.sin(a), x * Math.sin(a) + y * Math.cos(a)];
      return {
        x: width / 2 + size * across,
        y: height / 2 - size * (along * Math.sin(b) + z * TALL * Math.cos(b)),
        depth: along * Math.cos(b) - z * TALL * Math.sin(b),
      };
    };
  }

  function faces({ grid, scale, shade }, project) {
    const { values, columns, rows } = grid,
      corners = [];
    for (let j = 0; j < rows; j += 1)
      for (let i = 0; i < columns; i += 1) {
        const e = values[j * columns + i];
        const [x, y] = [(2 * i) / (columns - 1) - 1, (2 * j) / (rows - 1) - 1];
        corners.push(
          Number.isFinite(e)
            ? { ...project(x, y, scale.height(e) - 0.5), t: scale.height(e), tone: shade.height(e) }
            : null,
        );
      }
    const found = [];
    for (let j = 0; j < rows - 1; j += 1)
      for (let i = 0; i < columns - 1; i += 1) {
        const k = j * columns + i,
          four = [corners[k], corners[k + 1], corners[k + columns + 1], corners[k + columns]];
        if (four.includes(null)) continue; // a hole where the error is not finite
        const tone = (four[0].tone + four[1].tone + four[2].tone + four[3].tone) / 4; // as in the contours
        // Light from the left: faces that rise to the right are brighter.
        const light = Math.max(-0.16, Math.min(0.16, 1.1 * (four[0].t + four[3].t - four[1].t - four[2].t)));
        const colour = Colour.ground(tone).map((x) => Math.round(Math.min(255, Math.max(0, x * (1 + light)))));
        found.push({
          depth: (four[0].depth + four[1].depth + four[2].depth + four[3].depth) / 4,
          paint: face(four, Colour.css(colour), Colour.css(colour.map((x) => Math.round(x * 0.9)))),
        });
      }
    return found;
  }

  /* `edge` draws the grid, and closes the seams between faces. */
  const face = (four, fill, edge) => (g) => {
    g.beginPath();
    four.forEach(({ x, y }, k) => (k ? g.lineTo(x, y) : g.moveTo(x, y)));
    g.closePath();
    g.fillStyle = fill;
    g.fill();
    g.strokeStyle = edge;
    g.lineWidth = 0.6;
    g.stroke();
  };

  /* A trajectory in short pieces that lie on the surface; what is outside the view is left out. */
  function threads({ surface, settings }, run, place, project) {
    const found = [];
    let gone = 0,
      before = [place.x(run.w[0][0]), place.y(run.w[0][1])];
    for (let i = 1; i <= Math.min(settings.shown, run.w.length - 1); i += 1) {
      const ends = [before, [place.x(run.w[i][0]), place.y(run.w[i][1])]];
      if (Math.hypot(ends[1][0] - before[0], ends[1][1] - before[1]) < 0.006) continue; // a pixel
      before = ends[1];
      const piece = Strokes.clipped(...ends, { left: -1, right: 1, top: -1, bottom: 1 });
      if (!piece) continue;
      const count = Math.max(1, Math.ceil(Math.hypot(piece[1][0] - piece[0][0], piece[1][1] - piece[0][1]) * 24));
      const colour = run.style.at(Math.min(i / settings.steps, 1));
      let last = null;
      for (let k = 0; k <= count; k += 1) {
        const [x, y] = [0, 1].map((axis) => piece[0][axis] + ((piece[1][axis] - piece[0][axis]) * k) / count);
        const [w1, w2] = [
          ((settings.view[1] - settings.view[0]) * (x + 1)) / 2 + settings.view[0],
          ((settings.view[3] - settings.view[2]) * (y + 1)) / 2 + settings.view[2],
        ];
        const e = surface.value(w1, w2);
        const next = Number.isFinite(e) ? project(x, y, place.z(e) + 0.012) : null;
        if (last && next) {
          const [from, to, offset] = [last, next, -gone];
          found.push({
            depth: (from.depth + to.depth) / 2 - 0.06,
            paint: (g) => thread(g, from, to, colour, run.style, offset),
          });
          gone += Math.hypot(to.x - from.x, to.y - from.y);
        }
        last = next;
      }
    }
    return found;
  }

  function thread(g, from, to, colour, style, offset) {
    const points = [
      [from.x, from.y],
      [to.x, to.y],
    ];
    g.lineCap = "butt";
    g.strokeStyle = "rgba(12,18,28,0.55)";
    g.lineWidth = 3.6;
    Strokes.line(g, points);
    g.setLineDash(style.dash);
    g.lineDashOffset = offset;
    g.strokeStyle = colour;
    g.lineWidth = 2.1;
    Strokes.line(g, points);
    g.setLineDash([]);
  }

  return { camera, faces, threads };
})();
