/* The list of optimizers: a checkbox for each, and the controls of its hyperparameters while it is chosen. */
"use strict";

const Hyper = (() => {
  const { model } = Model, { make } = Dom;

  /* The call with its values, as Python code. Fixed arguments stay. */
  function call(optimizer, h) {
    const [, name, words] = optimizer.call.match(/^(\w+)\((.*)\)$/), chosen = h[optimizer.name];
    const written = words.split(", ").map((word) => {
      const key = word.split("=")[0];
      return Object.hasOwn(chosen, key) ? `${key}=${python(chosen[key])}` : word;
    });
    return `${name}(${written.join(", ")})`;
  }
  const python = (x) =>
    x === true ? "True" : x === false ? "False" : typeof x === "string" ? JSON.stringify(x) : String(x);

  /* A name that may be broken after its underscores. */
  const breakable = (name) => name.split(/(?<=_)/).flatMap((part) => [part, make("wbr")]);

  function control(optimizer, p) {
    const id = `${optimizer.name}-${p.name}`, name = `${optimizer.label} ${p.name}`;
    const access = {
      name: `${optimizer.label}'s ${p.name}`,
      read: () => model.settings.h[optimizer.name][p.name],
      write: (value) => Model.changeHyper(optimizer.name, p.name, value),
      check: (value) => Settings.wrong(p, value),
    };
    const label = make("label", { htmlFor: id, title: p.about }, ...breakable(p.name));
    if (p.scale === "flag" || p.scale === "choice") return [label, choice(id, p, access)];
    const slider = make("input", { id, title: p.about, "aria-label": name });
    const field = make("input", { id: `${id}-value`, type: "text", autocomplete: "off" });
    field.setAttribute("aria-label", `${name}, value`);
    Fields.slider(slider, p, access);
    Fields.number(field, access);
    return [label, slider, field];
  }

  function choice(id, p, { read, write }) {
    const flag = p.scale === "flag", className = "across";
    const made = flag
      ? make("input", { id, type: "checkbox", className })
      : make("select", { id, className }, ...p.options.map((option) => new Option(option)));
    Dom.on(made, "change", () => write(flag ? made.checked : p.options[made.selectedIndex]));
    Fields.onSync(() => (flag ? (made.checked = read()) : (made.selectedIndex = p.options.indexOf(read()))));
    return made;
  }

  function entry(optimizer, k) {
    const box = make("input", { id: `use-${optimizer.name}`, type: "checkbox" });
    const name = make("span", { textContent: optimizer.label }), code = make("code");
    const label = make("label", { className: "choice", htmlFor: box.id }, box, name, Legend.swatch(Colour.style(k)));
    const controls = optimizer.hyperparameters.flatMap((p) => control(optimizer, p));
    const group = make(
      "div",
      { className: "hyper", role: "group", "aria-label": `Hyperparameters of ${optimizer.label}` },
      make("div", { className: "controls" }, ...controls),
      code,
    );
    Dom.on(box, "change", () => {
      const isUsed = ({ name }) => (name === optimizer.name ? box.checked : model.settings.use.includes(name));
      Model.change({ use: GRADTX.optimizers.filter(isUsed).map(({ name }) => name) });
    });
    Fields.onSync(() => {
      box.checked = model.settings.use.includes(optimizer.name);
      group.hidden = !box.checked;
      code.textContent = call(optimizer, model.settings.h);
    });
    return make("div", { className: "optimizer" }, label, group);
  }

  const build = (element) => element.append(...GRADTX.optimizers.map(entry));

  return { build };
})();
