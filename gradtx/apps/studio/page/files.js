/* Settings in the address, in a copied link, and in a file. */
"use strict";

const Files = (() => {
  const { model } = Model;
  let timer = null, written = "";

  /* Put the settings after the # of the address. */
  function write() {
    clearTimeout(timer);
    timer = null;
    written = `#${Settings.toLink(model.settings)}`;
    try {
      history.replaceState(null, "", written);
    } catch {
      location.replace(written); // some browsers refuse replaceState for files
    }
  }
  /* A little later, because browsers limit the number of changes per second. */
  const writeSoon = () => (timer ??= setTimeout(write, 150));

  /* The settings of the address. If it is broken: the defaults, and a message. */
  function fromAddress() {
    if (location.hash.length < 2) return Settings.defaults();
    try {
      return Settings.fromLink(location.hash);
    } catch (error) {
      Messages.complain(`This link is broken: ${error.message}. These are the defaults.`);
      return Settings.defaults();
    }
  }

  function save(name, text, type) {
    const link = Dom.make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  async function copy() {
    write();
    try {
      await navigator.clipboard.writeText(location.href);
    } catch {
      const field = Dom.make("textarea", { value: location.href }); // the old way, without permission
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    const button = Dom.byId("copy-link"), before = button.textContent;
    Object.assign(button, { textContent: "Copied", disabled: true });
    setTimeout(() => Object.assign(button, { textContent: before, disabled: false }), 1200);
    Messages.announce("The link is copied.");
  }

  async function open(file) {
    if (!file) return;
    const text = await file.text();
    let settings = {}; // nothing changes
    try {
      settings = Settings.checked(JSON.parse(text));
    } catch (error) {
      Messages.complain(`The file ${file.name} is broken: ${error.message}. Nothing has changed.`);
    }
    Model.change(settings, { keep: true });
  }

  function bind() {
    Dom.on("copy-link", "click", copy);
    Dom.on("save-file", "click", () =>
      save("gradtx-studio.json", JSON.stringify(Settings.plain(model.settings), null, 2) + "\n", "application/json"),
    );
    Dom.on("open-file", "change", (event) => {
      Messages.complain("");
      open(event.target.files[0]);
      event.target.value = ""; // so that the same file can be opened again
    });
    Dom.on("defaults", "click", () => Model.change(Settings.defaults()));
    Dom.on(window, "hashchange", () => {
      if (location.hash === written) return;
      Messages.complain("");
      Model.change(fromAddress(), { keep: true });
    });
    Dom.on(window, "pagehide", () => timer && write());
  }

  return { bind, write, writeSoon, fromAddress, save };
})();
