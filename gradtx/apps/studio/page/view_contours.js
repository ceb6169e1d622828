/* The error surface from above: bands, contour lines, trajectories, the cross that chooses a start. */
"use strict";

const Contours = (() => {
  const BANDS = 14,
    POINTS = 181;
  let ground = null; // {key, canvas, grid, scale, bad}: the drawn surface, kept until function, view or size changes

  function box(width, height) {
    return { left: width < 420 ? 46 : 56, top: 26, right: width - 14, bottom: height - 42 };
  }

  /* The surface's numbers in this view; `bad` is the part that is not finite. */
  function sampled(model) {
    const key = JSON.stringify([model.surface.text, model.settings.view]);
    if (!ground || ground.key !== key) {
      const grid = Grid.sample(model.surface.value, model.settings.view, POINTS, POINTS);
      const bad = grid.values.filter((x) => !Number.isFinite(x)).length / grid.values.length;
      const scale = Grid.scaleOf(grid.values, "even"),
        heights = scale && Grid.heights(grid, scale);
      const lines =
        heights && !scale.flat
          ? Array.from({ length: BANDS - 1 }, (_, k) => Grid.contour(heights, (k + 1) / BANDS))
          : [];
      ground = { key, grid, bad, scale, heights, lines, canvas: null };
    }
    return ground;
  }

  /* Bands and hatching, a pixel at a time. */
  function paint({ grid, heights }, width, height) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const g = canvas.getContext("2d"),
      image = g.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer),
      packed = ([red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
    const colours = Array.from({ length: BANDS }, (_, k) => packed(Colour.ground((k + 0.5) / BANDS)));
    const [hatch, bare] = [packed([120, 120, 120]), packed([205, 205, 203])];
    for (let py = 0; py < height; py += 1)
      for (let px = 0; px < width; px += 1) {
        const t = heights
          ? Grid.between(heights, (px / (width - 1)) * (grid.columns - 1), (1 - py / (height - 1)) * (grid.rows - 1))
          : NaN;
        pixels[py * width + px] =
          t === t ? colours[Math.min(Math.floor(t * BANDS), BANDS - 1)] : (px + py) % 12 < 2 ? hatch : bare;
      }
    g.putImageData(image, 0, 0);
    return canvas;
  }

  function draw(canvas, model) {
    const opened = Plot.open(canvas);
    if (!opened) return;
    const { g, width, height, ratio } = opened;
    const at = Plot.frame(box(width, height), model.settings.view);
    const { left, top, right, bottom } = at.box;
    const now = sampled(model),
      size = [Math.round((right - left) * ratio), Math.round((bottom - top) * ratio)];
    if (!now.canvas || now.canvas.width !== size[0] || now.canvas.height !== size[1]) now.canvas = paint(now, ...size);
    g.drawImage(now.canvas, left, top, right - left, bottom - top);
    g.save();
    g.beginPath();
    g.rect(left, top, right - left, bottom - top);
    g.clip();
    isolines(g, at, now);
    model.runs.forEach((run) => trajectory(g, at, run, model.settings));
    model.runs.forEach((run) => current(g, at, run, model.settings));
    start(g, at, model.settings.start);
    if (model.cross) cross(g, at, model.cross);
    g.restore();
    Plot.axes(g, at, { xLabel: "w1", yLabel: "w2" });
    legend(g, now, right, top);
    return at;
  }

  function isolines(g, at, { grid, lines }) {
    const x = (i) => at.x(grid.view[0] + (i / (grid.columns - 1)) * (grid.view[1] - grid.view[0]));
    const y = (j) => at.y(grid.view[2] + (j / (grid.rows - 1)) * (grid.view[3] - grid.view[2]));
    g.lineWidth = 0.8;
    lines.forEach((level, k) => {
      g.strokeStyle = k < BANDS / 2 - 1 ? "rgba(255,255,255,0.30)" : "rgba(20,36,52,0.26)";
      g.beginPath();
      for (const points of level) points.forEach(([i, j], n) => g[n ? "lineTo" : "moveTo"](x(i), y(j)));
      g.stroke();
    });
  }

  const shownOf = (run, { shown }) => run.w.slice(0, shown + 1);

  function trajectory(g, at, run, settings) {
    const points = shownOf(run, settings).map(([a, b]) => [at.x(a), at.y(b)]);
    const time = (i) => Math.min(i / settings.steps, 1);
    Strokes.path(g, points, run.style, time, at.box);
    for (const i of Strokes.spaced(points, 46))
      Strokes.marker(g, run.style.marker, ...points[i], 3.2, run.style.at(time(i)), "rgba(12,18,28,0.75)", 1);
  }

  /* Where the optimizer is now; a stopped one gets a ring. */
  function current(g, at, run, settings) {
    const points = shownOf(run, settings),
      [a, b] = points[points.length - 1];
    const [x, y] = [at.x(a), at.y(b)];
    Strokes.marker(
      g,
      run.style.marker,
      x,
      y,
      6,
      run.style.at(Math.max(0.55, Math.min((points.length - 1) / settings.steps, 1))),
      "#fff",
      2,
    );
    if (!run.stopped || settings.shown < run.w.length) return;
    g.strokeStyle = "#c3261b";
    g.lineWidth = 2.5;
    g.beginPath();
    g.arc(x, y, 11, 0, 2 * Math.PI);
    g.stroke();
  }

  function start(g, at, [a, b]) {
    const [x, y] = [at.x(a), at.y(b)];
    for (const [colour, width] of [
      ["#fff", 5],
      ["#10202e", 2],
    ]) {
      g.strokeStyle = colour;
      g.lineWidth = width;
      Strokes.line(g, [
        [x - 6, y - 6],
        [x + 6, y + 6],
      ]);
      Strokes.line(g, [
        [x - 6, y + 6],
        [x + 6, y - 6],
      ]);
    }
  }

  function cross(g, at, [a, b]) {
    const { left, right, top, bottom } = at.box;
    for (const [colour, width] of [
      ["rgba(255,255,255,0.85)", 3],
      ["#10202e", 1],
    ]) {
      g.strokeStyle = colour;
      g.lineWidth = width;
      Strokes.line(g, [
        [at.x(a), top],
        [at.x(a), bottom],
      ]);
      Strokes.line(g, [
        [left, at.y(b)],
        [right, at.y(b)],
      ]);
    }
  }

  /* The ground's colours with the errors they stand for. */
  function legend(g, { scale }, right, top) {
    if (!scale) return;
    const { quiet } = Plot.theme(),
      wide = 96;
    g.fillStyle = quiet;
    g.textBaseline = "alphabetic";
    g.textAlign = "right";
    const high = Ticks.label(scale.high, 2),
      low = Ticks.label(scale.low, 2);
    g.fillText(high, right, top - 9);
    const end = right - g.measureText(high).width - 6;
    for (let k = 0; k < BANDS; k += 1) {
      g.fillStyle = Colour.css(Colour.ground((k + 0.5) / BANDS));
      g.fillRect(end - wide + (k * wide) / BANDS, top - 18, wide / BANDS + 0.5, 9);
    }
    g.fillStyle = quiet;
    g.fillText(`error ${low}`, end - wide - 6, top - 9);
  }

  return { draw, sampled, box };
})();
