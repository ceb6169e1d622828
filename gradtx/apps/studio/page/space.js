/* The surface in space, as pieces to paint: faces, and trajectories on it. */
"use strict";

const Space = (() => {
  const TALL = 1.1; // the height of the box, divided by half its width

  /* From (x, y, z), each from -1 to 1, to {x, y, depth} on the screen. */
  function camera([turn, tilt], width, height) {
    const [a, b] = [turn, tilt].map((degrees) => (degrees * Math.PI) / 180);
    const size = Math.min((width - 72) / 2.83, (height - 56) / 2.6); // the box and its labels fit in any position
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
    const { values, columns, rows } = grid;
    const corners = Array.from(values, (e, k) => {
      if (!Number.isFinite(e)) return null;
      const [x, y] = [(2 * (k % columns)) / (columns - 1) - 1, (2 * Math.floor(k / columns)) / (rows - 1) - 1];
      const t = scale.height(e);
      return { ...project(x, y, t - 0.5), t, tone: shade.height(e) };
    });
    const found = [];
    for (let j = 0; j < rows - 1; j += 1)
      for (let i = 0; i < columns - 1; i += 1) {
        const k = j * columns + i, four = [k, k + 1, k + columns + 1, k + columns].map((n) => corners[n]);
        if (four.includes(null)) continue; // a hole: the error is not finite here
        const mean = (key) => (four[0][key] + four[1][key] + four[2][key] + four[3][key]) / 4;
        // Light from the left: faces that rise to the right are brighter. The tone is that of the contours.
        const light = Math.max(-0.16, Math.min(0.16, 1.1 * (four[0].t + four[3].t - four[1].t - four[2].t)));
        const colour = Colour.ground(mean("tone")).map((x) => Math.round(Math.min(255, Math.max(0, x * (1 + light)))));
        const edge = Colour.css(colour.map((x) => Math.round(x * 0.9)));
        found.push({ depth: mean("depth"), paint: face(four, Colour.css(colour), edge) });
      }
    return found;
  }

  /* The edge draws the grid, and closes the gaps between faces. */
  const face = (four, fill, edge) => (g) => {
    g.beginPath();
    four.forEach(({ x, y }, k) => (k ? g.lineTo(x, y) : g.moveTo(x, y)));
    g.closePath();
    [g.fillStyle, g.strokeStyle, g.lineWidth] = [fill, edge, 0.6];
    g.fill();
    g.stroke();
  };

  /* A trajectory in short pieces on the surface. What is outside the view is left out. */
  function threads({ surface, settings }, run, place, project) {
    const found = [], [x0, x1, y0, y1] = settings.view;
    const between = (low, high, part) => low + (high - low) * part;
    let gone = 0, before = [place.x(run.w[0][0]), place.y(run.w[0][1])];
    for (let i = 1; i <= Math.min(settings.shown, run.w.length - 1); i += 1) {
      const here = [place.x(run.w[i][0]), place.y(run.w[i][1])];
      if (Math.hypot(here[0] - before[0], here[1] - before[1]) < 0.006) continue; // a pixel
      const piece = Strokes.clipped(before, here, { left: -1, right: 1, top: -1, bottom: 1 });
      before = here;
      if (!piece) continue;
      const [from, to] = piece, count = Math.max(1, Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1]) * 24));
      const colour = run.style.at(Math.min(i / settings.steps, 1));
      let last = null;
      for (let k = 0; k <= count; k += 1) {
        const [x, y] = [0, 1].map((axis) => between(from[axis], to[axis], k / count));
        const e = surface.value(between(x0, x1, (x + 1) / 2), between(y0, y1, (y + 1) / 2));
        const next = Number.isFinite(e) ? project(x, y, place.z(e) + 0.012) : null;
        if (last && next) {
          const paint = thread(last, next, colour, run.style.dash, -gone);
          found.push({ depth: (last.depth + next.depth) / 2 - 0.06, paint });
          gone += Math.hypot(next.x - last.x, next.y - last.y);
        }
        last = next;
      }
    }
    return found;
  }

  const thread = (from, to, colour, dash, offset) => (g) => {
    const ends = [from.x, from.y, to.x, to.y];
    [g.lineCap, g.strokeStyle, g.lineWidth] = ["butt", "rgba(12,18,28,0.55)", 3.6];
    Strokes.segment(g, ...ends);
    g.setLineDash(dash);
    [g.lineDashOffset, g.strokeStyle, g.lineWidth] = [offset, colour, 2.1];
    Strokes.segment(g, ...ends);
    g.setLineDash([]);
  };

  return { camera, faces, threads };
})();
