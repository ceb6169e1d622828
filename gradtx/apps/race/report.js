// Columns sort where their heading is pressed; without JavaScript the tables stay as they are, best first.
"use strict";

const key = (row, i) => {
  const cell = row.cells[i];
  return "key" in cell.dataset ? Number(cell.dataset.key) : cell.textContent.toLowerCase();
};

const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b || 0 : String(a) < String(b) ? -1 : 1);

for (const table of document.querySelectorAll("table.sorts")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((heading, i) => {
    const button = document.createElement("button");
    button.className = "sort";
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
      const keyed = [...body.rows].map((row) => [key(row, i), row]);
      keyed.sort(([a], [b]) => (a === b ? 0 : sign * order(a, b)));
      body.append(...keyed.map(([, row]) => row));
    });
  });
}
