/* Legends: a swatch with the hue, the dash and the marker of each optimizer. */
"use strict";

const Legend = (() => {
  /* A swatch: from dark to bright, as the trajectories are, on a colour of the ground. */
  function swatch(style) {
    const canvas = Dom.make("canvas", { className: "swatch", width: 104, height: 36, "aria-hidden": "true" });
    const g = canvas.getContext("2d");
    g.scale(2, 2);
    g.fillStyle = Colour.css(Colour.ground(0.45));
    g.fillRect(0, 0, 52, 18);
    const points = Array.from({ length: 41 }, (_, i) => [4 + i * 1.1, 9]);
    Strokes.path(g, points, style, (i) => i / 40, { left: 0, top: 0, right: 52, bottom: 18 });
    Strokes.marker(g, style.marker, 43, 9, 4, style.at(1), "#fff", 1.5);
    return canvas;
  }

  let shown = "";

  /* Only if others are chosen: painting swatches takes longer than everything else that follows a slider's move. */
  function show(runs) {
    const names = runs.map(({ optimizer }) => optimizer.name).join();
    if (names === shown) return;
    shown = names;
    for (const list of document.querySelectorAll(".legend"))
      list.replaceChildren(...runs.map((run) => Dom.make("li", {}, swatch(run.style), run.optimizer.label)));
  }

  return { swatch, show };
})();
