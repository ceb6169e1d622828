/* Errors of the page itself are reported on the page, so that it never stays blank. */
"use strict";

{
  function tell(text) {
    const message = document.getElementById("message");
    if (!message) return;
    const said = `Something in this page failed: ${text}. “Save file” keeps the settings; “Defaults” starts anew.`;
    if ([...message.children].some((child) => child.textContent === said)) return;
    message.append(Object.assign(document.createElement("p"), { className: "mistake", textContent: said }));
  }
  window.addEventListener("error", (event) => tell(event.message || "unknown"));
  window.addEventListener("unhandledrejection", (event) => tell(String(event.reason)));
}
