/* The operations of an error function: value, and derivative as JAX defines it (its jvp rules), in double precision. */
"use strict";

/* `value(x, y)`; `slopes(x, y, ans)`: the derivative for each argument, or null where JAX has no gradient;
   `trouble(x, y)`: why the value is not finite, in words. */
const OPERATIONS = (() => {
  const slopesOf = (slope) => (x, _, ans) => [slope && slope(x, ans)];
  const unary = (value, slope, trouble) => ({ least: 1, most: 1, value, slopes: slopesOf(slope), trouble });
  // Half of the gradient each if both are equal, none if either is NaN.
  const half = (x, ans, y) => (x === ans ? (y === ans ? 0.5 : 1) : 0);
  const chosen = (value) => ({
    least: 2,
    most: Infinity,
    value,
    slopes: (x, y, ans) => [half(x, ans, y), half(y, ans, x)],
  });
  const one = (x) => (x === 0 ? 1 : x);

  /* x^n by squaring, with the multiplications of jax.lax.integer_pow in the same order, so it rounds the same. */
  function whole(x, n) {
    if (n === 0) return 1;
    let left = Math.abs(n), product = null;
    if (left === 3) product = x * x * x;
    else
      while (left > 0) {
        if (left % 2 === 1) product = product === null ? x : product * x;
        left = Math.floor(left / 2);
        if (left > 0) x = x * x;
      }
    return n < 0 ? 1 / product : product;
  }
  // 1^NaN and 1^Infinity are NaN in JavaScript, but 1 in IEEE 754 and in JAX.
  const power = (x, y) => (x === 1 ? 1 : Math.pow(x, y));
  const powerTrouble = (x, y) =>
    x === 0 && y < 0
      ? `division by zero (0 to the power ${y})`
      : x < 0 && !Number.isInteger(y) && `${x}, a negative number, to the power ${y}`;
  const outside = (name) => (x) => Math.abs(x) > 1 && `${name} of ${x}, which is outside -1 to 1`;
  const negative = (name) => (x) => x < 0 && `${name} of ${x}, a negative number`;

  const functions = {
    sin: unary(Math.sin, Math.cos),
    cos: unary(Math.cos, (x) => -Math.sin(x)),
    tan: unary(Math.tan, (x, ans) => 1 + ans * ans),
    asin: unary(Math.asin, (x) => 1 / Math.sqrt(1 - x * x), outside("asin")),
    acos: unary(Math.acos, (x) => -1 / Math.sqrt(1 - x * x), outside("acos")),
    atan: unary(Math.atan, (x) => 1 / (1 + x * x)),
    sinh: unary(Math.sinh, Math.cosh),
    cosh: unary(Math.cosh, Math.sinh),
    tanh: unary(Math.tanh, (x, ans) => (1 + ans) * (1 - ans)),
    exp: unary(Math.exp, (x, ans) => ans),
    log: unary(Math.log, (x) => 1 / x, (x) => (x === 0 ? "log of zero" : negative("log")(x))),
    sqrt: unary(Math.sqrt, (x, ans) => 0.5 / ans, negative("sqrt")),
    abs: unary(Math.abs, (x) => (x >= 0 ? 1 : -1)), // 1 at 0, as in JAX
    sign: unary(Math.sign, null),
    max: chosen(Math.max),
    min: chosen(Math.min),
  };

  const operators = {
    "+": { value: (x, y) => x + y, slopes: () => [1, 1] },
    "-": { value: (x, y) => x - y, slopes: () => [1, -1] },
    "*": { value: (x, y) => x * y, slopes: (x, y) => [y, x] },
    "/": {
      value: (x, y) => x / y,
      slopes: (x, y) => [1 / y, -x * (1 / (y * y))],
      trouble: (x, y) => y === 0 && "division by zero",
    },
    // A power with a constant whole exponent is an operation of its own, as in JAX.
    whole: { value: whole, slopes: (x, n) => [n === 0 ? 0 : n * whole(x, n - 1), null], trouble: powerTrouble },
    "^": { value: power, slopes: (x, y, ans) => [y * power(x, y - 1), Math.log(one(x)) * ans], trouble: powerTrouble },
    neg: { value: (x) => -x, slopes: () => [-1] },
  };
  return { functions, all: { ...functions, ...operators } };
})();
const FUNCTIONS = OPERATIONS.functions;
