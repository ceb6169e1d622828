/* For tests: the numbers in the pictures, with all their digits. */
"use strict";

window.gradtxStudio = (() => {
  const { model } = Model, copy = (x) => JSON.parse(JSON.stringify(x));

  /* The settings, the messages, and the chosen optimizers. */
  const state = () => ({
    settings: copy(model.settings),
    surface: {
      text: model.surface.text,
      mistake: model.mistake && { message: model.mistake.message, position: model.mistake.at + 1 },
    },
    message: Dom.byId("message").innerText,
    optimizers: model.runs.map((run) => run.optimizer.name),
    playing: Transport.isPlaying(),
  });

  /* {w, error, s: {field: [[s1, s2], ...]}, stopped, shown}: index t is after step t, also for steps not shown. */
  function trajectory(name) {
    const run = model.runs.find(({ optimizer }) => optimizer.name === name);
    if (!run) throw new Error(`${name} is not chosen`);
    return {
      w: copy(run.w),
      error: [...run.error],
      s: Object.fromEntries(run.courses.map((course) => [course.name, copy(course.values)])),
      stopped: copy(run.stopped),
      shown: model.settings.shown,
    };
  }

  /* The position of a point in the window, for clicks. */
  function pixel(w1, w2) {
    const { left, top } = Dom.byId("contours").getBoundingClientRect(), at = Main.frames.contours;
    return [left + at.x(w1), top + at.y(w2)];
  }

  return {
    state,
    trajectory,
    pixel,
    value: (w1, w2) => model.surface.value(w1, w2),
    gradient: (w1, w2) => model.surface.gradient(w1, w2),
    amplification: GRADTX.amplification,
    version: GRADTX.version,
  };
})();
