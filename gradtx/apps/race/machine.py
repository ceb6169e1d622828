"""What a race runs on: the processor, and the versions of what computes."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable
from pathlib import Path


def machine(libraries: Iterable[str]) -> dict[str, str]:
    """Name -> text: processor, cores that may be used, system, and versions.

    Args:
        libraries: those whose optimizers run.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {
        "processor": _processor(),
        "cores": str(cores),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    for package in dict.fromkeys(("gradtx", "jax", "jaxlib", "numpy", *libraries)):
        found[package] = importlib.metadata.version(package)
    return found


def _processor() -> str:
    """Its name, on Linux from where the kernel tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
