/* A mistake in the page itself is said on the page: it must never stay blank. */
"use strict";

{
  function tell(text) {
    const message = document.getElementById("message");
    if (!message) return;
    const line = document.createElement("p");
    line.className = "mistake";
    line.textContent = `Something in this page failed: ${text}. The settings can be kept with “Save file”; “Defaults” starts anew.`;
    if (![...message.children].some((child) => child.textContent === line.textContent)) message.append(line);
  }
  window.addEventListener("error", (event) => tell(event.message || "unknown"));
  window.addEventListener("unhandledrejection", (event) => tell(String(event.reason)));
}
