/* The amplification map: what a second step makes of two gradients, against plain descent. */
"use strict";

const AmplificationMap = (() => {
  const POINTS = 121;

  function box(width, height) {
    return { left: 52, top: 32, right: width - 84, bottom: height - 42 };
  }

  /* Symmetric colour limit: a round number near the largest value of nearly all points. */
  function limit(values) {
    const sizes = Float64Array.from(values.filter(Number.isFinite), Math.abs).sort();
    const size = sizes[Math.floor(0.97 * (sizes.length - 1))] || 1;
    const ten = 10 ** Math.floor(Math.log10(size));
    return ten * [1, 2, 5, 10].find((m) => m * ten >= size * 0.999);
  }

  function draw(canvas, { rho, eps, range }, pointer) {
    const opened = Plot.open(canvas);
    if (!opened) return;
    const { g, width, height } = opened,
      view = [-range, range, -range, range];
    const grid = Grid.sample((g1, g2) => GRADTX.amplification(g1, g2, rho, eps), view, POINTS, POINTS);
    const most = limit(grid.values);
    const at = Plot.frame(box(width, height), view),
      { left, top, right, bottom } = at.box;
    g.save();
    g.beginPath();
    g.rect(left, top, right - left, bottom - top);
    g.clip();
    g.drawImage(
      picture(grid, most),
      left - 0.5 * ((right - left) / (POINTS - 1)),
      top - 0.5 * ((bottom - top) / (POINTS - 1)),
      ((right - left) * POINTS) / (POINTS - 1),
      ((bottom - top) * POINTS) / (POINTS - 1),
    );
    const lines = [-0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75].map((part) => part * most);
    for (const level of lines) levelLine(g, at, grid, level);
    words(g, at, grid, most);
    if (pointer) cross(g, at, pointer);
    g.restore();
    Plot.axes(g, at, { xLabel: "g1, the first gradient", yLabel: "g2, the second gradient" });
    legend(g, at, most);
    return at;
  }

  function picture({ values, columns, rows }, most) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [columns, rows];
    const g = canvas.getContext("2d"),
      image = g.createImageData(columns, rows);
    for (let j = 0; j < rows; j += 1)
      for (let i = 0; i < columns; i += 1) {
        const value = values[(rows - 1 - j) * columns + i];
        image.data.set(
          [...(Number.isNaN(value) ? [190, 190, 190] : Colour.diverging(value / most)), 255],
          4 * (j * columns + i),
        );
      }
    g.putImageData(image, 0, 0);
    return canvas;
  }

  /* Zero thick, amplified solid, attenuated dashed: the map can be read without its colours. */
  function levelLine(g, at, grid, level) {
    const scale = (k, count, low, high) => low + (k / (count - 1)) * (high - low);
    const [x0, x1, y0, y1] = grid.view;
    g.setLineDash(level < 0 ? [5, 4] : []);
    g.strokeStyle = level === 0 ? "#111" : "rgba(10,10,10,0.38)";
    g.lineWidth = level === 0 ? 2.2 : 0.9;
    g.lineCap = "butt";
    g.beginPath();
    for (const points of Grid.contour(grid, level))
      points.forEach(([a, b], k) =>
        g[k ? "lineTo" : "moveTo"](at.x(scale(a, grid.columns, x0, x1)), at.y(scale(b, grid.rows, y0, y1))),
      );
    g.stroke();
    g.setLineDash([]);
  }

  /* "amplified" and "attenuated" where each is strongest, if the spot is wide enough. */
  function words(g, at, grid, most) {
    const best = { amplified: null, attenuated: null },
      { values, columns, rows } = grid;
    for (let j = 9; j < rows - 9; j += 3)
      for (let i = 24; i < columns - 24; i += 3) {
        const value = values[j * columns + i];
        const name = value > 0 ? "amplified" : "attenuated";
        // The whole word has to stand on its own side of zero.
        const side = [-20, -10, 0, 10, 20].every(
          (step) => Math.sign(values[j * columns + i + step]) === Math.sign(value),
        );
        const plain = Math.abs(value) > 0.03 * most;
        const size =
          Math.min(Math.abs(value) / most, 0.3) - 0.002 * Math.abs(i - columns / 2) - 0.001 * Math.abs(j - 0.6 * rows);
        if (side && plain && (!best[name] || size > best[name].size)) best[name] = { i, j, size };
      }
    g.textAlign = "center";
    g.textBaseline = "middle";
    for (const [name, spot] of Object.entries(best)) {
      if (!spot) continue;
      const x = at.x(grid.view[0] + (spot.i / (columns - 1)) * (grid.view[1] - grid.view[0]));
      const y = at.y(grid.view[2] + (spot.j / (rows - 1)) * (grid.view[3] - grid.view[2]));
      g.lineWidth = 3.5;
      g.strokeStyle = "rgba(255,255,255,0.85)";
      g.strokeText(name, x, y);
      g.fillStyle = "#111";
      g.fillText(name, x, y);
    }
  }

  function cross(g, at, [a, b]) {
    for (const [colour, width] of [
      ["rgba(255,255,255,0.9)", 3],
      ["#111", 1],
    ]) {
      g.strokeStyle = colour;
      g.lineWidth = width;
      Strokes.line(g, [
        [at.x(a), at.box.top],
        [at.x(a), at.box.bottom],
      ]);
      Strokes.line(g, [
        [at.box.left, at.y(b)],
        [at.box.right, at.y(b)],
      ]);
    }
  }

  function legend(g, at, most) {
    const { ink, quiet } = Plot.theme(),
      { right, top, bottom } = at.box,
      x = right + 16;
    for (let k = 0; k < 100; k += 1) {
      g.fillStyle = Colour.css(Colour.diverging(1 - (2 * k) / 99));
      g.fillRect(x, top + (k * (bottom - top)) / 100, 12, (bottom - top) / 100 + 0.6);
    }
    g.strokeStyle = quiet;
    g.lineWidth = 1;
    g.strokeRect(x, top, 12, bottom - top);
    g.textAlign = "left";
    g.textBaseline = "middle";
    for (const t of [1, 0.5, 0, -0.5, -1]) {
      const y = top + ((1 - t) / 2) * (bottom - top);
      g.fillStyle = t === 0 ? ink : quiet;
      g.fillText(`${t > 0 ? "+" : ""}${Ticks.label(t * most, 2)}`, x + 18, y);
    }
    g.fillStyle = ink;
    g.textBaseline = "alphabetic";
    g.fillText("C", x + 2, top - 9);
  }

  /* What the map says at a point. */
  function reading([g1, g2], { rho, eps }) {
    const c = GRADTX.amplification(g1, g2, rho, eps);
    const kind = c > 0 ? "amplified" : c < 0 ? "attenuated" : "neither amplified nor attenuated";
    return `g1 = ${Ticks.label(g1)}, g2 = ${Ticks.label(g2)}: C = ${Ticks.label(c, 4)}, ${kind}`;
  }

  return { draw, reading };
})();
