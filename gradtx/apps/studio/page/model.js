/* The state of the page: settings, the surface they name, the runs on it. Everything that is drawn is read from here. */
"use strict";

const Model = (() => {
  const model = { settings: null, surface: null, mistake: null, runs: [], cross: null };
  const kept = new Map(); // runs by what they depend on: a slider moves one optimizer, the others are kept
  const listeners = [];

  function surface() {
    if (model.surface && model.surface.text === model.settings.f) return void (model.mistake = null);
    try {
      model.surface = Surface.make(model.settings.f);
      model.mistake = null;
    } catch (error) {
      if (!(error instanceof Mistake)) throw error;
      model.mistake = error;
      model.surface ??= Surface.make(Settings.BOWL); // whatever the page was made to begin with
    }
  }

  function runs() {
    const { start, h, steps, use } = model.settings,
      used = new Set();
    model.runs = GRADTX.optimizers.flatMap((optimizer, k) => {
      if (!use.includes(optimizer.name)) return [];
      const key = JSON.stringify([model.surface.text, optimizer.name, start, h[optimizer.name], steps]);
      used.add(key);
      if (!kept.has(key)) {
        const run = Run.trajectory(optimizer, model.surface, start, h[optimizer.name], steps);
        kept.set(key, { ...run, optimizer, style: Colour.style(k), courses: Run.courses(optimizer, run) });
      }
      return [kept.get(key)];
    });
    for (const key of kept.keys()) if (!used.has(key)) kept.delete(key);
  }

  /* Change some settings, compute anew, tell everybody. `keep`: leave the complaint on the page. */
  function change(some, { keep = false } = {}) {
    model.settings = { ...model.settings, ...some };
    if (!keep) Messages.complain("");
    surface();
    runs();
    for (const listener of listeners) listener(model, some);
  }

  const changeHyper = (name, key, value) =>
    change({ h: { ...model.settings.h, [name]: { ...model.settings.h[name], [key]: value } } });
  const onChange = (listener) => listeners.push(listener);

  return { model, change, changeHyper, onChange };
})();
