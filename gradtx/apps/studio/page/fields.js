/* Text fields that hold numbers, and sliders beside them. What is typed is used exactly. */
"use strict";

const Fields = (() => {
  const byId = (id) => document.getElementById(id);
  const syncs = [];

  /* NaN for what is no number; a true minus sign is one. */
  const parse = (text) => (text.trim() === "" ? NaN : Number(text.trim().replace(/−/g, "-")));

  /* A number field. `check(x)` says "" or what x has to be; `read()` is the value in the settings. */
  function number(input, { name, read, write, check }) {
    input.addEventListener("input", () => {
      const value = parse(input.value),
        said = check(value);
      input.setAttribute("aria-invalid", String(Boolean(said)));
      if (!said && value !== read()) write(value);
    });
    input.addEventListener("change", () => {
      const said = check(parse(input.value));
      if (said) {
        const hint = /\d,\d/.test(input.value) ? " Decimals are written with a point." : "";
        Messages.complain(`${name} ${said}; “${input.value}” is not, and ${read()} stays.${hint}`);
        input.value = String(read());
        input.setAttribute("aria-invalid", "false");
        Model.change({}, { keep: true });
      } else input.value = String(read());
    });
    syncs.push(() => {
      if (document.activeElement === input && parse(input.value) === read()) return; // "1.0" while it is typed
      if (document.activeElement === input && check(parse(input.value))) return;
      input.value = String(read());
    });
  }

  const SMALLEST = 1e-6,
    END = 1000; // of 1 - x for a complement slider that ends at 1; a slider's last position

  /* A slider's value at a position of 0..1000, to three digits; both ends are exact. */
  function fromPosition({ min, max, scale }, position) {
    if (position <= 0) return min;
    if (position >= END) return max;
    const t = position / END;
    if (scale === "log") {
      const low = lowest(min, max);
      return Number((low * (max / low) ** t).toPrecision(3));
    }
    if (scale === "complement") {
      const [far, near] = [1 - min, nearest(max)];
      return Number((1 - Number((far * (near / far) ** t).toPrecision(3))).toPrecision(12));
    }
    return Number((min + (max - min) * t).toPrecision(3));
  }

  function toPosition({ min, max, scale }, value) {
    if (value <= min) return 0;
    if (value >= max) return END;
    let t = (value - min) / (max - min);
    if (scale === "log") t = Math.log(value / lowest(min, max)) / Math.log(max / lowest(min, max));
    if (scale === "complement") t = Math.log((1 - value) / (1 - min)) / Math.log(nearest(max) / (1 - min));
    return Math.min(Math.max(Math.round(t * END), 1), END - 1);
  }
  const lowest = (min, max) => (min > 0 ? min : max * 1e-12);
  const nearest = (max) => (max < 1 ? 1 - max : SMALLEST);

  /* A slider for the same value as a number field. */
  function slider(input, scale, { read, write }) {
    Object.assign(input, { type: "range", min: 0, max: END, step: 1 });
    input.addEventListener("input", () => write(fromPosition(scale, Number(input.value))));
    syncs.push(() => {
      // The slider rests where it is as long as that stands for the value.
      if (fromPosition(scale, Number(input.value)) !== read()) input.value = toPosition(scale, read());
      input.setAttribute("aria-valuetext", String(read()));
    });
  }

  /* Show the settings in all fields. */
  const sync = () => syncs.forEach((show) => show());
  const onSync = (show) => syncs.push(show);

  return { byId, parse, number, slider, fromPosition, toPosition, sync, onSync };
})();
