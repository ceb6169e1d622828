/* The error surface in three dimensions: far faces first, then near ones (no WebGL needed), trajectories on it. */
"use strict";

const Surface3d = (() => {
  const POINTS = 53;
  const { camera, faces, threads } = Space;
  let kept = null;

  /* The grid, its scale, and its faces, far ones first; made anew when function, view, camera or size change. */
  function sampled({ surface, settings }, width, height) {
    const key = JSON.stringify([surface.text, settings.view, settings.height]),
      pose = JSON.stringify([settings.camera, width, height]);
    if (!kept || kept.key !== key) {
      const grid = Grid.sample(surface.value, settings.view, POINTS, POINTS);
      kept = {
        key,
        grid,
        scale: Grid.scaleOf(grid.values, settings.height),
        shade: Grid.scaleOf(grid.values, "even"),
        pose: "",
      };
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
    const { g, width, height } = opened,
      { settings } = model;
    const { scale, faces: ground } = sampled(model, width, height);
    const project = camera(settings.camera, width, height);
    const [x0, x1, y0, y1] = settings.view;
    const place = {
      x: (w1) => (2 * (w1 - x0)) / (x1 - x0) - 1,
      y: (w2) => (2 * (w2 - y0)) / (y1 - y0) - 1,
      z: (e) => scale.height(e) - 0.5,
    };
    const theme = Plot.theme();
    floor(g, project, settings, theme);
    if (!scale) return nothing(g, width, height, theme);
    const lines = model.runs.flatMap((run) => threads(model, run, place, project)).sort(farFirst);
    let next = 0;
    for (const item of ground) {
      for (; next < lines.length && lines[next].depth >= item.depth; next += 1) lines[next].paint(g);
      item.paint(g);
    }
    for (; next < lines.length; next += 1) lines[next].paint(g);
    for (const run of model.runs) head(g, model, run, place, project);
    uprights(g, project, scale, theme);
  }

  function nothing(g, width, height, { quiet }) {
    g.fillStyle = quiet;
    g.textAlign = "center";
    g.fillText("the error is nowhere finite in this view", width / 2, height / 2);
  }

  /* The square under the surface, with its limits. */
  function floor(g, project, settings, { quiet, rule, ink }) {
    const corners = [
      [-1, -1],
      [1, -1],
      [1, 1],
      [-1, 1],
    ].map(([x, y]) => project(x, y, -0.5));
    g.strokeStyle = rule;
    g.lineWidth = 1;
    Strokes.line(
      g,
      [...corners, corners[0]].map(({ x, y }) => [x, y]),
    );
    const [x0, x1, y0, y1] = settings.view;
    const middle = project(0, 0, -0.5);
    // Along the two edges that are nearest.
    const ySide = project(0, -1, -0.5).depth < project(0, 1, -0.5).depth ? -1 : 1;
    const xSide = project(-1, 0, -0.5).depth < project(1, 0, -0.5).depth ? -1 : 1;
    g.textBaseline = "middle";
    const text = (words, x, y, colour) => {
      const p = project(x, y, -0.5),
        away = Math.hypot(p.x - middle.x, p.y - middle.y) || 1;
      g.textAlign = Math.abs(p.x - middle.x) < 30 ? "center" : p.x < middle.x ? "right" : "left";
      g.fillStyle = colour;
      g.fillText(words, p.x + ((p.x - middle.x) / away) * 9, p.y + ((p.y - middle.y) / away) * 9 + 5);
    };
    for (const [value, x] of [
      [x0, -0.9],
      [x1, 0.9],
    ])
      text(Ticks.label(value), x, ySide, quiet);
    text("w1", 0, ySide, ink);
    for (const [value, y] of [
      [y0, -0.9],
      [y1, 0.9],
    ])
      text(Ticks.label(value), xSide, y, quiet);
    text("w2", xSide, 0, ink);
  }

  /* The axis of errors, at the corner that is furthest to the left. */
  function uprights(g, project, scale, { quiet, ink }) {
    const corner = [
      [-1, -1],
      [1, -1],
      [1, 1],
      [-1, 1],
    ].reduce((best, next) => (project(...next, 0).x < project(...best, 0).x ? next : best));
    const [foot, top] = [project(...corner, -0.5), project(...corner, 0.5)];
    g.strokeStyle = quiet;
    g.lineWidth = 1;
    Strokes.line(g, [
      [foot.x, foot.y],
      [top.x, top.y],
    ]);
    g.fillStyle = quiet;
    g.textBaseline = "middle";
    g.textAlign = "left";
    if (foot.y - top.y < 40) return;
    for (const t of [0.5, 1]) {
      const p = project(...corner, t - 0.5);
      Strokes.line(g, [
        [p.x - 4, p.y],
        [p.x, p.y],
      ]);
      g.textAlign = "right";
      const text = Ticks.label(scale.error(t), 2);
      g.fillText(text, Math.max(p.x - 7, g.measureText(text).width + 2), p.y);
    }
    g.fillStyle = ink;
    g.textAlign = "center";
    g.fillText("error", top.x, top.y - 14);
  }

  function head(g, { settings }, run, place, project) {
    const i = Math.min(settings.shown, run.w.length - 1),
      [x, y] = [place.x(run.w[i][0]), place.y(run.w[i][1])];
    if (Math.max(Math.abs(x), Math.abs(y)) > 1 || !Number.isFinite(run.error[i])) return;
    const p = project(x, y, place.z(run.error[i]));
    Strokes.marker(g, run.style.marker, p.x, p.y, 5, run.style.at(Math.max(0.55, i / settings.steps)), "#fff", 1.8);
  }

  return { draw };
})();
