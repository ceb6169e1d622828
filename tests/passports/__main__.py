"""Measure every transformation, and write the figures that `gradtx.passport` shows.

    python -m tests.passports                     all of them, about ten minutes on two cores
    python -m tests.passports --stale             those that are new, and those whose formula, arguments or state
                                                  are no longer as in the file
    python -m tests.passports --only adam         these alone

It needs the extras `race` and `peers`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
import traceback

# Programs as users have them, on the processor; before JAX is imported.
os.environ.update(GRADTX_TEST_FLAGS="", KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")


def main(words: list[str]) -> int:
    """Measure what is asked for, several at once, and write the file; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.passports", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="the factories to measure; default: all")
    parser.add_argument("--stale", action="store_true", help="only those that the file does not fit")
    parser.add_argument("--part", default="", metavar="PART", help="of those, this part only: race, trials, ...")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes; default: %(default)s")
    options = parser.parse_args(words)

    from tests.passports import file
    from tests.passports.measured import subjects

    started, known = time.perf_counter(), subjects()
    old = file.read() if options.only or options.stale or options.part else {"versions": file.versions(), "entries": {}}
    if unknown := set(options.only or ()) - known.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    if old["versions"] != file.versions():
        parser.error(f"the file is of {old['versions']}, here are {file.versions()}: measure all")
    entries = {name: entry for name, entry in old["entries"].items() if name in known}
    if options.stale:
        names = sorted(file.stale(old["entries"], known).keys() & known.keys())
        entries |= {k: {**x, "code": file.fingerprint(known[k].tx)} for k, x in entries.items() if k not in names}
    else:
        names = sorted(options.only or (entries if options.part else known))
    failed = []
    with multiprocessing.get_context("spawn").Pool(min(options.jobs, max(len(names), 1))) as pool:
        work = {name: pool.apply_async(file.measure, (name, options.part)) for name in names}
        for k, (name, waiting) in enumerate(work.items(), 1):
            try:
                figures, seconds = waiting.get()
            except Exception:  # the others are worth keeping
                failed.append(name)
                traceback.print_exc()
                continue
            others = {part: x for part, x in entries.get(name, {}).items() if options.part and part != options.part}
            entries[name] = {**others, **figures}
            print(f"{k}/{len(names)} {name}: {seconds:.1f} s", flush=True)
    file.write(entries)
    print(f"{file.FILE}: {len(names)} measured in {time.perf_counter() - started:.0f} s")
    print(*(f"not measured: {name}" for name in failed), sep="\n", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
