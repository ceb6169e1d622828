/* What all pictures share: a sharp canvas, the colours of the page, axes. */
"use strict";

const Plot = (() => {
  const FONT = '12px system-ui, -apple-system, "Segoe UI", sans-serif', SMALL = FONT.replace("12px", "11px");

  /* The colours of the page, light or dark. */
  function theme() {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(`--${name}`).trim();
    return { ink: of("ink"), quiet: of("quiet"), rule: of("rule"), card: of("card"), dark: of("scheme") === "dark" };
  }

  /* The context of a canvas, in CSS pixels and cleared; null while the canvas has no size. */
  function open(canvas) {
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width || !height) return null;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    const g = canvas.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    g.font = FONT;
    g.lineJoin = g.lineCap = "round";
    return { g, width, height, ratio };
  }

  /* From numbers to pixels inside a box {left, top, right, bottom}, and back. */
  function frame(box, [x0, x1, y0, y1], { logY = false } = {}) {
    const scaleY = logY ? Math.log10 : (value) => value;
    const [low, high] = [scaleY(y0), scaleY(y1)];
    return {
      box,
      logY,
      limits: [x0, x1, y0, y1],
      x: (value) => box.left + ((value - x0) / (x1 - x0)) * (box.right - box.left),
      y: (value) => box.bottom - ((scaleY(value) - low) / (high - low)) * (box.bottom - box.top),
      toX: (pixel) => x0 + ((pixel - box.left) / (box.right - box.left)) * (x1 - x0),
      toY: (pixel) => y0 + ((box.bottom - pixel) / (box.bottom - box.top)) * (y1 - y0),
    };
  }

  /* From the indices of a grid to pixels. */
  function cells(at, { view: [x0, x1, y0, y1], columns, rows }) {
    return { x: (i) => at.x(x0 + (i / (columns - 1)) * (x1 - x0)), y: (j) => at.y(y0 + (j / (rows - 1)) * (y1 - y0)) };
  }

  /* Contour lines, which are in indices of a grid. */
  function contour(g, at, grid, lines) {
    const { x, y } = cells(at, grid);
    g.beginPath();
    for (const points of lines) points.forEach(([i, j], n) => g[n ? "lineTo" : "moveTo"](x(i), y(j)));
    g.stroke();
  }

  /* Paint inside a box only, until `g.restore()`. */
  function clip(g, { left, top, right, bottom }, margin = 0) {
    g.save();
    g.beginPath();
    g.rect(left - margin, top - margin, right - left + 2 * margin, bottom - top + 2 * margin);
    g.clip();
  }

  /* A text at a point; `align` is horizontal, `baseline` vertical. */
  function write(g, text, x, y, colour, align = "left", baseline = "alphabetic") {
    [g.fillStyle, g.textAlign, g.textBaseline] = [colour, align, baseline];
    g.fillText(text, x, y);
  }

  /* Ticks, labels and the lines of the frame. */
  function axes(g, at, { xLabel, yLabel, grid = false, whole = false }) {
    const { box, limits, logY } = at, { left, top, right, bottom } = box, { ink, quiet, rule } = theme();
    const xs = Ticks.linear(limits[0], limits[1], Math.max(2, (right - left) / 62));
    const many = Math.max(2, (bottom - top) / 42);
    const ys = logY ? Ticks.log(limits[2], limits[3], many) : Ticks.linear(limits[2], limits[3], many);
    g.save();
    [g.lineWidth, g.strokeStyle] = [1, rule];
    for (const x of xs) {
      if (whole && !Number.isInteger(x)) continue;
      Strokes.segment(g, at.x(x), grid ? top : bottom, at.x(x), bottom + 4);
      write(g, Ticks.label(x, 8), at.x(x), bottom + 7, quiet, "center", "top");
    }
    for (const y of ys) {
      Strokes.segment(g, left - 4, at.y(y), grid ? right : left, at.y(y));
      write(g, Ticks.label(y, 8, logY ? 1e4 : 1e5), left - 7, at.y(y), quiet, "right", "middle");
    }
    g.strokeStyle = quiet;
    if (grid) Strokes.line(g, [[left, top], [left, bottom], [right, bottom]]);
    else g.strokeRect(left, top, right - left, bottom - top);
    if (xLabel) write(g, xLabel, right, bottom + 34, ink, "right");
    if (yLabel) write(g, yLabel, 4, top - 9, ink);
    g.restore();
  }

  return { theme, open, frame, cells, contour, clip, write, axes, FONT, SMALL };
})();
