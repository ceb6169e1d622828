/* Messages: mistakes in the function with a caret, and what is wrong with the surface and the trajectories. */
"use strict";

const Messages = (() => {
  const WIDE = 60;
  let complaint = ""; // about a link, a file or a field; the next change removes it

  const paragraph = (textContent, className) => Dom.make("p", { className, textContent });

  /* The text with a caret below the mistake. The sentence has the position for screen readers. */
  function pointed(text, { at, length }) {
    const from = Math.max(0, at - WIDE / 2);
    const shown = (from ? "…" : "") + text.slice(from, from + WIDE) + (from + WIDE < text.length ? "…" : "");
    const caret = " ".repeat(at - from + (from ? 1 : 0)) + "^".repeat(Math.max(1, Math.min(length, WIDE)));
    return Dom.make("pre", { textContent: `${shown}\n${caret}`, "aria-hidden": "true" });
  }

  function show(model) {
    const { settings, surface, mistake, runs } = model, parts = [];
    if (complaint) parts.push(paragraph(complaint, "mistake"));
    if (mistake) {
      const text = `${sentence(mistake.message)} Still shown: ${surface.text}`;
      parts.push(paragraph(text, "mistake"), pointed(settings.f, mistake));
    } else {
      if (!surface.variables.length)
        parts.push(paragraph("This error has neither w1 nor w2: it is the same everywhere, so nothing moves.", "note"));
      const { bad } = Contours.sampled(model), where = bad === 1 ? "all" : part(bad);
      const text = `The error is not a finite number in ${where} of this view, which is hatched.`;
      if (bad) parts.push(paragraph(text, bad === 1 ? "mistake" : "note"));
    }
    parts.push(...stops(settings, runs));
    const isFlat = surface.variables.length && surface.gradient(...settings.start).every((x) => x === 0);
    if (isFlat && runs.some((run) => run.w.length > 1 && !run.stopped))
      parts.push(paragraph("The gradient at the start is zero, so descent does not move.", "note"));
    replace(parts);
  }

  const part = (fraction) => (fraction < 0.01 ? "less than 1 %" : `${Math.round(100 * fraction)} %`);
  const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

  /* The optimizers that have stopped, if the shown steps include it; one sentence if the start is wrong for all. */
  function stops(settings, runs) {
    const stopped = runs.filter((run) => run.stopped && settings.shown >= run.w.length - 1);
    const dead = stopped.find((run) => run.stopped.step === 0);
    if (dead) return [paragraph(`${sentence(dead.stopped.why)} Choose another start.`, "mistake")];
    return stopped.map(({ optimizer, stopped: { step, why } }) =>
      paragraph(`${optimizer.label} stops at step ${step}: ${why}.`, "mistake"),
    );
  }

  /* Replace the messages only if they differ, because a live region is read aloud each time. */
  function replace(parts) {
    const message = Dom.byId("message"), texts = (list) => [...list].map((x) => x.textContent).join("\n");
    if (texts(message.children) !== texts(parts)) message.replaceChildren(...parts);
    Dom.byId("function").setAttribute("aria-invalid", String(parts.some((x) => x.tagName === "PRE")));
  }

  /* A message that stays until the next change. */
  const complain = (text) => (complaint = text);

  const announce = (text) => (Dom.byId("announce").textContent = text);

  return { show, complain, announce };
})();
