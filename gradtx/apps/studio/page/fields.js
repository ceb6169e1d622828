/* Text fields that hold numbers, and sliders for the same numbers. A typed number is used exactly. */
"use strict";

const Fields = (() => {
  const syncs = [];

  /* NaN for what is not a number. A typographic minus sign is accepted. */
  const parse = (text) => (text.trim() === "" ? NaN : Number(text.trim().replace(/−/g, "-")));

  /* A number field. `check(x)` is "" or what x has to be; `read()` is the value in the settings. */
  function number(input, { name, read, write, check }) {
    const invalid = (is) => input.setAttribute("aria-invalid", String(is));
    Dom.on(input, "input", () => {
      const value = parse(input.value), wanted = check(value);
      invalid(Boolean(wanted));
      if (!wanted && value !== read()) write(value);
    });
    Dom.on(input, "change", () => {
      const wanted = check(parse(input.value)), typed = input.value;
      input.value = String(read());
      if (!wanted) return;
      const hint = /\d,\d/.test(typed) ? " Write decimals with a point." : "";
      Messages.complain(`${name} ${wanted}; “${typed}” is not, so ${read()} stays.${hint}`);
      invalid(false);
      Model.change({}, { keep: true });
    });
    syncs.push(() => {
      const value = parse(input.value);
      if (document.activeElement === input && (value === read() || check(value))) return; // still being typed
      input.value = String(read());
    });
  }

  const END = 1000; // the last position of a slider
  const SMALLEST = 1e-6; // 1 - x at the last position but one of a complement slider that ends at 1
  const lowest = (min, max) => (min > 0 ? min : max * 1e-12);
  const nearest = (max) => (max < 1 ? 1 - max : SMALLEST);

  /* The value of a slider at a position from 0 to 1000, to three digits. Both ends are exact. */
  function fromPosition({ min, max, scale }, position) {
    if (position <= 0) return min;
    if (position >= END) return max;
    const t = position / END, rounded = (x) => Number(x.toPrecision(3));
    const power = (low, high) => rounded(low * (high / low) ** t);
    if (scale === "log") return power(lowest(min, max), max);
    if (scale === "complement") return Number((1 - power(1 - min, nearest(max))).toPrecision(12));
    return rounded(min + (max - min) * t);
  }

  function toPosition({ min, max, scale }, value) {
    if (value <= min) return 0;
    if (value >= max) return END;
    const power = (low, high, x) => Math.log(x / low) / Math.log(high / low);
    let t = (value - min) / (max - min);
    if (scale === "log") t = power(lowest(min, max), max, value);
    if (scale === "complement") t = power(1 - min, nearest(max), 1 - value);
    return Math.min(Math.max(Math.round(t * END), 1), END - 1);
  }

  /* A slider for the same value as a number field. */
  function slider(input, scale, { read, write }) {
    Object.assign(input, { type: "range", min: 0, max: END, step: 1 });
    Dom.on(input, "input", () => write(fromPosition(scale, Number(input.value))));
    syncs.push(() => {
      // It does not move while its position already means the value.
      if (fromPosition(scale, Number(input.value)) !== read()) input.value = toPosition(scale, read());
      input.setAttribute("aria-valuetext", String(read()));
    });
  }

  /* Show the settings in all fields. */
  const sync = () => syncs.forEach((show) => show());
  const onSync = (show) => syncs.push(show);

  return { number, slider, sync, onSync };
})();
