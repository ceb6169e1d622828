/* Trajectories: the generated update rules (GRADTX) on a surface, until they end or a number is not finite. */
"use strict";

const Run = (() => {
  const finite = (list) => list.every(Number.isFinite);
  const list = (numbers) => numbers.map((x) => Ticks.label(x)).join(", ");

  /* {w: [[w1, w2], ...], error: [...], states: [...], stopped}: index 0 is the start, index t is after step t.
     `stopped` is null or {step, why}; the step is 0 if the start has no error. */
  function trajectory(optimizer, surface, start, hyperparameters, steps) {
    const { point } = surface, run = { w: [], error: [], states: [], stopped: null };
    const keep = (w, error, state) => [run.w, run.error, run.states].forEach((all, k) => all.push([w, error, state][k]));
    const stop = (step, why) => ({ ...run, stopped: { step, why } });
    let w = [...start], error = surface.value(...w), state = optimizer.init(w, hyperparameters);
    keep(w, error, state);
    if (!Number.isFinite(error))
      return stop(0, `the error at the start ${point(w)} is ${Ticks.label(error)}: ${surface.trouble(w)}`);
    for (let step = 1; step <= steps; step += 1) {
      const g = surface.gradient(...w);
      if (!finite(g)) return stop(step, `the gradient at ${point(w)} is ${list(g)}: ${surface.slopeTrouble(w)}`);
      const { u, s } = optimizer.update(g, state, w, error, hyperparameters);
      if (!finite(u)) return stop(step, `the update at ${point(w)} is ${list(u)}`);
      if (!finite(Object.values(s).flat().map(Number))) return stop(step, "the optimizer's state overflows");
      w = [w[0] + u[0], w[1] + u[1]];
      error = surface.value(...w);
      state = s;
      if (!finite(w)) return stop(step, "the point leaves the range of numbers");
      if (!Number.isFinite(error))
        return stop(step, `the error at ${point(w)} is ${Ticks.label(error)}: ${surface.trouble(w)}`);
      keep(w, error, state);
    }
    return run;
  }

  /* The courses of the fields that are like the parameters: [{name, about, scaling, values: [[s1, s2], ...]}]. */
  const courses = (optimizer, run) =>
    optimizer.state
      .filter(({ like }) => like === "params")
      .map((entry) => ({ ...entry, values: run.states.map((state) => state[entry.name]) }));

  return { trajectory, courses };
})();
