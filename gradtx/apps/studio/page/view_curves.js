/* Curves over the steps: the error, and the components of the optimizers' states. */
"use strict";

const Curves = (() => {
  /* Positive numbers get a log axis; zeros among them are left out. */
  const positive = (list) => list.length > 0 && list.every((x) => x >= 0) && list.some((x) => x > 0);

  /* A size far above all starts and the end of the middle line. A line beyond it has diverged. */
  function diverged(lines, log) {
    const size = (x) => (Number.isFinite(x) ? Math.abs(x) : 0);
    const ends = lines.map(({ values }) => size(values.at(-1))).sort((a, b) => a - b);
    const usual = Math.max(ends[(ends.length - 1) >> 1], ...lines.map(({ values }) => size(values[0])));
    return usual > 0 ? usual * (log ? 1e12 : 20) : Infinity;
  }

  /* Limits around the numbers, with a margin. A line that diverges does not flatten the others. */
  function limits(lines, log) {
    const most = lines.length ? diverged(lines, log) : Infinity;
    let low = Infinity, high = -Infinity;
    for (const { values } of lines)
      for (const x of values)
        if (Number.isFinite(x) && (!log || x > 0)) [low, high] = [Math.min(low, x), Math.max(high, x)];
    if (low > high) return log ? [0.1, 1] : [0, 1];
    high = Math.min(high, most);
    if (log) {
      const start = Math.max(...lines.map(({ values }) => values[0]));
      low = Math.max(Math.min(low, high), Math.min(start > 0 ? start : high, high) * 1e-40, 1e-300);
      const margin = Math.max((high / low) ** 0.05, 1.15);
      return [low / margin, Math.min(high * margin, 1.7e308)];
    }
    low = Math.max(low, -most);
    const margin = Math.min(0.05 * high - 0.05 * low || Math.abs(high) * 0.1 || 1, 1e306);
    return [Math.max(low - margin, -8e307), Math.min(high + margin, 8e307)]; // their difference must be finite
  }

  /* One plot of lines {values, style, label?} over the steps from 0 to `steps`. Returns whether its axis is log. */
  function chart(g, box, lines, { steps, shown, log, xLabel, yLabel, none }) {
    const logY = log && positive(lines.flatMap(({ values }) => values));
    const at = Plot.frame(box, [0, steps, ...limits(lines, logY)], { logY });
    Plot.axes(g, at, { xLabel, yLabel: yLabel + (logY ? " (log scale)" : ""), grid: true, whole: true });
    const { dark, ink, quiet, card } = Plot.theme();
    if (!lines.length) {
      Plot.write(g, none, (box.left + box.right) / 2, (box.top + box.bottom) / 2, quiet, "center", "middle");
      return logY;
    }
    g.strokeStyle = quiet;
    g.setLineDash([2, 3]);
    if (shown < steps) Strokes.segment(g, at.x(shown), box.top, at.x(shown), box.bottom);
    g.setLineDash([]);
    const ends = [];
    Plot.clip(g, box, 6);
    for (const { values, style, label } of lines) {
      const points = [];
      values.slice(0, shown + 1).forEach((x, i) => {
        if (Number.isFinite(x) && (!logY || x > 0)) points.push([at.x(i), drawable(at.y(x), box)]);
      });
      if (!points.length) continue;
      const colour = style.line(dark);
      [g.strokeStyle, g.lineWidth, g.lineCap] = [colour, 2, style.dash.length ? "butt" : "round"];
      g.setLineDash(style.dash);
      Strokes.line(g, points);
      g.setLineDash([]);
      for (const i of along(points, 64)) Strokes.marker(g, style.marker, ...points[i], 3, colour, card, 1);
      const [x, y] = points.at(-1);
      Strokes.marker(g, style.marker, x, y, 4.2, colour, card, 1.4);
      if (label) ends.push({ x, y: Math.min(Math.max(y, box.top), box.bottom), label, colour });
    }
    g.restore();
    if (ends.length) labels(g, ends, box, ink);
    return logY;
  }

  /* A pixel that a canvas can hold. The box cuts off the line anyway. */
  const drawable = (y, { top, bottom }) => Math.min(Math.max(y, top - 1e5), bottom + 1e5);

  /* Indices of points at least `gap` pixels further to the right, so that markers do not crowd. */
  function along(points, gap) {
    let last = points[0][0];
    return points.flatMap(([x], i) => (x - last < gap ? [] : ((last = x), [i])));
  }

  /* Labels at the ends of the lines, moved apart. */
  function labels(g, ends, box, ink) {
    ends.sort((p, q) => p.y - q.y);
    ends.forEach((end, k) => (end.at = Math.max(end.y, box.top + 6, k ? ends[k - 1].at + 13 : 0)));
    let limit = box.bottom + 4;
    if (ends.at(-1).at > limit)
      for (const end of [...ends].reverse()) {
        end.at = Math.min(end.at, limit);
        limit -= 13;
      }
    g.font = Plot.SMALL;
    for (const { x, label, at, y, colour } of ends) {
      [g.strokeStyle, g.lineWidth] = [colour, 0.8];
      if (Math.abs(at - y) > 5) Strokes.segment(g, x + 5, y, x + 9, at);
      Plot.write(g, label, x + 11, at, ink, "left", "middle");
    }
    g.font = Plot.FONT;
  }

  const LEFT = 62;

  function error(canvas, { runs, settings }) {
    const opened = Plot.open(canvas);
    if (!opened) return;
    const { g, width, height } = opened;
    const box = { left: LEFT, top: 26, right: width - 16, bottom: height - 40 };
    const lines = runs.map((run) => ({ values: run.error, style: run.style }));
    return chart(g, box, lines, { ...settings, xLabel: "step", yLabel: "error", none: "choose an optimizer" });
  }

  /* Two plots, one below the other: the components for w1 and for w2. `which` is "scaling" or "rest". */
  function states(canvas, { runs, settings }, which) {
    const opened = Plot.open(canvas);
    if (!opened) return;
    const { g, width, height } = opened, isScaling = which === "scaling";
    const found = runs.flatMap(({ courses, style, optimizer }) =>
      courses
        .filter(({ scaling }) => scaling === isScaling)
        .map(({ name, values }) => ({ values, style, label: `${optimizer.label} ${name}` })),
    );
    g.font = Plot.SMALL;
    const widest = Math.max(0, ...found.map(({ label }) => g.measureText(label).width));
    g.font = Plot.FONT;
    const middle = (height - 10) / 2;
    const none = `none of the chosen optimizers ${isScaling ? "scales by its past" : "has more of a state"}`;
    for (const k of [0, 1]) {
      const [top, bottom] = [k * middle + 26, (k + 1) * middle - (k ? 30 : 18)];
      const lines = found.map((line) => ({ ...line, values: line.values.map((s) => s[k]) }));
      const yLabel = `${isScaling ? "s" : "state"} of w${k + 1}`;
      chart(g, { left: LEFT, top, right: width - 20 - widest, bottom }, lines, {
        ...settings, log: true, xLabel: k ? "step" : "", yLabel, none,
      });
    }
  }

  return { error, states };
})();
