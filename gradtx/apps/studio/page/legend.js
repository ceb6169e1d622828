/* Who is who: a swatch with the hue, the dash and the marker of each optimizer. */
"use strict";

const Legend = (() => {
  /* Paint a swatch: dark to bright as the trajectories, on the ground's colour. */
  function swatch(canvas, style) {
    canvas.className = "swatch";
    [canvas.width, canvas.height] = [104, 36];
    const g = canvas.getContext("2d");
    g.scale(2, 2);
    g.fillStyle = Colour.css(Colour.ground(0.45));
    g.fillRect(0, 0, 52, 18);
    const points = Array.from({ length: 41 }, (_, i) => [4 + i * 1.1, 9]);
    Strokes.path(g, points, style, (i) => i / 40, { left: 0, top: 0, right: 52, bottom: 18 });
    Strokes.marker(g, style.marker, 43, 9, 4, style.at(1), "#fff", 1.5);
    canvas.setAttribute("aria-hidden", "true");
    return canvas;
  }

  let shown = "";

  /* Anew only where others are chosen: to paint swatches takes longer than all else that follows a slider's move. */
  function show(runs) {
    const names = runs.map(({ optimizer }) => optimizer.name).join();
    if (names === shown) return;
    shown = names;
    for (const list of document.querySelectorAll(".legend"))
      list.replaceChildren(
        ...runs.map((run) => {
          const item = document.createElement("li");
          item.append(swatch(document.createElement("canvas"), run.style), run.optimizer.label);
          return item;
        }),
      );
  }

  return { swatch, show };
})();
