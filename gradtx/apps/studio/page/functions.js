/* The operations of an error function: value, and derivative as JAX defines it (its jvp rules), in double precision. */
"use strict";

/* `value(x, y)`; `slopes(x, y, ans)`: the derivative for each argument; null where JAX lets no gradient through;
   `trouble(x, y)`: why a value is not finite, in words. */
const OPERATIONS = (() => {
  const unary = (value, slope, trouble) => ({
    least: 1,
    most: 1,
    value,
    slopes: (x, _, ans) => [slope && slope(x, ans)],
    trouble,
  });
  // Half each where both are equal, none where either is NaN.
  const half = (x, ans, y) => (x === ans ? (y === ans ? 0.5 : 1) : 0);
  const chosen = (value) => ({
    least: 2,
    most: Infinity,
    value,
    slopes: (x, y, ans) => [half(x, ans, y), half(y, ans, x)],
  });
  const one = (x) => (x === 0 ? 1 : x);

  /* x^n by squaring, the order of multiplications of jax.lax.integer_pow: the same rounding. */
  function whole(x, n) {
    if (n === 0) return 1;
    let left = Math.abs(n),
      product = null;
    if (left === 3) product = x * x * x;
    else
      while (left > 0) {
        if (left % 2 === 1) product = product === null ? x : product * x;
        left = Math.floor(left / 2);
        if (left > 0) x = x * x;
      }
    return n < 0 ? 1 / product : product;
  }
  // JavaScript has 1^NaN and 1^Infinity NaN; IEEE 754, and so JAX, has 1.
  const power = (x, y) => (x === 1 ? 1 : Math.pow(x, y));
  const powerTrouble = (x, y) =>
    x === 0 && y < 0
      ? `division by zero (0 to the power ${y})`
      : x < 0 && !Number.isInteger(y) && `${x}, a negative number, to the power ${y}`;

  const functions = {
    sin: unary(Math.sin, Math.cos),
    cos: unary(Math.cos, (x) => -Math.sin(x)),
    tan: unary(Math.tan, (x, ans) => 1 + ans * ans),
    asin: unary(
      Math.asin,
      (x) => 1 / Math.sqrt(1 - x * x),
      (x) => Math.abs(x) > 1 && `asin of ${x}, which is outside -1 to 1`,
    ),
    acos: unary(
      Math.acos,
      (x) => -1 / Math.sqrt(1 - x * x),
      (x) => Math.abs(x) > 1 && `acos of ${x}, which is outside -1 to 1`,
    ),
    atan: unary(Math.atan, (x) => 1 / (1 + x * x)),
    sinh: unary(Math.sinh, Math.cosh),
    cosh: unary(Math.cosh, Math.sinh),
    tanh: unary(Math.tanh, (x, ans) => (1 + ans) * (1 - ans)),
    exp: unary(Math.exp, (x, ans) => ans),
    log: unary(
      Math.log,
      (x) => 1 / x,
      (x) => (x === 0 ? "log of zero" : x < 0 && `log of ${x}, a negative number`),
    ),
    sqrt: unary(
      Math.sqrt,
      (x, ans) => 0.5 / ans,
      (x) => x < 0 && `sqrt of ${x}, a negative number`,
    ),
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
    // A constant whole number as exponent is an operation of its own, as in JAX.
    whole: { value: whole, slopes: (x, n) => [n === 0 ? 0 : n * whole(x, n - 1), null], trouble: powerTrouble },
    "^": { value: power, slopes: (x, y, ans) => [y * power(x, y - 1), Math.log(one(x)) * ans], trouble: powerTrouble },
    neg: { value: (x) => -x, slopes: () => [-1] },
  };
  return { functions, all: { ...functions, ...operators } };
})();
const FUNCTIONS = OPERATIONS.functions;
