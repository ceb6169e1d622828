/* The numbers: a table that can be read aloud, and all digits as CSV. */
"use strict";

const Table = (() => {
  const MOST_ROWS = 1000;

  /* Column heads and, for each step, the numbers below them. */
  function columns(run) {
    const like = run.optimizer.state.filter((entry) => entry.like === "params");
    const entries = [...like.filter(({ scaling }) => scaling), ...like.filter(({ scaling }) => !scaling)];
    const heads = ["step", "w1", "w2", "error", ...entries.flatMap(({ name }) => [`${name} of w1`, `${name} of w2`])];
    const row = (i) => [i, ...run.w[i], run.error[i], ...entries.flatMap(({ name }) => run.states[i][name])];
    return { heads, row };
  }

  function show(table, run, settings) {
    if (!run) return table.replaceChildren(caption("Choose an optimizer to see its numbers."));
    const { heads, row } = columns(run),
      last = Math.min(settings.shown, run.w.length - 1);
    const every = Math.ceil((last + 1) / MOST_ROWS);
    const head = document.createElement("thead"),
      body = document.createElement("tbody");
    head.append(line(heads.map((text) => cell("th", text, "col"))));
    for (let i = 0; i <= last; i += 1) {
      if (i % every && i !== last) continue;
      body.append(line(row(i).map((x, k) => (k ? cell("td", Ticks.table(x)) : cell("th", String(x), "row")))));
    }
    const said =
      every > 1
        ? `Every ${every}th step; the CSV file has all.`
        : run.stopped && last === run.w.length - 1
          ? `Stopped at step ${run.stopped.step}.`
          : "";
    table.replaceChildren(caption(`${run.optimizer.label}, step by step. ${said}`), head, body);
  }

  const caption = (text) => Object.assign(document.createElement("caption"), { textContent: text });
  function line(cells) {
    const row = document.createElement("tr");
    row.append(...cells);
    return row;
  }
  function cell(kind, text, scope) {
    const made = document.createElement(kind);
    made.textContent = text;
    if (scope) made.scope = scope;
    return made;
  }

  function csv(run) {
    const { heads, row } = columns(run);
    return [heads, ...run.w.map((_, i) => row(i))].map((list) => list.join(",")).join("\n") + "\n";
  }

  return { show, csv };
})();
