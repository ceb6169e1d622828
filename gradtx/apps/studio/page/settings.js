/* The settings of the page: defaults, and as the text of a link or a file, which is checked when it is read. */
"use strict";

const Settings = (() => {
  const MOST_STEPS = 5000, LARGEST = 1e100, BOWL = "3*w1^2 + 10*w2^2";
  const offered = () => GRADTX.optimizers, names = () => offered().map(({ name }) => name);

  // Checks return "" or what the value has to be.
  const within = (low, high) => (x) =>
    typeof x === "number" && x >= low && x <= high ? "" : `is a number from ${low} to ${high}`;
  const whole = (low) => (x) =>
    Number.isInteger(x) && x >= low && x <= MOST_STEPS ? "" : `is a whole number from ${low} to ${MOST_STEPS}`;
  const all = (check, count) => (list) =>
    Array.isArray(list) && list.length === count && list.every((x) => !check(x))
      ? ""
      : `is ${count} numbers, each of which ${check(NaN)}`;
  const coordinates = (count) => all(within(-LARGEST, LARGEST), count);
  const oneOf = (options) => (x) => (options.includes(x) ? "" : `is one of ${options.join(", ")}`);
  const flag = (x) => (typeof x === "boolean" ? "" : "is true or false");

  // How the text of a link is read.
  const number = (text) => (text.trim() === "" ? NaN : Number(text));
  const numbers = (text) => text.split(",").map(number);
  const asIs = (text) => text;

  // Each setting: its default, its check, and how it is read.
  const TABLE = {
    f: [BOWL, (x) => (typeof x === "string" && x.length <= 20000 ? "" : "is the text of a function"), asIs],
    start: [[-15, 20], coordinates(2), numbers],
    use: [
      ["sgd", "momentum", "rmsprop", "adam"],
      (list) =>
        Array.isArray(list) && list.every((name) => names().includes(name))
          ? ""
          : `is a list out of ${names().join(", ")}`,
      (text) => (text ? text.split(",") : []),
    ],
    steps: [200, whole(1), number],
    shown: [200, whole(0), number],
    view: [
      [-24, 24, -24, 24],
      (v) =>
        coordinates(4)(v) ||
        (v[0] < v[1] && v[2] < v[3] ? "" : "is w1 from, to, w2 from, to, each from below its to"),
      numbers,
    ],
    camera: [[-30, 40], all(within(-360, 360), 2), numbers],
    height: ["soft", oneOf(["soft", "linear"]), asIs],
    log: [true, flag, (text) => text === "true"],
    speed: [20, within(1, 200), number],
    rho: [0.9, within(0, 1), number],
    eps: [1e-8, within(0, 1), number],
    range: [6, within(1e-12, 1e12), number],
  };
  const column = (k) => Object.fromEntries(Object.entries(TABLE).map(([key, row]) => [key, row[k]]));
  const CHECKS = column(1);

  function defaults() {
    const values = (o) => Object.fromEntries(o.hyperparameters.map((p) => [p.name, p.value]));
    const first = structuredClone(column(0)), known = names();
    first.use = first.use.filter((name) => known.includes(name));
    if (!first.use.length) first.use = known.slice(0, 4);
    return { ...first, h: Object.fromEntries(offered().map((o) => [o.name, values(o)])), ...made() };
  }

  /* The settings that the page was made with. A view with the origin in its middle then contains the start. */
  function made() {
    const { start, ...rest } = GRADTX.settings || {};
    if (!start) return rest;
    const half = Number((1.2 * Math.max(...start.map(Math.abs), 1)).toPrecision(3));
    return { view: [-half, half, -half, half], start, ...rest };
  }

  /* The check of a hyperparameter. */
  function wrong(p, x) {
    if (p.scale === "flag") return flag(x);
    return (p.scale === "choice" ? oneOf(p.options) : within(p.min, p.max))(x);
  }

  /* The settings as plain data, with the hyperparameters of the chosen optimizers and those that were changed. */
  function plain(settings) {
    const { h, ...rest } = settings, kept = {};
    for (const o of offered())
      for (const p of o.hyperparameters)
        if (settings.use.includes(o.name) || h[o.name][p.name] !== p.value)
          (kept[o.name] ??= {})[p.name] = h[o.name][p.name];
    return { gradtx_studio: 1, ...rest, h: kept };
  }

  /* Settings from plain data; throws an Error that names what is wrong. */
  function checked(data) {
    if (data === null || typeof data !== "object" || Array.isArray(data))
      throw new Error("settings are an object {...}");
    const { gradtx_studio: version, h = {}, ...rest } = data, settings = defaults();
    if (version !== 1) throw new Error(`gradtx_studio is ${JSON.stringify(version)}, expected 1`);
    const refuse = (key, value, wanted) => {
      if (wanted) throw new Error(`${key} ${wanted}; got ${JSON.stringify(value)}`);
    };
    for (const [key, value] of Object.entries(rest)) {
      if (!Object.hasOwn(CHECKS, key)) throw new Error(`there is no setting ${key}`);
      refuse(key, value, CHECKS[key](value));
      settings[key] = value;
    }
    for (const [name, chosen] of Object.entries(h)) {
      const optimizer = offered().find((o) => o.name === name);
      if (!optimizer) throw new Error(`there is no optimizer ${name}`);
      for (const [key, value] of Object.entries(chosen || {})) {
        const p = optimizer.hyperparameters.find((q) => q.name === key);
        if (!p) throw new Error(`${name} has no hyperparameter ${key}`);
        refuse(`${name}.${key}`, value, wrong(p, value));
        settings.h[name][key] = value;
      }
    }
    settings.shown = Math.min(settings.shown, settings.steps);
    return settings;
  }

  /* The text after # of a link: f=...&start=-15,20&adam.learning_rate=0.1; numbers keep all their digits. */
  function toLink(settings) {
    const { gradtx_studio: version, h, ...rest } = plain(settings);
    const parts = Object.entries(rest).map(
      ([key, value]) => `${key}=${encodeURIComponent(String(value)).replace(/%2C/g, ",")}`,
    );
    for (const [name, chosen] of Object.entries(h))
      for (const [key, value] of Object.entries(chosen)) parts.push(`${name}.${key}=${encodeURIComponent(value)}`);
    return `v=${version}&${parts.join("&")}`;
  }

  function fromLink(text) {
    const data = { h: Object.create(null) }; // a key may be __proto__
    for (const part of text.replace(/^#/, "").split("&").filter(Boolean)) {
      const cut = part.indexOf("=");
      if (cut < 0) throw new Error(`${part} is not of the form name=value`);
      const key = part.slice(0, cut), value = decodeURIComponent(part.slice(cut + 1)), [name, inner] = key.split(".");
      if (key === "v") data.gradtx_studio = Number(value);
      else if (inner !== undefined) (data.h[name] ??= Object.create(null))[inner] = hyperparameter(value);
      else data[key] = Object.hasOwn(TABLE, key) ? TABLE[key][2](value) : value;
    }
    return checked(data);
  }
  const hyperparameter = (text) =>
    text === "true" ? true : text === "false" ? false : Number.isNaN(number(text)) ? text : number(text);

  return { MOST_STEPS, BOWL, defaults, wrong, plain, checked, toLink, fromLink, CHECKS };
})();
