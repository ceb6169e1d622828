/* The text of an error function in pieces, and what is said of pieces that have no meaning. */
"use strict";

/* A mistake in the text: `at` counts characters from 0, `length` is how many are meant. */
class Mistake extends Error {
  constructor(text, at, length = 1) {
    super(text);
    this.at = at;
    this.length = length;
  }
}

const Tokens = (() => {
  const SAME = { "−": "-", "–": "-", "·": "*", "⋅": "*", "×": "*", "∗": "*", "÷": "/", "∕": "/", "[": "(", "]": ")" };
  const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const NUMBER = /(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?/y;
  const NAME = /[\p{L}_][\p{L}\p{N}_]*/uy;
  const POWER = /⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+/y;
  const TWO = "an error surface here has two variables, w1 and w2";

  /* Pieces of the text: {kind, text, at, length}. */
  function tokens(text) {
    const found = [];
    let at = 0;
    const take = (pattern) => {
      pattern.lastIndex = at;
      const match = pattern.exec(text);
      return match && match[0];
    };
    while (at < text.length) {
      const here = text[at];
      let word;
      if (/\s/.test(here)) {
        at += 1;
        continue;
      }
      if ((word = take(POWER))) found.push({ kind: "superscript", text: word, at, length: word.length });
      else if ((word = take(NUMBER))) found.push({ kind: "number", text: word, at, length: word.length });
      else if (here === "√") found.push({ kind: "name", text: "sqrt", at, length: 1 });
      else if ((word = take(NAME))) {
        const [name] = word.split(/[⁰¹²³⁴⁵⁶⁷⁸⁹]/); // digits to Unicode: w1² is the name w1 and a power
        found.push({ kind: "name", text: name, at, length: name.length });
      } else if (text.startsWith("**", at)) found.push({ kind: "^", text: "**", at, length: 2 });
      else if ("+-*/^(),".includes(SAME[here] || here))
        found.push({ kind: SAME[here] || here, text: here, at, length: 1 });
      else throw new Mistake(stranger(String.fromCodePoint(text.codePointAt(at)), at), at);
      at += found[found.length - 1].length;
    }
    found.push({ kind: "end", text: "", at: text.length, length: 1 });
    return found;
  }

  function stranger(letter, at) {
    const hints = {
      "=": "write the right side of the equation alone",
      "|": "write abs(...) for the absolute value",
      "!": "there is no factorial here",
      "%": "there is no remainder here",
      ";": "one expression is expected",
    };
    return `unexpected ${letter} at ${place(at)}: ${hints[letter] || "it has no meaning in an expression"}`;
  }

  const place = (at) => `position ${at + 1}`;

  function unknown(token) {
    const { text, at } = token;
    const where = `unknown name ${text} at ${place(at)}`;
    if (/^w[1w2]*$/.test(text) && text.length > 2) return `${where}: write * between names, as in w1*w2`;
    if (/^(w\d*|w_\d*|[xyztvuab]\d*)$/i.test(text)) return `${where}: ${TWO}`;
    if (text === "ln") return `${where}: the natural logarithm is called log`;
    const near = closest(text);
    return near
      ? `${where}: did you mean ${near}?`
      : `${where}: ${TWO}; functions are ${Object.keys(FUNCTIONS).join(", ")}`;
  }

  /* The known name that is at most one letter away, letters' case aside. */
  function closest(text) {
    const word = text.toLowerCase();
    return ["w1", "w2", "pi", ...Object.keys(FUNCTIONS)].find((name) => {
      if (name === word) return true;
      if (Math.abs(name.length - word.length) > 1 || word.length < 3) return false;
      let i = 0,
        j = 0;
      while (i < name.length && name[i] === word[i]) i += 1;
      while (j < Math.min(name.length, word.length) - i && name.at(-1 - j) === word.at(-1 - j)) j += 1;
      return Math.max(name.length, word.length) - i - j <= 1;
    });
  }

  return { tokens, place, unknown, SUPERSCRIPTS };
})();
