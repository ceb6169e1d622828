"""What every test runs under: eight simulated devices, JAX at its strictest, programs that compile fast."""

import atexit
import ctypes
import functools
import gc
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

# Most of the suite's time is compilation, and a program runs a few times only: XLA does not optimize machine code here
# (its passes over whole programs stay). With GRADTX_TEST_FLAGS= in the environment it makes what users run.
os.environ.setdefault(
    "GRADTX_TEST_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    # jaxlib 0.12 does not know all of these, and an unknown flag ends the process.
    + " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    * (tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11)),
)
os.environ["XLA_FLAGS"] = " ".join(
    [os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=8", os.environ["GRADTX_TEST_FLAGS"]]
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hypothesis
import jax
import pytest
from jax._src.interpreters import mlir

# What one process of a run has compiled, no other compiles again. JAX 0.6 reads some programs back wrongly.
PROGRAMS = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}
if jax.__version_info__ >= (0, 10) and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    PROGRAMS["jax_compilation_cache_dir"] = tempfile.mkdtemp(prefix="gradtx-test-programs-")
    atexit.register(shutil.rmtree, PROGRAMS["jax_compilation_cache_dir"], ignore_errors=True)
    for name, value in PROGRAMS.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)

# JAX makes a context of MLIR for each program that it lowers, eager operations too: a fifth of the suite's time. One
# serves them all, until the programs are dropped.
mlir.make_ir_context = shared_context = functools.cache(mlir.make_ir_context)

# Tracing makes many small objects, and looking through them for garbage took an eighth of the suite's time.
gc.set_threshold(20_000, 20, 100)

hypothesis.settings.register_profile("gradtx", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile("gradtx")

MOST_BYTES = 1_500_000_000  # a worker that holds more drops what it has compiled


def pytest_ignore_collect(collection_path, config):
    """Where a mark is left out, a module that is marked as a whole is not imported: what it needs may be missing.

    Nor are the modules without tests, in which doctests would be looked for: some import torch.
    """
    if collection_path.suffix != ".py":
        return None
    if not collection_path.name.startswith("test_"):
        return True
    marks = [mark for mark in ("peers", "nightly") if f"not {mark}" in (config.option.markexpr or "")]
    text = collection_path.read_text() if marks else ""
    return any(f"\npytestmark = pytest.mark.{mark}\n" in text for mark in marks) or None


def pytest_collection_modifyitems(items):
    """A test that is named by an address has another name in every worker, and two workers then run nothing at all."""
    if named := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        raise pytest.UsageError(f"give these tests ids without addresses: {', '.join(named)}")


def pytest_collection_finish():
    """What the modules of the tests hold is never garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def strictness(request):
    """No silent promotion of types or ranks, except where another library does the arithmetic."""
    elsewhere = {"peers", "clients"} & set(request.path.parts)
    types, ranks = ("standard", "allow") if elsewhere else ("strict", "raise")
    with jax.numpy_dtype_promotion(types), jax.numpy_rank_promotion(ranks):
        yield


@pytest.fixture(autouse=True)
def bounded_memory():
    """Drop the compiled programs after a test with which the process has grown too large."""
    yield
    if _held_bytes() > MOST_BYTES:
        drop_programs()


def drop_programs() -> None:
    """Forget what JAX has traced and compiled, and give the memory back."""
    jax.clear_caches()
    shared_context.cache_clear()
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def _held_bytes() -> int:
    """The memory of this process now; 0 where there is no /proc to ask."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0
