/* Courses over the steps: the error, and the components of the optimizers' states. */
"use strict";

const Curves = (() => {
  /* Positive numbers want a log axis; zeros among them are left out. */
  const positive = (list) => list.length > 0 && list.every((x) => x >= 0) && list.some((x) => x > 0);

  /* The size beyond which a line has run away: far above all starts and the end of the middle line. */
  function runaway(lines, log) {
    const size = (x) => (Number.isFinite(x) ? Math.abs(x) : 0);
    const ends = lines.map(({ values }) => size(values.at(-1))).sort((a, b) => a - b);
    const usual = Math.max(ends[(ends.length - 1) >> 1], ...lines.map(({ values }) => size(values[0])));
    return usual > 0 ? usual * (log ? 1e12 : 20) : Infinity;
  }

  /* Limits round the numbers, with air; who runs away does not flatten the others. */
  function limits(lines, log) {
    const most = lines.length ? runaway(lines, log) : Infinity;
    let low = Infinity,
      high = -Infinity;
    for (const { values } of lines)
      for (const x of values)
        if (Number.isFinite(x) && (!log || x > 0)) [low, high] = [Math.min(low, x), Math.max(high, x)];
    if (low > high) return log ? [0.1, 1] : [0, 1];
    high = Math.min(high, most);
    if (log) {
      const start = Math.max(...lines.map(({ values }) => values[0]));
      low = Math.max(Math.min(low, high), Math.min(start > 0 ? start : high, high) * 1e-40, 1e-300);
      const air = Math.max((high / low) ** 0.05, 1.15);
      return [low / air, Math.min(high * air, 1.7e308)];
    }
    low = Math.max(low, -most);
    const air = Math.min(0.05 * high - 0.05 * low || Math.abs(high) * 0.1 || 1, 1e306);
    return [Math.max(low - air, -8e307), Math.min(high + air, 8e307)]; // their difference is a number
  }

  /* One plot of several lines {values, style, label, dash?} over steps 0 to `steps`. */
  function chart(g, box, lines, { steps, shown, log, xLabel, yLabel, none }) {
    const all = lines.flatMap(({ values }) => values);
    const logY = log && positive(all);
    const at = Plot.frame(box, [0, steps, ...limits(lines, logY)], { logY });
    Plot.axes(g, at, { xLabel, yLabel: yLabel + (logY ? " (log scale)" : ""), grid: true, whole: true });
    const { dark, ink, quiet, card } = Plot.theme();
    if (!lines.length) {
      g.fillStyle = quiet;
      g.textAlign = "center";
      g.textBaseline = "middle";
      g.fillText(none, (box.left + box.right) / 2, (box.top + box.bottom) / 2);
      return logY;
    }
    g.strokeStyle = quiet;
    g.setLineDash([2, 3]);
    if (shown < steps)
      Strokes.line(g, [
        [at.x(shown), box.top],
        [at.x(shown), box.bottom],
      ]);
    g.setLineDash([]);
    const ends = [];
    g.save();
    g.beginPath();
    g.rect(box.left - 6, box.top - 6, box.right - box.left + 12, box.bottom - box.top + 12);
    g.clip();
    for (const { values, style, label } of lines) {
      const points = [];
      values.slice(0, shown + 1).forEach((x, i) => {
        if (Number.isFinite(x) && (!logY || x > 0)) points.push([at.x(i), far(at.y(x), box)]);
      });
      if (!points.length) continue;
      const colour = style.line(dark);
      g.strokeStyle = colour;
      g.lineWidth = 2;
      g.lineCap = style.dash.length ? "butt" : "round";
      g.setLineDash(style.dash);
      Strokes.line(g, points);
      g.setLineDash([]);
      for (const i of along(points, 64))
        Strokes.marker(g, style.marker, points[i][0], points[i][1], 3, colour, card, 1);
      const [x, y] = points.at(-1);
      Strokes.marker(g, style.marker, x, y, 4.2, colour, card, 1.4);
      if (label) ends.push({ x, y: Math.min(Math.max(y, box.top), box.bottom), label, colour });
    }
    g.restore();
    if (ends.length) labels(g, ends, box, ink);
    return logY;
  }

  /* A pixel that canvas can hold: a line that has run away is cut by the box all the same. */
  const far = (y, { top, bottom }) => Math.min(Math.max(y, top - 1e5), bottom + 1e5);

  /* Indices of points at least `gap` pixels further to the right: markers do not crowd where a line swings. */
  function along(points, gap) {
    let last = points[0][0];
    return points.flatMap(([x], i) => (x - last < gap ? [] : ((last = x), [i])));
  }

  /* Labels at the lines' ends, moved apart. */
  function labels(g, ends, box, ink) {
    ends.sort((p, q) => p.y - q.y);
    ends.forEach((end, k) => (end.at = Math.max(end.y, box.top + 6, k ? ends[k - 1].at + 13 : 0)));
    const over = ends.at(-1).at - (box.bottom + 4);
    if (over > 0)
      for (let k = ends.length - 1, limit = box.bottom + 4; k >= 0; k -= 1, limit -= 13)
        ends[k].at = Math.min(ends[k].at, limit);
    g.textAlign = "left";
    g.textBaseline = "middle";
    g.font = Plot.FONT.replace("12px", "11px");
    for (const { x, label, at, y, colour } of ends) {
      if (Math.abs(at - y) > 5) {
        g.strokeStyle = colour;
        g.lineWidth = 0.8;
        Strokes.line(g, [
          [x + 5, y],
          [x + 9, at],
        ]);
      }
      g.fillStyle = ink;
      g.fillText(label, x + 11, at);
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
    const { g, width, height } = opened;
    const found = runs.flatMap((run) =>
      run.courses.filter(({ scaling }) => scaling === (which === "scaling")).map((course) => ({ run, course })),
    );
    g.font = Plot.FONT.replace("12px", "11px");
    const widest = Math.max(0, ...found.map(({ run, course }) => g.measureText(name(run, course)).width));
    g.font = Plot.FONT;
    const middle = (height - 10) / 2;
    for (const k of [0, 1]) {
      const box = {
        left: LEFT,
        top: k * middle + 26,
        right: width - 20 - widest,
        bottom: (k + 1) * middle - (k ? 30 : 18),
      };
      const lines = found.map(({ run, course }) => ({
        values: course.values.map((s) => s[k]),
        style: run.style,
        label: name(run, course),
      }));
      const none =
        which === "scaling"
          ? "none of the chosen optimizers scales by its past"
          : "none of the chosen optimizers has more of a state";
      chart(g, box, lines, {
        ...settings,
        log: true,
        xLabel: k ? "step" : "",
        yLabel: `${which === "scaling" ? "s" : "state"} of w${k + 1}`,
        none,
      });
    }
  }
  const name = (run, course) => `${run.optimizer.label} ${course.label || course.name}`;

  return { error, states };
})();
