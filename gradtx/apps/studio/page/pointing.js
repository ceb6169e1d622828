/* Pointer and keys on the pictures: choose a start, move and zoom the view, turn the surface, read the map. */
"use strict";

const Pointing = (() => {
  const { model } = Model, { on } = Dom;
  const middle = (low, high) => (low + high) / 2;
  const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
  const place = (canvas, event) => {
    const { left, top } = canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };
  /* The point under the pointer, in a frame; null outside of its box. */
  function pointAt(canvas, event, at) {
    if (!at) return null;
    const [x, y] = place(canvas, event), { left, right, top, bottom } = at.box;
    return x >= left && x <= right && y >= top && y <= bottom ? [at.toX(x), at.toY(y)] : null;
  }
  const arrows = ({ key }) => ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] })[key];

  /* A point rounded to a five-hundredth of the view, so that a click gives short numbers. */
  function rounded(w, [x0, x1, y0, y1]) {
    return [x1 - x0, y1 - y0].map((span, k) => {
      const step = 10 ** Math.floor(Math.log10(span / 500));
      return Number((Math.round(w[k] / step) * step).toPrecision(12));
    });
  }

  /* Change the view, unless it would be too small or too large. */
  function setView(view) {
    if (!Settings.CHECKS.view(view) && view[1] - view[0] > 1e-12 && view[3] - view[2] > 1e-12)
      Model.change({ view: view.map((x) => Number(x.toPrecision(8))) });
  }
  function zoom(factor, center) {
    const [x0, x1, y0, y1] = model.settings.view, [a, b] = center || [middle(x0, x1), middle(y0, y1)];
    setView([a + (x0 - a) * factor, a + (x1 - a) * factor, b + (y0 - b) * factor, b + (y1 - b) * factor]);
  }

  /* The view with the start and all trajectories, except far points of those that diverge. */
  function fit() {
    const near = 4 * Math.max(...model.settings.start.map(Math.abs), 1);
    const paths = model.runs.flatMap(({ w }) => w.filter((x) => Math.max(...x.map(Math.abs)) <= near));
    const limits = [0, 1].map((k) => {
      const list = [model.settings.start, ...paths].map((w) => w[k]);
      return [list.reduce((a, b) => Math.min(a, b)), list.reduce((a, b) => Math.max(a, b))];
    });
    const half = 0.6 * Math.max(...limits.map(([low, high]) => high - low), 0.2);
    setView(limits.flatMap(([low, high]) => [middle(low, high) - half, middle(low, high) + half]));
  }

  /* The settings for a start. If it is outside of the view, the view changes too. */
  function withStart(start) {
    const [x0, x1, y0, y1] = model.settings.view;
    if (start[0] >= x0 && start[0] <= x1 && start[1] >= y0 && start[1] <= y1) return { start };
    const half = Number((1.15 * Math.max(...start.map(Math.abs), 1)).toPrecision(3));
    return { start, view: [-half, half, -half, half] };
  }

  function contours(canvas, frame, redraw) {
    let down = null, dragged = false; // dragged since the last press: the click at its end sets no start
    const read = (w, said) => {
      const error = Ticks.label(model.surface.value(...w), 5);
      Dom.byId("reading").textContent = `${said}w1 = ${Ticks.plain(w[0])}, w2 = ${Ticks.plain(w[1])}: error ${error}`;
    };
    const spot = (event) => {
      const w = pointAt(canvas, event, frame());
      return w && rounded(w, model.settings.view);
    };
    const setStart = (start) => {
      model.cross = null;
      Model.change({ start });
      read(start, "Start: ");
    };
    on(canvas, "pointerdown", (event) => {
      if (event.button) return;
      down = { x: event.clientX, y: event.clientY, view: model.settings.view };
      dragged = false;
    });
    on(canvas, "pointermove", (event) => {
      const at = frame(), w = spot(event);
      if (event.buttons === 0) down = null; // it was released outside
      if (w && !down) read(w, "");
      if (!down || event.pointerType === "touch" || !at) return;
      const [dx, dy] = [event.clientX - down.x, event.clientY - down.y];
      if (!dragged && Math.hypot(dx, dy) < 5) return;
      if (!dragged) canvas.setPointerCapture(event.pointerId);
      dragged = true;
      const [x0, x1, y0, y1] = down.view, { left, right, top, bottom } = at.box;
      const [a, b] = [(-dx * (x1 - x0)) / (right - left), (dy * (y1 - y0)) / (bottom - top)];
      setView([x0 + a, x1 + a, y0 + b, y1 + b]);
    });
    on(canvas, "pointerup pointercancel", () => (down = null));
    on(canvas, "click", (event) => {
      const w = spot(event);
      if (w && !dragged) setStart(w);
    });
    const zoomAt = (event) => {
      const at = frame();
      if (!at || !(event.ctrlKey || event.metaKey)) return; // without Ctrl the page scrolls
      event.preventDefault();
      const [x, y] = place(canvas, event);
      zoom(1.0015 ** clamp(event.deltaY, -300, 300), [at.toX(x), at.toY(y)]);
    };
    on(canvas, "wheel", zoomAt, { passive: false });
    on(canvas, "keydown", (event) => {
      const arrow = arrows(event), [x0, x1, y0, y1] = model.settings.view;
      if (arrow) {
        const part = event.shiftKey ? 200 : 40, [a, b] = model.cross || model.settings.start;
        const moved = [a + (arrow[0] * (x1 - x0)) / part, b + (arrow[1] * (y1 - y0)) / part];
        const [u, v] = rounded(moved, model.settings.view);
        model.cross = [clamp(u, x0, x1), clamp(v, y0, y1)];
        read(model.cross, "Cross: ");
        redraw();
      } else if (event.key === "Enter" && model.cross) setStart(model.cross);
      else if (event.key === "Escape") {
        model.cross = null;
        redraw();
      } else if (event.key === "+" || event.key === "=") zoom(0.8);
      else if (event.key === "-") zoom(1.25);
      else if (event.key === "0") fit();
      else return;
      event.preventDefault();
    });
  }

  function surface(canvas) {
    let last = null;
    const turn = (by, tilt) => {
      const [before, height] = model.settings.camera, angle = ((((before + by + 180) % 360) + 360) % 360) - 180;
      Model.change({ camera: [angle, clamp(height + tilt, 0, 90)] });
    };
    on(canvas, "pointerdown", (event) => {
      last = [event.clientX, event.clientY];
      canvas.setPointerCapture(event.pointerId);
    });
    on(canvas, "pointermove", (event) => {
      if (!last) return;
      turn(0.5 * (event.clientX - last[0]), 0.4 * (event.clientY - last[1]));
      last = [event.clientX, event.clientY];
    });
    on(canvas, "pointerup pointercancel", () => (last = null));
    on(canvas, "keydown", (event) => {
      const arrow = arrows(event);
      if (!arrow) return;
      event.preventDefault();
      turn(5 * arrow[0], 5 * arrow[1]);
    });
  }

  function map(canvas, frame, point) {
    let at = null;
    const show = (w) => {
      point((at = w));
      Dom.byId("map-reading").textContent = w ? AmplificationMap.reading(w, model.settings) : "";
    };
    on(canvas, "pointermove", (event) => {
      const w = pointAt(canvas, event, frame());
      if (w) show(w);
    });
    on(canvas, "pointerleave", () => show(null));
    on(canvas, "keydown", (event) => {
      const arrow = arrows(event), { range } = model.settings;
      if (!arrow) return;
      event.preventDefault();
      const step = range / (event.shiftKey ? 200 : 20), from = at || [0, 0];
      show(from.map((x, k) => clamp(Number((x + step * arrow[k]).toPrecision(6)), -range, range)));
    });
  }

  return { contours, surface, map, zoom, fit, withStart };
})();
