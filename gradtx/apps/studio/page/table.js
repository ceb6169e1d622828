/* The numbers as a table that can be read aloud, and with all digits as CSV. */
"use strict";

const Table = (() => {
  const MOST_ROWS = 1000;

  /* The columns, {head, about?, of(step)}: first the point and the error, then the state. */
  function columns(run) {
    const like = run.optimizer.state.filter((entry) => entry.like === "params");
    const entries = [...like.filter(({ scaling }) => scaling), ...like.filter(({ scaling }) => !scaling)];
    return [
      { head: "step", of: (i) => i },
      ...["w1", "w2"].map((head, k) => ({ head, of: (i) => run.w[i][k] })),
      { head: "error", of: (i) => run.error[i] },
      ...entries.flatMap(({ name, about }) =>
        ["w1", "w2"].map((w, k) => ({ head: `${name} of ${w}`, about, of: (i) => run.states[i][name][k] })),
      ),
    ];
  }

  function show(table, run, settings) {
    if (!run) return table.replaceChildren(caption("Choose an optimizer to see its numbers."));
    const [step, ...others] = columns(run), last = Math.min(settings.shown, run.w.length - 1);
    const every = Math.ceil((last + 1) / MOST_ROWS);
    const heads = [step, ...others].map(({ head, about = "" }) => cell("th", head, { scope: "col", title: about }));
    const rows = [];
    for (let i = 0; i <= last; i += 1) {
      if (i % every && i !== last) continue;
      const cells = others.map(({ of }) => cell("td", Ticks.table(of(i))));
      rows.push(Dom.make("tr", {}, cell("th", String(i), { scope: "row" }), ...cells));
    }
    let text = `${run.optimizer.label}, step by step.`;
    if (every > 1) text += ` Every ${every}th step; the CSV file has all.`;
    else if (run.stopped && last === run.w.length - 1) text += ` Stopped at step ${run.stopped.step}.`;
    const head = Dom.make("thead", {}, Dom.make("tr", {}, ...heads));
    table.replaceChildren(caption(text), head, Dom.make("tbody", {}, ...rows));
  }

  const caption = (textContent) => Dom.make("caption", { textContent });
  const cell = (kind, textContent, more) => Dom.make(kind, { textContent, ...more });

  function csv(run) {
    const all = columns(run);
    const rows = run.w.map((_, i) => all.map(({ of }) => of(i)));
    return [all.map(({ head }) => head), ...rows].map((row) => row.join(",")).join("\n") + "\n";
  }

  return { show, csv };
})();
