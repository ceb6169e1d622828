/* The settings of the page: defaults, and as the text of a link or a file; read with suspicion. */
"use strict";

const Settings = (() => {
  const MOST_STEPS = 5000,
    LARGEST = 1e100,
    BOWL = "3*w1^2 + 10*w2^2";
  const offered = () => GRADTX.optimizers;
  const names = () => offered().map(({ name }) => name);

  function defaults() {
    const known = names();
    const first = ["sgd", "momentum", "rmsprop", "adam"].filter((name) => known.includes(name));
    return {
      f: BOWL,
      start: [-15, 20],
      use: first.length ? first : known.slice(0, 4),
      h: Object.fromEntries(
        offered().map((o) => [o.name, Object.fromEntries(o.hyperparameters.map((p) => [p.name, p.value]))]),
      ),
      steps: 200,
      shown: 200,
      view: [-24, 24, -24, 24],
      camera: [-30, 40],
      height: "soft",
      log: true,
      speed: 20,
      rho: 0.9,
      eps: 1e-8,
      range: 6,
      ...begin(),
    };
  }

  /* What whoever made the page chose for it; the view then has the origin in its middle and the start in sight. */
  function begin() {
    const { start, ...rest } = GRADTX.settings || {};
    if (!start) return rest;
    const half = Number((1.2 * Math.max(...start.map(Math.abs), 1)).toPrecision(3));
    return { view: [-half, half, -half, half], start, ...rest };
  }

  const within = (low, high) => (x) =>
    typeof x === "number" && x >= low && x <= high ? "" : `is a number from ${low} to ${high}`;
  const all = (check, count) => (list) =>
    Array.isArray(list) && list.length === count && list.every((x) => !check(x))
      ? ""
      : `is ${count} numbers, each of which ${check(NaN)}`;

  /* What each setting has to be: "" or what was expected. */
  const CHECKS = {
    f: (x) => (typeof x === "string" && x.length <= 20000 ? "" : "is the text of a function"),
    start: all(within(-LARGEST, LARGEST), 2),
    use: (list) =>
      Array.isArray(list) && list.every((name) => names().includes(name))
        ? ""
        : `is a list out of ${names().join(", ")}`,
    steps: (x) => (Number.isInteger(x) && x >= 1 && x <= MOST_STEPS ? "" : `is a whole number from 1 to ${MOST_STEPS}`),
    shown: (x) => (Number.isInteger(x) && x >= 0 && x <= MOST_STEPS ? "" : `is a whole number from 0 to ${MOST_STEPS}`),
    view: (v) =>
      all(within(-LARGEST, LARGEST), 4)(v) ||
      (v[0] < v[1] && v[2] < v[3] ? "" : "is w1 from, to, w2 from, to, each from below its to"),
    camera: (c) => all(within(-360, 360), 2)(c),
    height: (x) => (["soft", "linear"].includes(x) ? "" : "is soft or linear"),
    log: (x) => (typeof x === "boolean" ? "" : "is true or false"),
    speed: within(1, 200),
    rho: within(0, 1),
    eps: within(0, 1),
    range: within(1e-12, 1e12),
  };

  /* "" or what a hyperparameter has to be. */
  function wrong(p, x) {
    if (p.scale === "flag") return typeof x === "boolean" ? "" : "is true or false";
    if (p.scale === "choice") return p.options.includes(x) ? "" : `is one of ${p.options.join(", ")}`;
    return within(p.min, p.max)(x);
  }

  /* Plain data of the settings: of the hyperparameters those in use, and those that were changed. */
  function plain(settings) {
    const { h, ...rest } = settings;
    const kept = {};
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
    const { gradtx_studio: version, h = {}, ...rest } = data;
    if (version !== 1) throw new Error(`gradtx_studio is ${JSON.stringify(version)}, expected 1`);
    const settings = defaults();
    for (const [key, value] of Object.entries(rest)) {
      if (!Object.hasOwn(CHECKS, key)) throw new Error(`there is no setting ${key}`);
      const said = CHECKS[key](value);
      if (said) throw new Error(`${key} ${said}, and ${JSON.stringify(value)} came`);
      settings[key] = value;
    }
    for (const [name, chosen] of Object.entries(h)) {
      const optimizer = offered().find((o) => o.name === name);
      if (!optimizer) throw new Error(`there is no optimizer ${name}`);
      for (const [key, value] of Object.entries(chosen || {})) {
        const p = optimizer.hyperparameters.find((q) => q.name === key);
        if (!p) throw new Error(`${name} has no hyperparameter ${key}`);
        const said = wrong(p, value);
        if (said) throw new Error(`${name}.${key} ${said}, and ${JSON.stringify(value)} came`);
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
      const key = part.slice(0, cut),
        value = decodeURIComponent(part.slice(cut + 1));
      if (key === "v") data.gradtx_studio = Number(value);
      else if (key.includes("."))
        (data.h[key.split(".")[0]] ??= Object.create(null))[key.split(".")[1]] = hyperparameter(value);
      else if (key === "use") data.use = value ? value.split(",") : [];
      else if (["start", "view", "camera"].includes(key)) data[key] = value.split(",").map(number);
      else data[key] = ["f", "height"].includes(key) ? value : key === "log" ? value === "true" : number(value);
    }
    return checked(data);
  }
  const number = (text) => (text.trim() === "" ? NaN : Number(text));
  const hyperparameter = (text) =>
    text === "true" ? true : text === "false" ? false : Number.isNaN(number(text)) ? text : number(text);

  return { MOST_STEPS, BOWL, defaults, wrong, plain, checked, toLink, fromLink, CHECKS };
})();
