/* Error functions that show something, each with a start and a view. */
"use strict";

const Examples = (() => {
  const rates = (sgd, momentum, more) => ({ sgd, momentum, nesterov: momentum, ...more });

  // Name, function, start, view, and learning rates for its scale; the others keep their own.
  const LIST = [
    ["Elongated bowl", "3*w1^2 + 10*w2^2", [-15, 20], [-24, 24, -24, 24], {}],
    ["Egg box", "sin(w1) + cos(w2)", [0.9, -0.4], [-7, 7, -7, 7], rates(0.1, 0.02, { adam: 0.1 })],
    [
      "Rosenbrock's valley", "(1 - w1)^2 + 100*(w2 - w1^2)^2",
      [-1.2, 1], [-2, 2, -1.5, 2.5], rates(0.002, 0.0005, { rmsprop: 0.02, adam: 0.1 }),
    ],
    [
      "Beale", "(1.5 - w1 + w1*w2)^2 + (2.25 - w1 + w1*w2^2)^2 + (2.625 - w1 + w1*w2^3)^2",
      [1, 1.6], [-1, 4.5, -2.5, 3], rates(0.005, 0.001, { rmsprop: 0.02, adam: 0.1 }),
    ],
    [
      "Himmelblau, four minima", "(w1^2 + w2 - 11)^2 + (w1 + w2^2 - 7)^2",
      [-0.5, -1], [-5.5, 5.5, -5.5, 5.5], rates(0.005, 0.002, { adam: 0.2 }),
    ],
    ["Saddle", "w1^2 - w2^2 + 0.05*w2^4", [3, 0.01], [-4.5, 4.5, -4.5, 4.5], rates(0.02, 0.01, { adam: 0.1 })],
    [
      "Plateau", "tanh(w1^2 + 4*w2^2)",
      [-1.2, 0.55], [-1.6, 1.6, -1.6, 1.6], rates(0.02, 0.02, { rmsprop: 0.01, adam: 0.02 }),
    ],
    [
      "Rastrigin, many minima", "20 + w1^2 + w2^2 - 10*(cos(2*pi*w1) + cos(2*pi*w2))",
      [2.3, -3.4], [-5, 5, -5, 5], rates(0.002, 0.003, { adam: 0.3 }),
    ],
    ["Edges", "abs(w1) + 3*abs(w2)", [-3, 2], [-4, 4, -4, 4], rates(0.05, 0.01, { adam: 0.1 })],
    ["With a forbidden half", "w1 - log(w1) + w2^2", [3, 2], [-4, 4, -4, 4], rates(0.05, 0.02, { adam: 0.1 })],
  ];

  /* The hyperparameters with the learning rates of an example, and the page's own where it has none. */
  function rated(h, rates) {
    const changed = { ...h };
    for (const { name, hyperparameters } of GRADTX.optimizers) {
      const rate = hyperparameters.find((p) => p.name === "learning_rate");
      if (rate) changed[name] = { ...h[name], learning_rate: rates[name] ?? rate.value };
    }
    return changed;
  }

  function bind(select) {
    select.append(new Option("Examples…", ""), ...LIST.map(([name], k) => new Option(name, k)));
    Dom.on(select, "change", () => {
      const chosen = LIST[select.value];
      if (!chosen) return;
      const [name, f, start, view, rates] = chosen, { settings } = Model.model;
      Transport.pause();
      Model.change({ f, start, view, h: rated(settings.h, rates), shown: settings.steps });
      Messages.announce(`${name}: function, start, limits and learning rates are set.`);
    });
    Fields.onSync(() => {
      const k = LIST.findIndex(([, f]) => f === Model.model.settings.f);
      select.value = k < 0 ? "" : String(k);
    });
  }

  return { bind };
})();
