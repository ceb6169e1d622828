/* From the text of an error function to a tree. Written by hand, so that every message can point at the mistake. */
"use strict";

const Parse = (() => {
  const { tokens, place, unknown, SUPERSCRIPTS } = Tokens;
  const LONGEST = 2000, DEEPEST = 100;
  const CONSTANTS = { pi: Math.PI, π: Math.PI, e: Math.E };

  /* The tree: {op, args, value?, from, to}; `from` and `to` are positions in the text. */
  function parse(text) {
    if (!text.trim()) throw new Mistake("the error function is empty: type one of w1 and w2, as 3*w1^2 + 10*w2^2", 0);
    if (text.length > LONGEST)
      throw new Mistake(`${text.length} characters are too many: at most ${LONGEST} are read`, LONGEST);
    const list = tokens(text);
    let next = 0, depth = 0;
    const peek = () => list[next];
    const is = (...kinds) => kinds.includes(peek().kind);
    const node = (op, args, from, more) => ({ op, args, from, to: list[next - 1].at + list[next - 1].length, ...more });
    const mistake = (token, said) => new Mistake(said, token.at, token.length);

    /* A part that is one level deeper. */
    function nested(at, part) {
      depth += 1;
      if (depth > DEEPEST) throw new Mistake(`nested more than ${DEEPEST} deep at ${place(at)}`, at);
      const inner = part();
      depth -= 1;
      return inner;
    }

    /* Operands joined by operators of equal precedence, from left to right. */
    function joined(operand, kinds, implicit) {
      const from = peek().at;
      let left = operand();
      while (is(...kinds) || (implicit && is("name", "("))) {
        const op = is(...kinds) ? list[next++].kind : "*";
        left = node(op, [left, operand()], from);
      }
      return left;
    }

    const sum = () => joined(product, ["+", "-"], false);
    const product = () => joined(signed, ["*", "/"], true);

    function signed() {
      const { at, kind } = peek();
      if (!is("+", "-")) return power();
      next += 1;
      const inner = nested(at, signed);
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
      return node("^", [base, nested(at, signed)], from); // from right to left, and 2^-1 is allowed
    }

    function primary() {
      const token = peek();
      if (token.kind === "name") return named();
      if (token.kind !== "number" && token.kind !== "(") throw missing(token);
      next += 1;
      if (token.kind === "(") {
        const inner = nested(token.at, sum);
        if (is(",")) throw new Mistake(comma(peek().at), peek().at);
        if (!is(")")) throw unclosed(token);
        next += 1;
        return inner;
      }
      const value = Number(token.text), after = peek();
      if (!Number.isFinite(value)) throw mistake(token, `the number ${token.text} at ${place(token.at)} is too large`);
      if (is("number")) {
        const where = `at ${place(after.at)}: write one between ${token.text} and ${after.text}`;
        throw mistake(after, `an operator is missing ${where}`);
      }
      return node("number", [], token.at, { value });
    }

    function named() {
      const token = list[next++], name = token.text.replace("₁", "1").replace("₂", "2");
      if (name === "w1" || name === "w2") return node(name, [], token.at);
      if (Object.hasOwn(CONSTANTS, name)) return node("number", [], token.at, { value: CONSTANTS[name] });
      if (!Object.hasOwn(FUNCTIONS, name)) throw mistake(token, unknown(token));
      const here = `${name} at ${place(token.at)}`;
      if (!is("(")) throw mistake(token, `${here} needs its argument in parentheses: ${name}(w1)`);
      const open = list[next++], args = [];
      nested(open.at, () => {
        do args.push(sum());
        while (is(",") && ++next);
      });
      if (!is(")")) throw unclosed(open);
      next += 1;
      const { least, most } = FUNCTIONS[name];
      if (args.length < least || args.length > most) {
        const wanted = most === least ? `${least} argument${least > 1 ? "s" : ""}` : `${least} arguments or more`;
        throw mistake(token, `${here} takes ${wanted}; it has ${args.length}`);
      }
      // max(a, b, c) is max(max(a, b), c)
      if (args.length === 1) return node(name, args, token.at);
      return args.reduce((left, right) => node(name, [left, right], token.at));
    }

    const comma = (at) =>
      `a comma at ${place(at)}: it separates the arguments of max and min; write decimals with a point, as in 1.5`;
    const neverOpened = ({ at }) => new Mistake(`the parenthesis closed at ${place(at)} was never opened`, at);

    function unclosed({ at }) {
      if (is("end")) return new Mistake(`the parenthesis opened at ${place(at)} is never closed`, at);
      return mistake(peek(), `unexpected ${peek().text} at ${place(peek().at)}: an operator or ) is expected`);
    }

    function missing(token) {
      const before = list[next - 1];
      if (token.kind === ")" && !before) return neverOpened(token);
      if (token.kind === ")" && before.kind === "(") {
        const said = `there is nothing between the parentheses at ${place(before.at)}`;
        return new Mistake(said, before.at, token.at - before.at + 1);
      }
      const where = before ? `after ${before.text} at ${place(before.at)}` : `at ${place(token.at)}`;
      const at = token.kind === "end" && before ? before.at : token.at;
      return new Mistake(`an operand is missing ${where}: a number, w1, w2, a function or ( is expected`, at);
    }

    const tree = sum(), rest = peek();
    if (is(")")) throw neverOpened(rest);
    if (is(",")) throw new Mistake(comma(rest.at), rest.at);
    if (!is("end")) throw mistake(rest, `an operator is missing before ${rest.text} at ${place(rest.at)}`);
    return tree;
  }

  return { parse };
})();
