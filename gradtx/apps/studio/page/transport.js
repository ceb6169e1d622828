/* Step, play, pause, reset, and the number of steps that are shown. */
"use strict";

const Transport = (() => {
  const { model } = Model, { byId, on } = Dom;
  const calm = matchMedia("(prefers-reduced-motion: reduce)"), SELDOM = 500; // then two pictures a second, in ms
  let playing = null; // {since, from, speed, drawn}: when and at which step playing began, and the last picture

  const say = () => {
    const { shown } = model.settings, last = ({ error }) => error[Math.min(shown, error.length - 1)];
    const errors = model.runs.map((run) => `${run.optimizer.label}: error ${Ticks.label(last(run), 3)}`);
    Messages.announce(`Step ${shown}. ${errors.join(". ")}`);
  };

  function pause() {
    if (!playing) return;
    playing = null;
    Model.change({});
    say();
  }

  function play() {
    const { shown, steps, speed } = model.settings;
    playing = { since: performance.now(), from: shown >= steps ? 0 : shown, speed, drawn: 0 };
    Model.change({ shown: playing.from });
    requestAnimationFrame(tick);
  }

  function tick(now) {
    if (!playing) return;
    const { shown, steps, speed } = model.settings;
    if (speed !== playing.speed) playing = { since: now, from: shown, speed, drawn: now };
    const next = Math.min(Math.max(playing.from + Math.floor(((now - playing.since) / 1000) * speed), 0), steps);
    if (next !== shown && (!calm.matches || next >= steps || now - playing.drawn > SELDOM)) {
      playing.drawn = now;
      Model.change({ shown: next });
    }
    if (next >= steps) pause();
    else requestAnimationFrame(tick);
  }

  /* Stop playing and show this many steps. */
  function show(shown, steps = model.settings.steps) {
    pause();
    Model.change({ shown, steps });
    say();
  }

  function bind() {
    on("step", "click", () => {
      pause();
      const shown = Math.min(model.settings.shown + 1, Settings.MOST_STEPS);
      show(shown, Math.max(model.settings.steps, shown)); // past the end the run becomes longer
    });
    on("play", "click", () => (playing ? pause() : play()));
    on("reset", "click", () => show(0));
    on("shown", "input", () => {
      playing = null;
      Model.change({ shown: Number(byId("shown").value) });
    });
    on("speed", "input", () => Model.change({ speed: Number(byId("speed").value) }));
    Fields.onSync(() => {
      const { shown, steps, speed } = model.settings;
      Object.assign(byId("shown"), { max: steps, value: shown });
      byId("shown-value").textContent = `${shown} of ${steps}`;
      byId("speed").value = speed;
      byId("speed").setAttribute("aria-valuetext", `${speed} steps a second`);
      byId("play").textContent = playing ? "Pause" : "Play";
    });
  }

  return { bind, pause, isPlaying: () => playing !== null };
})();
