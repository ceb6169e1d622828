/* Numbers as text: round ticks, short labels, all digits. */
"use strict";

const Ticks = (() => {
  /* Round numbers from low to high, about `count` of them: steps of 1, 2 or 5 times a power of ten. */
  function linear(low, high, count) {
    const rough = (high - low) / Math.max(count, 1);
    if (!(rough > 0) || !Number.isFinite(rough)) return [];
    const ten = 10 ** Math.floor(Math.log10(rough));
    const step = ten * [1, 2, 5, 10].find((m) => m * ten >= rough * 0.999);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i <= high / step + 1e-9 && found.length < 100; i += 1)
      found.push(Number((i * step).toPrecision(12)));
    return found;
  }

  /* Powers of ten, every one or every n-th, from low to high (both positive). */
  function log(low, high, count) {
    const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9);
    const every = Math.max(1, Math.ceil((last - first + 1) / count));
    const found = [];
    for (let k = Math.ceil(first / every) * every; k <= last; k += every) found.push(10 ** k);
    return found.length > 1 ? found : linear(low, high, count).filter((x) => x > 0);
  }

  const UP = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const raised = (k) => (k < 0 ? "⁻" : "") + [...String(Math.abs(k))].map((digit) => UP[digit]).join("");

  /* A label: 0.05, 1500, 10⁻⁷, 2.5·10⁻⁷, with a typographic minus; numbers from `large` on get a power of ten. */
  function label(x, digits = 3, large = 1e5) {
    if (!Number.isFinite(x)) return Number.isNaN(x) ? "not a number" : x > 0 ? "∞" : "−∞";
    const size = Math.abs(x);
    if (size !== 0 && (size >= large || size < 1e-3)) {
      const [mantissa, exponent] = size.toExponential(digits - 1).split("e");
      const short = String(Number(mantissa));
      return `${x < 0 ? "−" : ""}${short === "1" ? "" : `${short}·`}10${raised(Number(exponent))}`;
    }
    return plain(Number(x.toPrecision(Math.max(digits, size >= 1000 ? 4 : 0))));
  }

  /* All digits of a number, with a typographic minus. */
  const plain = (x) => String(x).replace(/-/g, "−");

  /* A number with seven digits, for the table. */
  function table(x) {
    if (!Number.isFinite(x)) return label(x);
    const size = Math.abs(x);
    const text = size !== 0 && (size >= 1e7 || size < 1e-4) ? x.toExponential(6) : String(Number(x.toPrecision(7)));
    return plain(text).replace("e+", "e");
  }

  return { linear, log, label, plain, table };
})();
