/* The whole page: controls change the model, and the pictures show the model. */
"use strict";

const Main = (() => {
  const { model } = Model, { byId, on } = Dom;
  const frames = { contours: null, map: null };
  let pointed = null, statesShown = "scaling", due = false, mapKey = "";

  /* While it plays, pictures that are out of sight are not drawn: phones are slow, and show one picture at a time. */
  function isSeen(id) {
    const { top, bottom } = byId(id).getBoundingClientRect();
    return !Transport.isPlaying() || (bottom >= 0 && top <= window.innerHeight);
  }

  function draw() {
    due = false;
    const { settings, runs } = model;
    if (isSeen("contours")) frames.contours = Contours.draw(byId("contours"), model);
    if (isSeen("surface")) Surface3d.draw(byId("surface"), model);
    if (isSeen("errors")) {
      const isLog = Curves.error(byId("errors"), model);
      byId("log").parentElement.classList.toggle("idle", settings.log && !isLog);
    }
    if (isSeen("states")) Curves.states(byId("states"), model, statesShown);
    describe(settings, runs);
    if (!Transport.isPlaying()) Table.show(byId("numbers"), tabled(), settings);
  }
  /* The map depends on three settings only. */
  function drawMap(force) {
    const { rho, eps, range } = model.settings, key = JSON.stringify([rho, eps, range, pointed]);
    if (!force && key === mapKey) return;
    mapKey = key;
    frames.map = AmplificationMap.draw(byId("map"), model.settings, pointed);
  }
  const later = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      draw();
      drawMap(false);
    });
  };

  const tabled = () => model.runs.find((run) => run.optimizer.name === byId("numbers-of").value) || model.runs[0];

  const TOLD = 8; // a longer name is tiring to hear, and some browsers drop it

  /* The pictures in words. */
  function describe({ view, shown }, runs) {
    const where = runs.slice(0, TOLD).map(({ optimizer, w, error }) => {
      const i = Math.min(shown, w.length - 1), point = model.surface.point(w[i].map((x) => Number(x.toPrecision(4))));
      return `${optimizer.label} at ${point}, error ${Ticks.label(error[i], 3)}`;
    });
    if (runs.length > TOLD) where.push(`and ${runs.length - TOLD} more, in the table below`);
    const state = `after ${shown} steps: ${where.join("; ") || "no optimizer chosen"}`;
    const limits = `w1 from ${view[0]} to ${view[1]}, w2 from ${view[2]} to ${view[3]}`;
    const labels = {
      contours: `Contours of ${model.surface.text}, ${limits}; ${state}`,
      surface: `The surface ${model.surface.text} in three dimensions; ${state}`,
      errors: `Error at each step; ${state}`,
      states: "The components of the state for w1 and w2 at each step; the table below has the numbers",
      map: "Amplification map; use the arrow keys to read it",
    };
    for (const [id, label] of Object.entries(labels)) byId(id).setAttribute("aria-label", label);
  }

  /* The list above the table has the chosen optimizers. */
  function tableChoice() {
    const select = byId("numbers-of"), chosen = select.value;
    const names = model.runs.map((run) => run.optimizer.name);
    if ([...select.options].map(({ value }) => value).join() === names.join()) return;
    select.replaceChildren(...model.runs.map((run) => new Option(run.optimizer.label, run.optimizer.name)));
    // At first one with a state to show.
    const scaled = model.runs.find((run) => run.courses.some(({ scaling }) => scaling));
    if (names.includes(chosen)) select.value = chosen;
    else if (scaled) select.value = scaled.optimizer.name;
  }

  /* How a field reads, writes and checks a setting. */
  const setting = (key, name, more) => ({
    name,
    read: () => model.settings[key],
    write: (value) => Model.change({ [key]: value }),
    check: Settings.CHECKS[key],
    ...more,
  });
  /* The same for one number of a list. */
  const element = (key, k, name, more) =>
    setting(key, name, {
      read: () => model.settings[key][k],
      write: (value) => Model.change({ [key]: Model.replaced(key, k, value) }),
      ...more,
    });

  function bindFields() {
    on("function", "input", (event) => Model.change({ f: event.target.value }));
    for (const k of [0, 1]) {
      const access = element("start", k, `The start's w${k + 1}`, {
        write: (x) => Model.change(Pointing.withStart(Model.replaced("start", k, x))),
        check: (x) => Settings.CHECKS.start([x, 0]) && "is a number from −1e100 to 1e100",
      });
      Fields.number(byId(`start-${k + 1}`), access);
    }
    const write = (steps) => {
      const { shown, steps: before } = model.settings;
      Model.change({ steps, shown: shown === before ? steps : Math.min(shown, steps) });
    };
    Fields.number(byId("steps"), setting("steps", "The number of steps", { write }));
    ["view-1-from", "view-1-to", "view-2-from", "view-2-to"].forEach((id, k) => {
      const wanted = k % 2 ? "is a number above its “from”" : "is a number below its “to”";
      const check = (x) => Settings.CHECKS.view(Model.replaced("view", k, x)) && wanted;
      const name = `The limit “w${k < 2 ? 1 : 2} ${k % 2 ? "to" : "from"}”`;
      Fields.number(byId(id), element("view", k, name, { check }));
    });
    for (const [key, scale] of [["rho", "complement"], ["eps", "log"]]) {
      Fields.slider(byId(key), { min: 0, max: 1, scale }, setting(key, key));
      Fields.number(byId(`${key}-value`), setting(key, key));
    }
    Fields.number(byId("map-range"), setting("range", "The range of the map"));
  }

  function bindViews() {
    ["turn", "tilt"].forEach((id, k) => {
      on(id, "input", () => Model.change({ camera: Model.replaced("camera", k, Number(byId(id).value)) }));
      Fields.onSync(() => (byId(id).value = model.settings.camera[k]));
    });
    on("height", "change", () => Model.change({ height: byId("height").value }));
    on("log", "change", () => Model.change({ log: byId("log").checked }));
    Fields.onSync(() => {
      const { f, height, log } = model.settings;
      if (byId("function").value !== f) byId("function").value = f;
      byId("height").value = height;
      byId("log").checked = log;
    });
    on("states-shown", "change", () => {
      statesShown = byId("states-shown").value;
      later();
    });
    on("numbers-of", "change", later);
    on("save-numbers", "click", () => {
      const run = tabled();
      if (run) Files.save(`${run.optimizer.name}.csv`, Table.csv(run), "text/csv");
    });
    on("zoom-in", "click", () => Pointing.zoom(0.7));
    on("zoom-out", "click", () => Pointing.zoom(1 / 0.7));
    on("fit", "click", Pointing.fit);
    Pointing.contours(byId("contours"), () => frames.contours, later);
    Pointing.surface(byId("surface"));
    const point = (w) => {
      pointed = w;
      later();
    };
    Pointing.map(byId("map"), () => frames.map, point);
  }

  function begin() {
    byId("version").textContent = `version ${GRADTX.version}`;
    Hyper.build(byId("optimizers"));
    Examples.bind(byId("example"));
    bindFields();
    bindViews();
    Transport.bind();
    Files.bind();
    Model.onChange((now) => {
      tableChoice();
      Legend.show(now.runs);
      Fields.sync();
      Messages.show(now);
      Files.writeSoon();
      later();
    });
    const main = document.querySelector("main");
    let width = 0;
    const redraw = () => {
      width = main.clientWidth;
      draw();
      drawMap(true);
    };
    due = true; // the change below needs no drawing of its own
    Model.change(Files.fromAddress(), { keep: true });
    redraw();
    Files.write();
    new ResizeObserver(() => main.clientWidth !== width && redraw()).observe(main); // pictures depend on the width only
    on(matchMedia("(prefers-color-scheme: dark)"), "change", redraw);
  }

  begin();
  return { frames };
})();
