/* Trajectories: the shipped update rules (GRADTX) on a surface, until they end or leave the numbers. */
"use strict";

const Run = (() => {
  const finite = (list) => list.every(Number.isFinite);

  /* All numbers inside a state: {nu: [a, b], count: 3} -> [a, b, 3]. */
  const numbers = (state) =>
    Object.values(state)
      .flat(Infinity)
      .filter((x) => typeof x === "number");

  /* {w: [[w1, w2], ...], error: [...], states: [...], stopped}: index 0 is the start, index t is after step t.
     `stopped` is null, or {step, why, start: true where not even the start has an error}. */
  function trajectory(optimizer, surface, start, hyperparameters, steps) {
    const { point } = surface;
    let w = [...start],
      state = optimizer.init(w, hyperparameters);
    const run = { w: [w], error: [surface.value(...w)], states: [state], stopped: null };
    const stop = (step, why) => ({ ...run, stopped: { step, why } });
    if (!Number.isFinite(run.error[0]))
      return stop(0, `the error at the start ${point(w)} is ${Ticks.label(run.error[0])}: ${surface.trouble(w)}`);
    for (let step = 1; step <= steps; step += 1) {
      const gradient = surface.gradient(...w);
      if (!finite(gradient))
        return stop(
          step,
          `the gradient at ${point(w)} is ${gradient.map((x) => Ticks.label(x)).join(", ")}: ${surface.slopeTrouble(w)}`,
        );
      const { u, s } = optimizer.update(gradient, state, w, hyperparameters);
      if (!finite(u)) return stop(step, `the update at ${point(w)} is ${u.map((x) => Ticks.label(x)).join(", ")}`);
      if (!finite(numbers(s))) return stop(step, "the optimizer's state overflows");
      const next = [w[0] + u[0], w[1] + u[1]];
      const error = surface.value(...next);
      if (!finite(next)) return stop(step, "the point leaves the range of numbers");
      if (!Number.isFinite(error))
        return stop(step, `the error at ${point(next)} is ${Ticks.label(error)}: ${surface.trouble(next)}`);
      w = next;
      state = s;
      run.w.push(w);
      run.error.push(error);
      run.states.push(state);
    }
    return run;
  }

  /* The courses of state entries that are like the parameters: [{name, about, scaling, values: [[s1, s2], ...]}]. */
  const courses = (optimizer, run) =>
    optimizer.state
      .filter(({ like }) => like === "params")
      .map((entry) => ({ ...entry, values: run.states.map((state) => state[entry.name]) }));

  return { trajectory, courses };
})();
