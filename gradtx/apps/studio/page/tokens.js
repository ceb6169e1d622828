/* The tokens of an error function, and messages about characters and names without a meaning. */
"use strict";

/* A mistake in the text: `length` characters from position `at`, which counts from 0. */
class Mistake extends Error {
  constructor(text, at, length = 1) {
    super(text);
    Object.assign(this, { at, length });
  }
}

const Tokens = (() => {
  const SAME = { "−": "-", "–": "-", "·": "*", "⋅": "*", "×": "*", "∗": "*", "÷": "/", "∕": "/", "[": "(", "]": ")" };
  const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const NUMBER = /(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?/y;
  const NAME = /[\p{L}_][\p{L}\p{N}_]*/uy;
  const POWER = /⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+/y;
  const TWO = "an error surface here has two variables, w1 and w2";

  /* The tokens of a text: {kind, text, at, length}. */
  function tokens(text) {
    const found = [];
    let at = 0;
    const take = (pattern) => {
      pattern.lastIndex = at;
      return pattern.exec(text)?.[0];
    };
    const push = (kind, text, length = text.length) => {
      found.push({ kind, text, at, length });
      at += length;
    };
    while (at < text.length) {
      const here = text[at], symbol = SAME[here] || here;
      let word;
      if (/\s/.test(here)) at += 1;
      else if ((word = take(POWER))) push("superscript", word);
      else if ((word = take(NUMBER))) push("number", word);
      else if (here === "√") push("name", "sqrt", 1);
      else if ((word = take(NAME))) push("name", word.split(/[⁰¹²³⁴⁵⁶⁷⁸⁹]/)[0]); // w1² is the name w1 and a power
      else if (text.startsWith("**", at)) push("^", "**");
      else if ("+-*/^(),".includes(symbol)) push(symbol, here);
      else throw new Mistake(stranger(String.fromCodePoint(text.codePointAt(at)), at), at);
    }
    push("end", "", 1);
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
    const { text, at } = token, where = `unknown name ${text} at ${place(at)}`;
    if (/^w[1w2]*$/.test(text) && text.length > 2) return `${where}: write * between names, as in w1*w2`;
    if (/^(w\d*|w_\d*|[xyztvuab]\d*)$/i.test(text)) return `${where}: ${TWO}`;
    if (text === "ln") return `${where}: the natural logarithm is called log`;
    const near = closest(text);
    return `${where}: ${near ? `did you mean ${near}?` : `${TWO}; functions are ${Object.keys(FUNCTIONS).join(", ")}`}`;
  }

  /* The known name that differs in one letter at most, ignoring case. */
  function closest(text) {
    const word = text.toLowerCase();
    return ["w1", "w2", "pi", ...Object.keys(FUNCTIONS)].find((name) => {
      if (name === word) return true;
      if (Math.abs(name.length - word.length) > 1 || word.length < 3) return false;
      let i = 0, j = 0;
      while (i < name.length && name[i] === word[i]) i += 1;
      while (j < Math.min(name.length, word.length) - i && name.at(-1 - j) === word.at(-1 - j)) j += 1;
      return Math.max(name.length, word.length) - i - j <= 1;
    });
  }

  return { tokens, place, unknown, SUPERSCRIPTS };
})();
