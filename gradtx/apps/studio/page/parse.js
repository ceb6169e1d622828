/* Text of an error function -> tree. Written by hand, so that every message can point at the mistake. */
"use strict";

const Parse = (() => {
  const { tokens, place, unknown, SUPERSCRIPTS } = Tokens;
  const LONGEST = 2000,
    DEEPEST = 100;
  const CONSTANTS = { pi: Math.PI, π: Math.PI, e: Math.E };

  /* The tree: {op, args, value?, from, to}; `from` and `to` say where in the text it stands. */
  function parse(text) {
    if (!text.trim()) throw new Mistake("the error function is empty: type one of w1 and w2, as 3*w1^2 + 10*w2^2", 0);
    if (text.length > LONGEST)
      throw new Mistake(`${text.length} characters are too many: at most ${LONGEST} are read`, LONGEST);
    const list = tokens(text);
    let next = 0,
      depth = 0;
    const peek = () => list[next];
    const is = (...kinds) => kinds.includes(peek().kind);
    const node = (op, args, from, more) => ({ op, args, from, to: list[next - 1].at + list[next - 1].length, ...more });

    /* Operands joined by operators of one strength, from left to right. */
    function joined(operand, kinds, implicit) {
      const from = peek().at;
      let left = operand();
      while (is(...kinds) || (implicit && is("name", "("))) {
        const op = is(...kinds) ? list[next++].kind : "*";
        left = node(op, [left, operand(op)], from);
      }
      return left;
    }

    const sum = () => joined(product, ["+", "-"], false);
    const product = () => joined(signed, ["*", "/"], true);

    function signed() {
      const { at, kind } = peek();
      if (!is("+", "-")) return power();
      next += 1;
      deeper(at);
      const inner = signed();
      depth -= 1;
      return kind === "-" ? node("neg", [inner], at) : inner;
    }

    function power() {
      const from = peek().at;
      let base = primary();
      while (is("superscript")) {
        const { text: digits, at } = list[next++];
        const size = Number([...digits.replace("⁻", "")].map((digit) => SUPERSCRIPTS.indexOf(digit)).join(""));
        const exponent = node("number", [], at, { value: digits[0] === "⁻" ? -size : size });
        base = node("^", [base, exponent], from);
      }
      if (!is("^")) return base;
      const { at } = list[next++];
      deeper(at);
      const exponent = signed(); // from right to left, and 2^-1 is meant so
      depth -= 1;
      return node("^", [base, exponent], from);
    }

    function primary() {
      const token = peek();
      if (token.kind === "number") {
        next += 1;
        const value = Number(token.text);
        if (!Number.isFinite(value))
          throw new Mistake(`the number ${token.text} at ${place(token.at)} is too large`, token.at, token.length);
        if (is("number"))
          throw new Mistake(
            `an operator is missing at ${place(peek().at)}: write one between ${token.text} and ${peek().text}`,
            peek().at,
            peek().length,
          );
        return node("number", [], token.at, { value });
      }
      if (token.kind === "(") {
        next += 1;
        const inner = inside(token);
        next += 1;
        return inner;
      }
      if (token.kind === "name") return named();
      throw missing(token);
    }

    /* What stands between an opening parenthesis and its partner. */
    function inside(open) {
      deeper(open.at);
      const inner = sum();
      depth -= 1;
      if (is(",")) throw new Mistake(comma(peek().at), peek().at);
      if (!is(")")) throw unclosed(open);
      return inner;
    }

    function named() {
      const token = list[next++];
      const name = token.text.replace("₁", "1").replace("₂", "2");
      if (name === "w1" || name === "w2") return node(name, [], token.at);
      if (Object.hasOwn(CONSTANTS, name)) return node("number", [], token.at, { value: CONSTANTS[name] });
      if (!Object.hasOwn(FUNCTIONS, name)) throw new Mistake(unknown(token), token.at, token.length);
      if (!is("("))
        throw new Mistake(
          `${name} at ${place(token.at)} needs parentheses round what it is taken of: ${name}(w1)`,
          token.at,
          token.length,
        );
      const open = list[next++],
        args = [];
      deeper(open.at);
      do args.push(sum());
      while (is(",") && ++next);
      depth -= 1;
      if (!is(")")) throw unclosed(open);
      next += 1;
      const { least, most } = FUNCTIONS[name];
      if (args.length < least || args.length > most) {
        const wanted = most === least ? `${least} argument${least > 1 ? "s" : ""}` : `${least} arguments or more`;
        throw new Mistake(
          `${name} at ${place(token.at)} takes ${wanted}, and ${args.length} came`,
          token.at,
          token.length,
        );
      }
      // max(a, b, c) is max(max(a, b), c)
      return args.length === 1
        ? node(name, args, token.at)
        : args.reduce((left, right) => node(name, [left, right], token.at));
    }

    function deeper(at) {
      depth += 1;
      if (depth > DEEPEST) throw new Mistake(`nested more than ${DEEPEST} deep at ${place(at)}`, at);
    }

    const comma = (at) =>
      `a comma at ${place(at)}: it separates the arguments of max and min; decimals are written with a point, 1.5`;
    const unclosed = (open) =>
      is("end")
        ? new Mistake(`the parenthesis opened at ${place(open.at)} is never closed`, open.at)
        : new Mistake(
            `unexpected ${peek().text} at ${place(peek().at)}: an operator or ) is expected`,
            peek().at,
            peek().length,
          );

    function missing(token) {
      const before = list[next - 1];
      const after = before ? `after ${before.text} at ${place(before.at)}` : `at ${place(token.at)}`;
      if (token.kind === ")" && before && before.kind === "(")
        return new Mistake(
          `nothing stands between the parentheses at ${place(before.at)}`,
          before.at,
          token.at - before.at + 1,
        );
      if (token.kind === ")" && !before)
        return new Mistake(`the parenthesis closed at ${place(token.at)} was never opened`, token.at);
      const at = token.kind === "end" && before ? before.at : token.at;
      return new Mistake(`an operand is missing ${after}: a number, w1, w2, a function or ( is expected`, at, 1);
    }

    const tree = sum();
    const rest = peek();
    if (rest.kind === ")") throw new Mistake(`the parenthesis closed at ${place(rest.at)} was never opened`, rest.at);
    if (rest.kind === ",") throw new Mistake(comma(rest.at), rest.at);
    if (rest.kind !== "end")
      throw new Mistake(`an operator is missing before ${rest.text} at ${place(rest.at)}`, rest.at, rest.length);
    return tree;
  }

  return { parse };
})();
