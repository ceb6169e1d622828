/* The hue, the dash and the marker of each optimizer. Trajectories run from dark to bright. */
"use strict";

const Colour = (() => {
  /* From OKLCH (lightness 0..1, chroma, hue in degrees), where equal steps look equal, to sRGB [r, g, b], 0..255. */
  function oklch(light, chroma, hue) {
    const [a, b] = [Math.cos, Math.sin].map((of) => chroma * of((hue * Math.PI) / 180));
    const l = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3;
    const m = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3;
    const s = (light - 0.0894841775 * a - 1.291485548 * b) ** 3;
    const linear = [
      4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
      -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
      -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
    ];
    return linear.map((x) => {
      const cut = Math.min(Math.max(x, 0), 1);
      return Math.round(255 * (cut <= 0.0031308 ? 12.92 * cut : 1.055 * cut ** (1 / 2.4) - 0.055));
    });
  }
  const css = ([r, g, b], alpha = 1) => `rgba(${r},${g},${b},${alpha})`;

  // The lengths of the lists differ, so no two of the first 72 optimizers have the same dash and marker.
  const HUES = [80, 350, 20, 190, 145, 310, 110, 240, 270, 50, 165, 330];
  const DASHES = [[], [9, 4], [2.5, 3.5], [10, 3.5, 2, 3.5], [5, 2.5], [14, 4, 3, 4, 3, 4], [1.5, 5], [16, 3]];
  const MARKERS = ["circle", "square", "triangle", "diamond", "down", "cross", "plus", "star", "pentagon"];

  /* The style of the k-th optimizer. `at(t)` is its colour at time t from 0 to 1, from dark to bright. */
  function style(k) {
    const hue = HUES[k % HUES.length];
    return {
      hue,
      dash: DASHES[k % DASHES.length],
      marker: MARKERS[k % MARKERS.length],
      at: (t) => {
        const s = Math.cbrt(t); // the first steps change most
        return css(oklch(0.3 + 0.6 * s, 0.1 + 0.08 * Math.sin(Math.PI * (0.15 + 0.65 * s)), hue + 22 * (s - 0.7)));
      },
      // For lines on paper: one colour, with enough contrast.
      line: (dark) => css(oklch(dark ? 0.78 : 0.52, 0.15, hue)),
    };
  }

  /* The ground of a surface, from dark and low (t = 0) to light and high (t = 1). */
  const ground = (t) => oklch(0.36 + 0.58 * t, 0.055 - 0.043 * t, 245 - 25 * t);

  /* The amplification map: -1 blue, 0 white, 1 red. */
  const diverging = (t) => {
    const size = Math.min(Math.abs(t), 1);
    return oklch(0.975 - 0.47 * size ** 0.85, 0.19 * size ** 0.8, t > 0 ? 27 : 255);
  };

  return { css, style, ground, diverging };
})();
