/* The list of optimizers: a checkbox each, and the controls of its hyperparameters while it is chosen. */
"use strict";

const Hyper = (() => {
  const { model } = Model;

  /* The call with its values, for people who go on in Python; what is fixed in it stays. */
  function call(optimizer, h) {
    const [, name, words] = optimizer.call.match(/^(\w+)\((.*)\)$/),
      chosen = h[optimizer.name];
    const written = words.split(", ").map((word) => {
      const key = word.split("=")[0];
      return Object.hasOwn(chosen, key) ? `${key}=${python(chosen[key])}` : word;
    });
    return `${name}(${written.join(", ")})`;
  }
  const python = (x) =>
    x === true ? "True" : x === false ? "False" : typeof x === "string" ? JSON.stringify(x) : String(x);

  function make(kind, more, ...children) {
    const made = Object.assign(document.createElement(kind), more);
    made.append(...children);
    return made;
  }

  /* A name that may be broken after its underscores. */
  const breakable = (name) => name.split(/(?<=_)/).flatMap((part) => [part, document.createElement("wbr")]);

  function control(optimizer, p) {
    const id = `${optimizer.name}-${p.name}`;
    const access = {
      name: `${optimizer.label}'s ${p.name}`,
      read: () => model.settings.h[optimizer.name][p.name],
      write: (value) => Model.changeHyper(optimizer.name, p.name, value),
      check: (value) => Settings.wrong(p, value),
    };
    const label = make("label", { htmlFor: id, title: p.about || "" }, ...breakable(p.name));
    if (p.scale === "flag" || p.scale === "choice") return [label, choice(id, p, access)];
    const slider = make("input", { id, title: p.about || "" }),
      field = make("input", { id: `${id}-value`, type: "text", autocomplete: "off" });
    slider.setAttribute("aria-label", `${optimizer.label} ${p.name}`);
    field.setAttribute("aria-label", `${optimizer.label} ${p.name}, value`);
    Fields.slider(slider, p, access);
    Fields.number(field, access);
    return [label, slider, field];
  }

  function choice(id, p, { read, write }) {
    const flag = p.scale === "flag";
    const made = flag
      ? make("input", { id, type: "checkbox" })
      : make("select", { id }, ...p.options.map((option) => make("option", { textContent: String(option) })));
    made.classList.add("across");
    made.addEventListener("change", () => write(flag ? made.checked : p.options[made.selectedIndex]));
    Fields.onSync(() => (flag ? (made.checked = read()) : (made.selectedIndex = p.options.indexOf(read()))));
    return made;
  }

  function entry(optimizer, k) {
    const box = make("input", { id: `use-${optimizer.name}`, type: "checkbox" });
    const swatch = Legend.swatch(document.createElement("canvas"), Colour.style(k));
    const label = make(
      "label",
      { className: "choice", htmlFor: box.id },
      box,
      make("span", { textContent: optimizer.label }),
      swatch,
    );
    const code = make("code", {});
    const controls = make(
      "div",
      { className: "controls" },
      ...optimizer.hyperparameters.flatMap((p) => control(optimizer, p)),
    );
    const group = make("div", { className: "hyper" }, controls, code);
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", `Hyperparameters of ${optimizer.label}`);
    box.addEventListener("change", () => {
      const use = GRADTX.optimizers
        .map(({ name }) => name)
        .filter((name) => (name === optimizer.name ? box.checked : model.settings.use.includes(name)));
      Model.change({ use });
    });
    Fields.onSync(() => {
      box.checked = model.settings.use.includes(optimizer.name);
      group.hidden = !box.checked;
      code.textContent = call(optimizer, model.settings.h);
    });
    return make("div", { className: "optimizer" }, label, group);
  }

  const build = (element) => element.append(...GRADTX.optimizers.map(entry));

  return { build, call };
})();
