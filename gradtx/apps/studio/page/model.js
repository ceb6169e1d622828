/* The state of the page: settings, the surface they describe, and the runs on it. All pictures show this. */
"use strict";

const Model = (() => {
  const model = { settings: null, surface: null, mistake: null, runs: [], cross: null };
  const kept = new Map(); // runs by what they depend on: a slider changes one optimizer, and the other runs are kept
  const listeners = [];

  function surface() {
    model.mistake = null;
    if (model.surface && model.surface.text === model.settings.f) return;
    try {
      model.surface = Surface.make(model.settings.f);
    } catch (error) {
      if (!(error instanceof Mistake)) throw error;
      model.mistake = error;
      model.surface ??= Surface.make(Settings.BOWL); // the page may have been made with a mistake
    }
  }

  function runs() {
    const { start, h, steps, use } = model.settings, used = new Set();
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

  /* Change some settings, compute anew, tell the listeners. `keep`: leave the complaint on the page. */
  function change(some, { keep = false } = {}) {
    model.settings = { ...model.settings, ...some };
    if (!keep) Messages.complain("");
    surface();
    runs();
    for (const listener of listeners) listener(model, some);
  }

  const changeHyper = (name, key, value) =>
    change({ h: { ...model.settings.h, [name]: { ...model.settings.h[name], [key]: value } } });
  /* A list in the settings, with another value at index k. */
  const replaced = (key, k, value) => model.settings[key].map((old, i) => (i === k ? value : old));
  const onChange = (listener) => listeners.push(listener);

  return { model, change, changeHyper, replaced, onChange };
})();
