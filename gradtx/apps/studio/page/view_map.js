/* The amplification map: the second step for two gradients, compared with plain descent. */
"use strict";

const AmplificationMap = (() => {
  const POINTS = 121;

  /* A symmetric limit of the colours: a round number near the largest size of nearly all points. */
  function limit(values) {
    const sizes = Float64Array.from(values.filter(Number.isFinite), Math.abs).sort();
    const size = sizes[Math.floor(0.97 * (sizes.length - 1))] || 1;
    const ten = 10 ** Math.floor(Math.log10(size));
    return ten * [1, 2, 5, 10].find((m) => m * ten >= size * 0.999);
  }

  function draw(canvas, { rho, eps, range }, pointer) {
    const opened = Plot.open(canvas);
    if (!opened) return;
    const { g, width, height } = opened, view = [-range, range, -range, range];
    const grid = Grid.sample((g1, g2) => GRADTX.amplification(g1, g2, rho, eps), view, POINTS, POINTS);
    const most = limit(grid.values);
    const box = { left: 52, top: 32, right: width - 84, bottom: height - 42 }, at = Plot.frame(box, view);
    const [wide, high] = [box.right - box.left, box.bottom - box.top].map((x) => x / (POINTS - 1)); // of a point
    Plot.clip(g, box);
    g.drawImage(picture(grid, most), box.left - 0.5 * wide, box.top - 0.5 * high, wide * POINTS, high * POINTS);
    for (const part of [-0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75]) levelLine(g, at, grid, part * most);
    words(g, at, grid, most);
    if (pointer) Strokes.cross(g, at, pointer, "rgba(255,255,255,0.9)", "#111");
    g.restore();
    Plot.axes(g, at, { xLabel: "g1, the first gradient", yLabel: "g2, the second gradient" });
    legend(g, box, most);
    return at;
  }

  function picture({ values, columns, rows }, most) {
    const canvas = Dom.make("canvas", { width: columns, height: rows });
    const g = canvas.getContext("2d"), image = g.createImageData(columns, rows);
    for (let j = 0; j < rows; j += 1)
      for (let i = 0; i < columns; i += 1) {
        const value = values[(rows - 1 - j) * columns + i];
        const colour = Number.isNaN(value) ? [190, 190, 190] : Colour.diverging(value / most);
        image.data.set([...colour, 255], 4 * (j * columns + i));
      }
    g.putImageData(image, 0, 0);
    return canvas;
  }

  /* Zero thick, amplified solid, attenuated dashed: the map can be read without its colours. */
  function levelLine(g, at, grid, level) {
    g.setLineDash(level < 0 ? [5, 4] : []);
    [g.strokeStyle, g.lineWidth] = level === 0 ? ["#111", 2.2] : ["rgba(10,10,10,0.38)", 0.9];
    g.lineCap = "butt";
    Plot.contour(g, at, grid, Grid.contour(grid, level));
    g.setLineDash([]);
  }

  /* "amplified" and "attenuated" at the strongest spot of each, if it is wide enough. */
  function words(g, at, grid, most) {
    const best = { amplified: null, attenuated: null }, { values, columns, rows } = grid;
    for (let j = 9; j < rows - 9; j += 3)
      for (let i = 24; i < columns - 24; i += 3) {
        const value = values[j * columns + i], name = value > 0 ? "amplified" : "attenuated";
        // The whole word must be on its own side of zero.
        const side = [-20, -10, 0, 10, 20].every((k) => Math.sign(values[j * columns + i + k]) === Math.sign(value));
        const size =
          Math.min(Math.abs(value) / most, 0.3) - 0.002 * Math.abs(i - columns / 2) - 0.001 * Math.abs(j - 0.6 * rows);
        const strong = Math.abs(value) > 0.03 * most;
        if (side && strong && (!best[name] || size > best[name].size)) best[name] = { i, j, size };
      }
    const { x, y } = Plot.cells(at, grid);
    for (const [name, spot] of Object.entries(best)) {
      if (!spot) continue;
      [g.lineWidth, g.strokeStyle, g.textAlign, g.textBaseline] = [3.5, "rgba(255,255,255,0.85)", "center", "middle"];
      g.strokeText(name, x(spot.i), y(spot.j));
      Plot.write(g, name, x(spot.i), y(spot.j), "#111", "center", "middle");
    }
  }

  function legend(g, { right, top, bottom }, most) {
    const { ink, quiet } = Plot.theme(), x = right + 16;
    for (let k = 0; k < 100; k += 1) {
      g.fillStyle = Colour.css(Colour.diverging(1 - (2 * k) / 99));
      g.fillRect(x, top + (k * (bottom - top)) / 100, 12, (bottom - top) / 100 + 0.6);
    }
    [g.strokeStyle, g.lineWidth] = [quiet, 1];
    g.strokeRect(x, top, 12, bottom - top);
    for (const t of [1, 0.5, 0, -0.5, -1]) {
      const text = `${t > 0 ? "+" : ""}${Ticks.label(t * most, 2)}`, y = top + ((1 - t) / 2) * (bottom - top);
      Plot.write(g, text, x + 18, y, t === 0 ? ink : quiet, "left", "middle");
    }
    Plot.write(g, "C", x + 2, top - 9, ink);
  }

  /* The map at a point, in words. */
  function reading([g1, g2], { rho, eps }) {
    const c = GRADTX.amplification(g1, g2, rho, eps);
    const kind = c > 0 ? "amplified" : c < 0 ? "attenuated" : "neither amplified nor attenuated";
    return `g1 = ${Ticks.label(g1)}, g2 = ${Ticks.label(g2)}: C = ${Ticks.label(c, 4)}, ${kind}`;
  }

  return { draw, reading };
})();
