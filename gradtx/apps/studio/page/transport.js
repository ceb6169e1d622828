/* Step, play, pause, reset, and how many steps are shown. */
"use strict";

const Transport = (() => {
  const { model } = Model,
    { byId } = Fields;
  const calm = matchMedia("(prefers-reduced-motion: reduce)"),
    SELDOM = 500; // then two pictures a second, in ms
  let playing = null; // {since, from}: when and at which step playing began

  const say = () => {
    const { shown } = model.settings;
    Messages.announce(
      `Step ${shown}. ${model.runs.map((run) => `${run.optimizer.label}: error ${Ticks.label(run.error[Math.min(shown, run.error.length - 1)], 3)}`).join(". ")}`,
    );
  };

  function pause() {
    if (!playing) return;
    playing = null;
    Model.change({});
    say();
  }

  function play() {
    const { shown, steps } = model.settings;
    playing = { since: performance.now(), from: shown >= steps ? 0 : shown, speed: model.settings.speed, drawn: 0 };
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

  /* One step more; past the end the run is made longer. */
  function step() {
    pause();
    const shown = Math.min(model.settings.shown + 1, Settings.MOST_STEPS);
    Model.change({ shown, steps: Math.max(model.settings.steps, shown) });
    say();
  }

  function bind() {
    byId("step").addEventListener("click", step);
    byId("play").addEventListener("click", () => (playing ? pause() : play()));
    byId("reset").addEventListener("click", () => {
      pause();
      Model.change({ shown: 0 });
      say();
    });
    byId("shown").addEventListener("input", () => {
      playing = null;
      Model.change({ shown: Number(byId("shown").value) });
    });
    byId("speed").addEventListener("input", () => Model.change({ speed: Number(byId("speed").value) }));
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
