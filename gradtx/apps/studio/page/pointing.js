/* Pointer and keys on the pictures: choose a start, move and zoom the view, turn the surface, read the map. */
"use strict";

const Pointing = (() => {
  const { model } = Model;
  const middle = (low, high) => (low + high) / 2;
  const place = (canvas, event) => {
    const { left, top } = canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };
  const inside = ({ left, right, top, bottom }, [x, y]) => x >= left && x <= right && y >= top && y <= bottom;

  /* A point rounded to a five-hundredth of the view, so that a click gives a short number. */
  function rounded(w, [x0, x1, y0, y1]) {
    const round = (x, span) => {
      const step = 10 ** Math.floor(Math.log10(span / 500));
      return Number((Math.round(x / step) * step).toPrecision(12));
    };
    return [round(w[0], x1 - x0), round(w[1], y1 - y0)];
  }

  /* A change of the view, if it stays one. */
  function setView(view) {
    if (!Settings.CHECKS.view(view) && view[1] - view[0] > 1e-12 && view[3] - view[2] > 1e-12)
      Model.change({ view: view.map((x) => Number(x.toPrecision(8))) });
  }
  function zoom(
    factor,
    [a, b] = [middle(...model.settings.view.slice(0, 2)), middle(...model.settings.view.slice(2))],
  ) {
    const [x0, x1, y0, y1] = model.settings.view;
    setView([a + (x0 - a) * factor, a + (x1 - a) * factor, b + (y0 - b) * factor, b + (y1 - b) * factor]);
  }

  /* The view that holds the start and all trajectories, but for runaways. */
  function fit() {
    const near = 4 * Math.max(...model.settings.start.map(Math.abs), 1);
    const points = [
      model.settings.start,
      ...model.runs.flatMap(({ w }) => w.filter((x) => Math.max(...x.map(Math.abs)) <= near)),
    ];
    const limits = [0, 1].map((k) => {
      const list = points.map((w) => w[k]);
      return [list.reduce((a, b) => Math.min(a, b)), list.reduce((a, b) => Math.max(a, b))];
    });
    const half = 0.6 * Math.max(...limits.map(([low, high]) => high - low), 0.2);
    setView(limits.flatMap(([low, high]) => [middle(low, high) - half, middle(low, high) + half]));
  }

  /* A start that is out of sight draws the view with it. */
  function withStart(start) {
    const v = model.settings.view,
      view = [Math.min(v[0], start[0]), Math.max(v[1], start[0]), Math.min(v[2], start[1]), Math.max(v[3], start[1])];
    const out = view.some((x, k) => x !== v[k]);
    if (!out) return { start };
    const half = 1.15 * Math.max(...start.map(Math.abs), 1);
    return { start, view: [-half, half, -half, half].map((x) => Number(x.toPrecision(3))) };
  }

  function contours(canvas, frame, redraw) {
    let down = null,
      dragged = false; // since the last press: then the click at its end sets no start
    const read = (w, said) =>
      (Fields.byId("reading").textContent =
        `${said}w1 = ${Ticks.plain(w[0])}, w2 = ${Ticks.plain(w[1])}: error ${Ticks.label(model.surface.value(...w), 5)}`);
    const spot = (event) => {
      const p = place(canvas, event),
        at = frame();
      return at && inside(at.box, p) ? rounded([at.toX(p[0]), at.toY(p[1])], model.settings.view) : null;
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      down = { x: event.clientX, y: event.clientY, view: model.settings.view };
      dragged = false;
    });
    canvas.addEventListener("pointermove", (event) => {
      const at = frame(),
        w = spot(event);
      if (event.buttons === 0) down = null; // it was let go outside
      if (w && !down) read(w, "");
      if (!down || event.pointerType === "touch" || !at) return;
      const [dx, dy] = [event.clientX - down.x, event.clientY - down.y];
      if (!dragged && Math.hypot(dx, dy) < 5) return;
      if (!dragged) canvas.setPointerCapture(event.pointerId);
      dragged = true;
      const [x0, x1, y0, y1] = down.view,
        { left, right, top, bottom } = at.box;
      const [a, b] = [(-dx * (x1 - x0)) / (right - left), (dy * (y1 - y0)) / (bottom - top)];
      setView([x0 + a, x1 + a, y0 + b, y1 + b]);
    });
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => (down = null));
    canvas.addEventListener("click", (event) => {
      const w = spot(event);
      if (!w || dragged) return;
      model.cross = null;
      Model.change({ start: w });
      read(w, "Start: ");
    });
    canvas.addEventListener(
      "wheel",
      (event) => {
        // Without Ctrl the page scrolls.
        const at = frame();
        if (!at || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        const p = place(canvas, event);
        zoom(1.0015 ** Math.max(-300, Math.min(300, event.deltaY)), [at.toX(p[0]), at.toY(p[1])]);
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => {
      const arrow = arrows(event),
        [x0, x1, y0, y1] = model.settings.view;
      if (arrow) {
        const part = event.shiftKey ? 200 : 40,
          from = model.cross || model.settings.start;
        const moved = rounded(
          [from[0] + (arrow[0] * (x1 - x0)) / part, from[1] + (arrow[1] * (y1 - y0)) / part],
          model.settings.view,
        );
        model.cross = [Math.min(Math.max(moved[0], x0), x1), Math.min(Math.max(moved[1], y0), y1)];
        read(model.cross, "Cross: ");
        redraw();
      } else if (event.key === "Enter" && model.cross) {
        const start = model.cross;
        model.cross = null;
        Model.change({ start });
        read(start, "Start: ");
      } else if (event.key === "Escape") {
        model.cross = null;
        redraw();
      } else if (event.key === "+" || event.key === "=") zoom(0.8);
      else if (event.key === "-") zoom(1.25);
      else if (event.key === "0") fit();
      else return;
      event.preventDefault();
    });
  }

  const arrows = ({ key }) => ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] })[key];
  const turned = ([turn, tilt]) => [((((turn + 180) % 360) + 360) % 360) - 180, Math.min(Math.max(tilt, 0), 90)];

  function surface(canvas) {
    let last = null;
    canvas.addEventListener("pointerdown", (event) => {
      last = [event.clientX, event.clientY];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      const [turn, tilt] = model.settings.camera;
      Model.change({
        camera: turned([turn + 0.5 * (event.clientX - last[0]), tilt + 0.4 * (event.clientY - last[1])]),
      });
      last = [event.clientX, event.clientY];
    });
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => (last = null));
    canvas.addEventListener("keydown", (event) => {
      const arrow = arrows(event);
      if (!arrow) return;
      event.preventDefault();
      const [turn, tilt] = model.settings.camera;
      Model.change({ camera: turned([turn + 5 * arrow[0], tilt + 5 * arrow[1]]) });
    });
  }

  function map(canvas, frame, point) {
    let at = null;
    const show = (w) => {
      point((at = w));
      Fields.byId("map-reading").textContent = w ? AmplificationMap.reading(w, model.settings) : "";
    };
    canvas.addEventListener("pointermove", (event) => {
      const now = frame(),
        p = place(canvas, event);
      if (now && inside(now.box, p)) show([now.toX(p[0]), now.toY(p[1])]);
    });
    canvas.addEventListener("pointerleave", () => show(null));
    canvas.addEventListener("keydown", (event) => {
      const arrow = arrows(event),
        { range } = model.settings;
      if (!arrow) return;
      event.preventDefault();
      const step = range / (event.shiftKey ? 200 : 20),
        from = at || [0, 0];
      show(from.map((x, k) => Math.min(Math.max(Number((x + step * arrow[k]).toPrecision(6)), -range), range)));
    });
  }

  return { contours, surface, map, zoom, fit, withStart };
})();
