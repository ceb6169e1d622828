/* The error surface in three dimensions, without WebGL: far faces are painted first. */
"use strict";

const Surface3d = (() => {
  const POINTS = 53, CORNERS = [[-1, -1], [1, -1], [1, 1], [-1, 1]];
  const { camera, faces, threads } = Space;
  let kept = null;

  /* The grid, its scale, and its faces, far ones first; kept until the function, view, camera or size changes. */
  function sampled({ surface, settings }, width, height) {
    const key = JSON.stringify([surface.text, settings.view, settings.height]);
    const pose = JSON.stringify([settings.camera, width, height]);
    if (!kept || kept.key !== key) {
      const grid = Grid.sample(surface.value, settings.view, POINTS, POINTS);
      const [scale, shade] = [settings.height, "even"].map((kind) => Grid.scaleOf(grid.values, kind));
      kept = { key, grid, scale, shade, pose: "" };
    }
    if (kept.pose !== pose && kept.scale) {
      kept.faces = faces(kept, camera(settings.camera, width, height)).sort(farFirst);
      kept.pose = pose;
    }
    return kept;
  }
  const farFirst = (p, q) => q.depth - p.depth;

  function draw(canvas, model) {
    const opened = Plot.open(canvas);
    if (!opened) return;
    const { g, width, height } = opened, { settings } = model;
    const { scale, faces: ground } = sampled(model, width, height);
    const project = camera(settings.camera, width, height), [x0, x1, y0, y1] = settings.view;
    const place = {
      x: (w1) => (2 * (w1 - x0)) / (x1 - x0) - 1,
      y: (w2) => (2 * (w2 - y0)) / (y1 - y0) - 1,
      z: (e) => scale.height(e) - 0.5,
    };
    const theme = Plot.theme();
    floor(g, project, settings.view, theme);
    if (!scale) {
      const text = "the error is nowhere finite in this view";
      return Plot.write(g, text, width / 2, height / 2, theme.quiet, "center", "middle");
    }
    const lines = model.runs.flatMap((run) => threads(model, run, place, project));
    for (const item of merged(ground, lines.sort(farFirst))) item.paint(g);
    for (const run of model.runs) head(g, model, run, place, project);
    uprights(g, project, scale, theme);
  }

  /* Two lists, each with far items first, as one. */
  function merged(ground, lines) {
    let next = 0;
    const before = ({ depth }) => {
      const from = next;
      while (next < lines.length && lines[next].depth >= depth) next += 1;
      return lines.slice(from, next);
    };
    return [...ground.flatMap((face) => [...before(face), face]), ...lines.slice(next)];
  }

  /* The square under the surface, with its limits. */
  function floor(g, project, [x0, x1, y0, y1], { quiet, rule, ink }) {
    const corners = CORNERS.map(([x, y]) => project(x, y, -0.5));
    [g.strokeStyle, g.lineWidth] = [rule, 1];
    Strokes.line(g, [...corners, corners[0]].map(({ x, y }) => [x, y]));
    const middle = project(0, 0, -0.5);
    const text = (words, x, y, colour) => {
      const p = project(x, y, -0.5), [dx, dy] = [p.x - middle.x, p.y - middle.y], away = Math.hypot(dx, dy) || 1;
      const align = Math.abs(dx) < 30 ? "center" : dx < 0 ? "right" : "left";
      Plot.write(g, words, p.x + (dx / away) * 9, p.y + (dy / away) * 9 + 5, colour, align, "middle");
    };
    // Along the two nearest edges.
    const ySide = project(0, -1, -0.5).depth < project(0, 1, -0.5).depth ? -1 : 1;
    const xSide = project(-1, 0, -0.5).depth < project(1, 0, -0.5).depth ? -1 : 1;
    for (const [value, x] of [[x0, -0.9], [x1, 0.9]]) text(Ticks.label(value), x, ySide, quiet);
    text("w1", 0, ySide, ink);
    for (const [value, y] of [[y0, -0.9], [y1, 0.9]]) text(Ticks.label(value), xSide, y, quiet);
    text("w2", xSide, 0, ink);
  }

  /* The axis of errors, at the leftmost corner. */
  function uprights(g, project, scale, { quiet, ink }) {
    const corner = CORNERS.reduce((best, next) => (project(...next, 0).x < project(...best, 0).x ? next : best));
    const [foot, top] = [project(...corner, -0.5), project(...corner, 0.5)];
    [g.strokeStyle, g.lineWidth] = [quiet, 1];
    Strokes.segment(g, foot.x, foot.y, top.x, top.y);
    if (foot.y - top.y < 40) return;
    for (const t of [0.5, 1]) {
      const p = project(...corner, t - 0.5), text = Ticks.label(scale.error(t), 2);
      Strokes.segment(g, p.x - 4, p.y, p.x, p.y);
      Plot.write(g, text, Math.max(p.x - 7, g.measureText(text).width + 2), p.y, quiet, "right", "middle");
    }
    Plot.write(g, "error", top.x, top.y - 14, ink, "center", "middle");
  }

  function head(g, { settings }, run, place, project) {
    const i = Math.min(settings.shown, run.w.length - 1), [x, y] = [place.x(run.w[i][0]), place.y(run.w[i][1])];
    if (Math.max(Math.abs(x), Math.abs(y)) > 1 || !Number.isFinite(run.error[i])) return;
    const p = project(x, y, place.z(run.error[i]));
    Strokes.marker(g, run.style.marker, p.x, p.y, 5, run.style.at(Math.max(0.55, i / settings.steps)), "#fff", 1.8);
  }

  return { draw };
})();
