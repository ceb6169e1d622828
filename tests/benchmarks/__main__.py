"""Every comparison side by side: `python -m tests.benchmarks`, about twelve minutes on two quiet cores.

    python -m tests.benchmarks --quick
    python -m tests.benchmarks --only bytes --only rows
    python -m tests.benchmarks --output figures.json --markdown figures.md
    python -m tests.benchmarks --repeat 3 --only adam      # three fresh processes, and the spread of their medians

All sides of a comparison run in this process, in turn, so that a slow minute meets them alike: a ratio is the median
over the rounds, with its 10% and 90% quantiles. Absolute times vary from hour to hour. Our side is `tx.step`, optax's
`update` and `apply_updates`, torch's its fused and its foreach implementation; parameters and state are donated.

Each step is also compared with the bandwidth limit: the time in which a plain copy on the same device moves as many
bytes as one pass over gradients, parameters and state. On a GPU all sides run there, torch's too if it has CUDA.
A plain copy between the works says how even the machine was.
"""

from __future__ import annotations

import argparse

import jax

from tests.benchmarks import report
from tests.benchmarks.lines import QUICK, Scale
from tests.benchmarks.repeats import repeated
from tests.benchmarks.works import WORKS


def main(arguments: list[str] | None = None) -> None:
    """Run what was asked for, print each line as it comes, write the files."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="everything at toy sizes: that it runs, not how fast")
    parser.add_argument(
        "--only", action="append", choices=sorted(WORKS), default=[], metavar="NAME", help=" ".join(sorted(WORKS))
    )
    parser.add_argument("--budget", type=float, help="seconds of timed steps for each comparison; 4 if not given")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="run N times, each in a fresh process")
    parser.add_argument("--output", metavar="FILE.json", help="write every figure, with machine and versions")
    parser.add_argument("--markdown", metavar="FILE.md", help="write the table, with machine and versions")
    args = parser.parse_args(arguments)
    if args.repeat < 1:
        parser.error(f"--repeat must be at least 1; got {args.repeat}")
    scale = QUICK if args.quick else Scale()
    if args.budget is not None:
        scale = scale._replace(budget=args.budget)
    if args.repeat > 1:
        again = [f"--only={name}" for name in args.only] + ["--quick"] * args.quick
        again += [] if args.budget is None else [f"--budget={args.budget}"]
        report.merged(repeated(again, args.repeat), scale, args.output, args.markdown)
        return
    names = [name for name in WORKS if not args.only or name in args.only]
    report.run({name: WORKS[name] for name in names}, scale, args.output, args.markdown)


if __name__ == "__main__":
    jax.config.update("jax_enable_compilation_cache", False)  # or compilations would be read from a file
    main()
