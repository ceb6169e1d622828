// Columns sort when their heading is pressed. Without JavaScript the tables stay as they are, best first.
"use strict";

const UNITS = { "µs": 1e-6, ms: 1e-3 };

// The first number of a cell, in seconds if it is a time; words such as "never" are last.
const number = (text) => {
  const [, digits, unit] = text.replaceAll(",", "").match(/(-?\d[\d.]*(?:e-?\d+)?) ?(µs|ms)?/) ?? [];
  return digits === undefined || /^[^\d≥-]/.test(text) ? Infinity : Number(digits) * (UNITS[unit] ?? 1);
};

for (const table of document.querySelectorAll("table.sorts")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((heading, i) => {
    const button = document.createElement("button");
    button.className = "sort";
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    const key = ({ textContent }) => (heading.style.textAlign === "right" ? number(textContent) : textContent.toLowerCase());
    button.addEventListener("click", () => {
      const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
      const keyed = [...body.rows].map((row) => [key(row.cells[i]), row]);
      keyed.sort(([a], [b]) => (a === b ? 0 : sign * (a < b ? -1 : 1)));
      body.append(...keyed.map(([, row]) => row));
    });
  });
}
