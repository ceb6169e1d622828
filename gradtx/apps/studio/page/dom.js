/* Elements of the page: to find, to make, to listen to. */
"use strict";

const Dom = (() => {
  const byId = (id) => document.getElementById(id);

  /* An element with properties, attributes (names with a dash, and role) and children. */
  function make(kind, properties = {}, ...children) {
    const made = document.createElement(kind);
    for (const [key, value] of Object.entries(properties))
      if (key === "role" || key.includes("-")) made.setAttribute(key, value);
      else made[key] = value;
    made.append(...children);
    return made;
  }

  /* Listen to events, given as "pointerup pointercancel", of an element or of the one with an id. */
  function on(target, kinds, listener, options) {
    const element = typeof target === "string" ? byId(target) : target;
    for (const kind of kinds.split(" ")) element.addEventListener(kind, listener, options);
  }

  return { byId, make, on };
})();
