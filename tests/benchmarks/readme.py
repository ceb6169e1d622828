"""The lines of README about speed, from the figures of one run."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.lines import Line

USUAL = "clip + AdamW + schedule"


def readme(lines: Sequence[Line]) -> list[str]:
    """As README has them; "?" for what this run did not measure."""
    found = {(line.work, line.unit): line.measured.median for line in lines if line.measured}

    def x(work: str, unit: str = "step / optax") -> str:
        return f"{found[work, unit]:.2f}" if (work, unit) in found else "?"

    outside = [m for (work, unit), m in found.items() if work.endswith("outside jit") and unit == "step / optax"]
    eager = f"{min(outside):.2f} to {max(outside):.2f}" if outside else "?"
    many = f"{USUAL}, 1000 leaves"
    return [
        f"* {USUAL} on GPT-2 small: {x(f'{USUAL}, GPT-2 small')} "
        f"({x(f'{USUAL}, GPT-2 small', 'step / torch fused')} of fused torch).",
        f"* Adam with `accumulate`: {x('accumulate 4 + Adam')}. Adam with `skip_nonfinite`: "
        f"{x('skip_nonfinite + Adam')}. Lion: {x('Lion')}.",
        f"* 1,000 small leaves in one `pack`: {x(f'{many} of 64, packed')} for a step, "
        f"{x(f'{many} of 64, packed', 'compile / optax')} for compilation.",
        f"* Compiling {many.replace('1000', '1,000')}: {x(many, 'compile / optax')}. A step of Adam alone: "
        f"{x('Adam, one leaf of 16,777,216')}.",
        f"* `tx.step` outside `jit`: {eager}.",
    ]
