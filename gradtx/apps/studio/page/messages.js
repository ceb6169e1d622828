/* What is wrong, in words: mistakes in the text with a caret, what the surface and the trajectories ran into. */
"use strict";

const Messages = (() => {
  let fleeting = ""; // of a link or file, or of a field; goes with the next change

  function paragraph(text, kind) {
    const made = document.createElement("p");
    made.className = kind;
    made.textContent = text;
    return made;
  }

  /* The text with a caret below the mistake. */
  function pointed(text, { at, length }) {
    const WIDE = 60,
      from = Math.max(0, at - WIDE / 2);
    const shown = (from ? "…" : "") + text.slice(from, from + WIDE) + (from + WIDE < text.length ? "…" : "");
    const made = document.createElement("pre");
    made.textContent = `${shown}\n${" ".repeat(at - from + (from ? 1 : 0))}${"^".repeat(Math.max(1, Math.min(length, WIDE)))}`;
    made.setAttribute("aria-hidden", "true"); // the sentence has the position
    return made;
  }

  function show(model) {
    const { settings, surface, mistake, runs } = model,
      parts = [];
    if (fleeting) parts.push(paragraph(fleeting, "mistake"));
    if (mistake)
      parts.push(
        paragraph(`${sentence(mistake.message)} Still shown: ${surface.text}`, "mistake"),
        pointed(settings.f, mistake),
      );
    else {
      if (!surface.variables.length)
        parts.push(
          paragraph("This error is the same everywhere: it has neither w1 nor w2, and nothing will move.", "note"),
        );
      const { bad } = Contours.sampled(model);
      if (bad)
        parts.push(
          paragraph(
            `The error is not a finite number in ${bad === 1 ? "all" : part(bad)} of this view, drawn hatched.`,
            bad === 1 ? "mistake" : "note",
          ),
        );
    }
    parts.push(...stops(settings, runs));
    const still = runs.find(
      (run) =>
        run.w.length > 1 &&
        !run.stopped &&
        surface.variables.length &&
        surface.gradient(...settings.start).every((x) => x === 0),
    );
    if (still) parts.push(paragraph("The gradient at the start is zero: descent does not move from there.", "note"));
    replace(parts);
  }

  const part = (share) => (share < 0.01 ? "less than 1 %" : `${Math.round(100 * share)} %`);
  const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

  /* Who stopped, where what is shown has come so far; one sentence if the start is to blame for all. */
  function stops(settings, runs) {
    const stopped = runs.filter((run) => run.stopped && settings.shown >= run.w.length - 1);
    const dead = stopped.find((run) => run.stopped.step === 0);
    if (dead) return [paragraph(`${sentence(dead.stopped.why)} Choose another start.`, "mistake")];
    return stopped.map((run) =>
      paragraph(`${run.optimizer.label} stops at step ${run.stopped.step}: ${run.stopped.why}.`, "mistake"),
    );
  }

  /* Only what differs is replaced: a live region is read out anew each time. */
  function replace(parts) {
    const message = document.getElementById("message"),
      texts = (list) => [...list].map((x) => x.textContent).join("\n");
    if (texts(message.children) !== texts(parts)) message.replaceChildren(...parts);
    document.getElementById("function").setAttribute("aria-invalid", String(parts.some((x) => x.tagName === "PRE")));
  }

  /* A complaint that stays until the next change. */
  function complain(text) {
    fleeting = text;
  }

  const announce = (text) => (document.getElementById("announce").textContent = text);

  return { show, complain, announce };
})();
