/* What all the pictures share: a sharp canvas, the page's colours, axes. */
"use strict";

const Plot = (() => {
  const FONT = '12px system-ui, -apple-system, "Segoe UI", sans-serif';

  /* Colours of the page, light or dark. */
  function theme() {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(`--${name}`).trim();
    return { ink: of("ink"), quiet: of("quiet"), rule: of("rule"), card: of("card"), dark: of("scheme") === "dark" };
  }

  /* The context of a canvas in CSS pixels, cleared; null while it has no size. */
  function open(canvas) {
    const width = canvas.clientWidth,
      height = canvas.clientHeight;
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

  /* Numbers to pixels inside a box {left, top, right, bottom}; {x, y, box, limits, toX, toY}. */
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

  /* Ticks, labels and the frame's lines. */
  function axes(g, at, { xLabel, yLabel, grid = false, whole = false }) {
    const { box, limits, logY } = at,
      { ink, quiet, rule } = theme();
    const xs = Ticks.linear(limits[0], limits[1], Math.max(2, (box.right - box.left) / 62)).filter(
      (x) => !whole || Number.isInteger(x),
    );
    const many = Math.max(2, (box.bottom - box.top) / 42);
    const ys = logY ? Ticks.log(limits[2], limits[3], many) : Ticks.linear(limits[2], limits[3], many);
    g.save();
    g.lineWidth = 1;
    g.strokeStyle = rule;
    g.fillStyle = quiet;
    g.textAlign = "center";
    g.textBaseline = "top";
    for (const x of xs) {
      Strokes.line(g, [
        [at.x(x), grid ? box.top : box.bottom],
        [at.x(x), box.bottom + 4],
      ]);
      g.fillText(Ticks.label(x, 8), at.x(x), box.bottom + 7);
    }
    g.textAlign = "right";
    g.textBaseline = "middle";
    for (const y of ys) {
      Strokes.line(g, [
        [box.left - 4, at.y(y)],
        [grid ? box.right : box.left, at.y(y)],
      ]);
      g.fillText(Ticks.label(y, 8, logY ? 1e4 : 1e5), box.left - 7, at.y(y));
    }
    g.strokeStyle = quiet;
    if (!grid) g.strokeRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
    else
      Strokes.line(g, [
        [box.left, box.top],
        [box.left, box.bottom],
        [box.right, box.bottom],
      ]);
    g.fillStyle = ink;
    g.textAlign = "right";
    g.textBaseline = "alphabetic";
    if (xLabel) g.fillText(xLabel, box.right, box.bottom + 34);
    g.textAlign = "left";
    if (yLabel) g.fillText(yLabel, 4, box.top - 9);
    g.restore();
  }

  return { theme, open, frame, axes, FONT };
})();
