/* The error surface from above: bands, contour lines, trajectories, and the cross that chooses a start. */
"use strict";

const Contours = (() => {
  const BANDS = 14, POINTS = 181;
  let ground = null; // the drawn surface, kept until the function, the view or the size changes

  const box = (width, height) => ({ left: width < 420 ? 46 : 56, top: 26, right: width - 14, bottom: height - 42 });

  /* The surface's numbers in this view; `bad` is the fraction of them that is not finite. */
  function sampled(model) {
    const key = JSON.stringify([model.surface.text, model.settings.view]);
    if (!ground || ground.key !== key) {
      const grid = Grid.sample(model.surface.value, model.settings.view, POINTS, POINTS);
      const bad = grid.values.filter((x) => !Number.isFinite(x)).length / grid.values.length;
      const scale = Grid.scaleOf(grid.values, "even"), heights = scale && Grid.heights(grid, scale);
      const levels = heights && !scale.flat ? Array.from({ length: BANDS - 1 }, (_, k) => (k + 1) / BANDS) : [];
      const lines = levels.map((level) => Grid.contour(heights, level));
      ground = { key, grid, bad, scale, heights, lines, canvas: null };
    }
    return ground;
  }

  /* Bands and hatching, a pixel at a time. */
  function paint({ grid, heights }, width, height) {
    const canvas = Dom.make("canvas", { width, height });
    const g = canvas.getContext("2d"), image = g.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const packed = ([red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
    const colours = Array.from({ length: BANDS }, (_, k) => packed(band(k)));
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
  const band = (k) => Colour.ground((k + 0.5) / BANDS);

  function draw(canvas, model) {
    const opened = Plot.open(canvas);
    if (!opened) return;
    const { g, width, height, ratio } = opened, { settings, runs } = model;
    const at = Plot.frame(box(width, height), settings.view), { left, top, right, bottom } = at.box;
    const now = sampled(model), size = [right - left, bottom - top].map((x) => Math.round(x * ratio));
    if (!now.canvas || now.canvas.width !== size[0] || now.canvas.height !== size[1]) now.canvas = paint(now, ...size);
    g.drawImage(now.canvas, left, top, right - left, bottom - top);
    Plot.clip(g, at.box);
    g.lineWidth = 0.8;
    now.lines.forEach((level, k) => {
      g.strokeStyle = k < BANDS / 2 - 1 ? "rgba(255,255,255,0.30)" : "rgba(20,36,52,0.26)";
      Plot.contour(g, at, now.grid, level);
    });
    for (const run of runs) trajectory(g, at, run, settings);
    for (const run of runs) current(g, at, run, settings);
    const [x, y] = [at.x(settings.start[0]), at.y(settings.start[1])];
    Strokes.outlined(g, ["#fff", 5], ["#10202e", 2], [x - 6, y - 6, x + 6, y + 6], [x - 6, y + 6, x + 6, y - 6]);
    if (model.cross) Strokes.cross(g, at, model.cross, "rgba(255,255,255,0.85)", "#10202e");
    g.restore();
    Plot.axes(g, at, { xLabel: "w1", yLabel: "w2" });
    if (now.scale) legend(g, now.scale, right, top);
    return at;
  }

  const shownOf = (run, { shown }) => run.w.slice(0, shown + 1);

  function trajectory(g, at, run, settings) {
    const points = shownOf(run, settings).map(([a, b]) => [at.x(a), at.y(b)]);
    const time = (i) => Math.min(i / settings.steps, 1);
    Strokes.path(g, points, run.style, time, at.box);
    for (const i of Strokes.spaced(points, 46))
      Strokes.marker(g, run.style.marker, ...points[i], 3.2, run.style.at(time(i)), "rgba(12,18,28,0.75)", 1);
  }

  /* Where the optimizer is now. One that has stopped gets a ring. */
  function current(g, at, run, settings) {
    const points = shownOf(run, settings), [a, b] = points.at(-1);
    const [x, y] = [at.x(a), at.y(b)], time = Math.min((points.length - 1) / settings.steps, 1);
    Strokes.marker(g, run.style.marker, x, y, 6, run.style.at(Math.max(0.55, time)), "#fff", 2);
    if (!run.stopped || settings.shown < run.w.length) return;
    [g.strokeStyle, g.lineWidth] = ["#c3261b", 2.5];
    g.beginPath();
    g.arc(x, y, 11, 0, 2 * Math.PI);
    g.stroke();
  }

  /* The colours of the bands between the lowest and the highest error. */
  function legend(g, scale, right, top) {
    const { quiet } = Plot.theme(), wide = 96, high = Ticks.label(scale.high, 2);
    Plot.write(g, high, right, top - 9, quiet, "right");
    const end = right - g.measureText(high).width - 6;
    for (let k = 0; k < BANDS; k += 1) {
      g.fillStyle = Colour.css(band(k));
      g.fillRect(end - wide + (k * wide) / BANDS, top - 18, wide / BANDS + 0.5, 9);
    }
    Plot.write(g, `error ${Ticks.label(scale.low, 2)}`, end - wide - 6, top - 9, quiet, "right");
  }

  return { draw, sampled };
})();
