/* Settings in the address, in a link that is copied, and in a file. */
"use strict";

const Files = (() => {
  const { model } = Model,
    { byId } = Fields;
  let timer = null,
    written = "";

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
  /* Soon: browsers allow only so many changes a second. */
  const writeSoon = () => (timer ??= setTimeout(write, 150));

  /* The settings of the address; the defaults, and a message, if it is broken. */
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
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  async function copy() {
    write();
    try {
      await navigator.clipboard.writeText(location.href);
    } catch {
      const field = document.createElement("textarea"); // without permission, by hand
      field.value = location.href;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    flash(byId("copy-link"), "Copied");
    Messages.announce("The link is copied.");
  }

  function flash(button, text) {
    const before = button.textContent;
    button.textContent = text;
    button.disabled = true;
    setTimeout(() => {
      button.textContent = before;
      button.disabled = false;
    }, 1200);
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
    byId("copy-link").addEventListener("click", copy);
    byId("save-file").addEventListener("click", () =>
      save("gradtx-studio.json", JSON.stringify(Settings.plain(model.settings), null, 2) + "\n", "application/json"),
    );
    byId("open-file").addEventListener("change", (event) => {
      Messages.complain("");
      open(event.target.files[0]);
      event.target.value = ""; // the same file can be opened again
    });
    byId("defaults").addEventListener("click", () => Model.change(Settings.defaults()));
    window.addEventListener("hashchange", () => {
      if (location.hash === written) return;
      Messages.complain("");
      Model.change(fromAddress(), { keep: true });
    });
    window.addEventListener("pagehide", () => timer && write());
  }

  return { bind, write, writeSoon, fromAddress, save };
})();
