/* Put it all together: controls change the model, the model is drawn. */
"use strict";

const Main = (() => {
  const { model } = Model,
    { byId } = Fields;
  const frames = { contours: null, map: null };
  let pointed = null,
    statesShown = "scaling",
    due = false,
    isLog = true;

  /* While it plays, what is out of sight is left as it is: phones are slow, and show one picture at a time. */
  function unseen(id) {
    const { top, bottom } = byId(id).getBoundingClientRect();
    return Transport.isPlaying() && (bottom < 0 || top > window.innerHeight);
  }

  function draw() {
    due = false;
    const { settings, runs } = model;
    if (!unseen("contours")) frames.contours = Contours.draw(byId("contours"), model);
    if (!unseen("surface")) Surface3d.draw(byId("surface"), model);
    if (!unseen("errors")) isLog = Curves.error(byId("errors"), model);
    if (!unseen("states")) Curves.states(byId("states"), model, statesShown);
    byId("log").parentElement.classList.toggle("idle", settings.log && !isLog);
    describe(settings, runs);
    if (!Transport.isPlaying()) Table.show(byId("numbers"), tabled(), settings);
  }
  /* The map depends on its own three settings alone. */
  let mapKey = "";
  function drawMap(force) {
    const { rho, eps, range } = model.settings,
      key = JSON.stringify([rho, eps, range, pointed]);
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

  /* The pictures in words. */
  function describe({ view, shown }, runs) {
    const where = runs.map((run) => {
      const i = Math.min(shown, run.w.length - 1);
      return `${run.optimizer.label} at ${model.surface.point(run.w[i].map((x) => Number(x.toPrecision(4))))}, error ${Ticks.label(run.error[i], 3)}`;
    });
    const state = `after ${shown} steps: ${where.join("; ") || "no optimizer chosen"}`;
    const label = (id, text) => byId(id).setAttribute("aria-label", text);
    label(
      "contours",
      `Contours of ${model.surface.text}, w1 from ${view[0]} to ${view[1]}, w2 from ${view[2]} to ${view[3]}; ${state}`,
    );
    label("surface", `The surface ${model.surface.text} in three dimensions; ${state}`);
    label("errors", `Error at each step; ${state}`);
    label("states", "The components of the state for w1 and w2 at each step; the table below has the numbers");
    label("map", "Amplification map; use the arrow keys to read it");
  }

  /* The list beside the table follows the chosen optimizers. */
  function tableChoice() {
    const select = byId("numbers-of"),
      chosen = select.value;
    const names = model.runs.map((run) => run.optimizer.name);
    if ([...select.options].map(({ value }) => value).join() === names.join()) return;
    select.replaceChildren(...model.runs.map((run) => new Option(run.optimizer.label, run.optimizer.name)));
    // At first one that has something to show beside the point.
    const scaled = model.runs.find((run) => run.courses.some(({ scaling }) => scaling));
    if (names.includes(chosen)) select.value = chosen;
    else if (scaled) select.value = scaled.optimizer.name;
  }

  function bindFields() {
    byId("function").addEventListener("input", (event) => Model.change({ f: event.target.value }));
    Fields.onSync(() => {
      if (byId("function").value !== model.settings.f) byId("function").value = model.settings.f;
    });
    for (const k of [0, 1])
      Fields.number(byId(`start-${k + 1}`), {
        name: `The start's w${k + 1}`,
        read: () => model.settings.start[k],
        write: (x) => Model.change(Pointing.withStart(model.settings.start.map((old, i) => (i === k ? x : old)))),
        check: (x) => Settings.CHECKS.start([x, 0]) && "is a number from −1e100 to 1e100",
      });
    Fields.number(byId("steps"), {
      name: "The number of steps",
      read: () => model.settings.steps,
      write: (steps) =>
        Model.change({
          steps,
          shown: model.settings.shown === model.settings.steps ? steps : Math.min(model.settings.shown, steps),
        }),
      check: Settings.CHECKS.steps,
    });
    ["view-1-from", "view-1-to", "view-2-from", "view-2-to"].forEach((id, k) => {
      const changed = (x) => model.settings.view.map((old, i) => (i === k ? x : old));
      Fields.number(byId(id), {
        name: `The limit “w${k < 2 ? 1 : 2} ${k % 2 ? "to" : "from"}”`,
        read: () => model.settings.view[k],
        write: (x) => Model.change({ view: changed(x) }),
        check: (x) =>
          Settings.CHECKS.view(changed(x)) && (k % 2 ? "is a number above its “from”" : "is a number below its “to”"),
      });
    });
    for (const [key, scale] of [
      ["rho", { min: 0, max: 1, scale: "complement" }],
      ["eps", { min: 0, max: 1, scale: "log" }],
    ]) {
      const access = {
        name: key,
        read: () => model.settings[key],
        write: (x) => Model.change({ [key]: x }),
        check: Settings.CHECKS[key],
      };
      Fields.slider(byId(key), scale, access);
      Fields.number(byId(`${key}-value`), access);
    }
    Fields.number(byId("map-range"), {
      name: "The range of the map",
      read: () => model.settings.range,
      write: (range) => Model.change({ range }),
      check: Settings.CHECKS.range,
    });
  }

  function bindViews() {
    ["turn", "tilt"].forEach((id, k) => {
      byId(id).addEventListener("input", () =>
        Model.change({ camera: model.settings.camera.map((old, i) => (i === k ? Number(byId(id).value) : old)) }),
      );
      Fields.onSync(() => (byId(id).value = model.settings.camera[k]));
    });
    byId("height").addEventListener("change", () => Model.change({ height: byId("height").value }));
    byId("log").addEventListener("change", () => Model.change({ log: byId("log").checked }));
    Fields.onSync(() => {
      byId("height").value = model.settings.height;
      byId("log").checked = model.settings.log;
    });
    byId("states-shown").addEventListener("change", () => {
      statesShown = byId("states-shown").value;
      later();
    });
    byId("numbers-of").addEventListener("change", later);
    byId("save-numbers").addEventListener(
      "click",
      () => tabled() && Files.save(`${tabled().optimizer.name}.csv`, Table.csv(tabled()), "text/csv"),
    );
    byId("zoom-in").addEventListener("click", () => Pointing.zoom(0.7));
    byId("zoom-out").addEventListener("click", () => Pointing.zoom(1 / 0.7));
    byId("fit").addEventListener("click", Pointing.fit);
    Pointing.contours(byId("contours"), () => frames.contours, later);
    Pointing.surface(byId("surface"));
    Pointing.map(
      byId("map"),
      () => frames.map,
      (w) => {
        pointed = w;
        later();
      },
    );
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
    Model.change(Files.fromAddress(), { keep: true });
    const redraw = () => {
      draw();
      drawMap(true);
    };
    redraw();
    Files.write();
    new ResizeObserver(redraw).observe(document.querySelector("main"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  }

  begin();
  return { frames };
})();
