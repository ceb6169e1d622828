/* An error surface: the value and the gradient of a function at a point, and why they are not finite. */
"use strict";

const Surface = (() => {
  const WHOLE = 1024; // powers up to this one are products
  const number = ({ op, args, value }) => (op === "number" ? value : op === "neg" ? -number(args[0]) : NaN);
  const isWhole = ({ op, args: [, power] }) =>
    op === "^" && Number.isInteger(number(power)) && Math.abs(number(power)) <= WHOLE;

  /* The tree as a list, in which the arguments of an operation come before it. */
  function flatten(tree) {
    const list = [];
    const add = (node) => {
      const args = node.args.map(add);
      const varies = node.op === "w1" || node.op === "w2" || args.some((i) => list[i].varies);
      return list.push({ ...node, args, varies, rule: OPERATIONS.all[isWhole(node) ? "whole" : node.op] }) - 1;
    };
    add(tree);
    return list;
  }

  function make(text) {
    const list = flatten(Parse.parse(text)), size = list.length;
    const values = new Float64Array(size), pulls = new Array(size);
    const shown = (node) => text.slice(node.from, node.to).trim();
    const point = (w) => `(${w.map((x) => Ticks.label(x, 6)).join(", ")})`;
    const argument = (node, k) => values[node.args[k]];
    const slopesAt = (i) => list[i].rule.slopes(argument(list[i], 0), argument(list[i], 1), values[i]);

    function value(w1, w2) {
      for (let i = 0; i < size; i += 1) {
        const node = list[i];
        if (node.rule) values[i] = node.rule.value(argument(node, 0), argument(node, 1));
        else values[i] = node.op === "w1" ? w1 : node.op === "w2" ? w2 : node.value;
      }
      return values[size - 1];
    }

    /* Reverse mode, as in jax.grad. A variable that a node does not depend on gets nothing, and not 0 times infinity. */
    function gradient(w1, w2) {
      value(w1, w2);
      const sums = [0, 0];
      pulls.fill(null);
      pulls[size - 1] = 1;
      for (let i = size - 1; i >= 0; i -= 1) {
        const node = list[i], pull = pulls[i];
        if (pull === null || !node.varies) continue;
        if (!node.rule) {
          sums[node.op === "w1" ? 0 : 1] += pull;
          continue;
        }
        const slopes = slopesAt(i);
        node.args.forEach((j, k) => {
          if (slopes[k] !== null && list[j].varies) pulls[j] = (pulls[j] === null ? 0 : pulls[j]) + pull * slopes[k];
        });
      }
      return sums;
    }

    /* The first operation with finite arguments and a value that is not finite, in words. */
    function trouble(w) {
      value(...w);
      const isFinite = (i) => Number.isFinite(values[i]);
      const bad = list.find((node, i) => !isFinite(i) && node.args.every(isFinite));
      if (!bad) return "";
      const said = bad.rule?.trouble?.(argument(bad, 0), argument(bad, 1)), where = `at position ${bad.from + 1}`;
      return said ? `${said}, in ${shown(bad)} ${where}` : `overflow: ${shown(bad)} ${where} is beyond 1.8e308`;
    }

    /* The same for a gradient that is not finite although the value is. */
    function slopeTrouble(w) {
      gradient(...w);
      const bad = list.find((node, i) => {
        if (!node.rule || !node.varies || pulls[i] === null || !Number.isFinite(pulls[i])) return false;
        const slopes = slopesAt(i);
        return node.args.some((j, k) => list[j].varies && slopes[k] !== null && !Number.isFinite(slopes[k]));
      });
      return bad ? `the slope of ${shown(bad)} at position ${bad.from + 1} is not finite there` : "it overflows";
    }

    const variables = ["w1", "w2"].filter((name) => list.some((node) => node.op === name));
    return { text, value, gradient, trouble, slopeTrouble, variables, point };
  }

  return { make };
})();
