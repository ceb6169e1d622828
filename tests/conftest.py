"""What every test runs under: eight simulated devices, and JAX at its strictest."""

import atexit
import os
import shutil
import tempfile

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8".strip()
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hypothesis
import jax
import pytest

# What one worker of a run has compiled, the others need not: most of the suite's time is compilation.
if "GRADTX_TEST_PROGRAMS" not in os.environ:
    os.environ["GRADTX_TEST_PROGRAMS"] = tempfile.mkdtemp(prefix="gradtx-test-programs-")
    atexit.register(shutil.rmtree, os.environ["GRADTX_TEST_PROGRAMS"], ignore_errors=True)
if "PYTEST_XDIST_WORKER" in os.environ and jax.__version_info__ >= (0, 10):  # 0.6.0 reads some programs back wrongly
    jax.config.update("jax_compilation_cache_dir", os.environ["GRADTX_TEST_PROGRAMS"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

hypothesis.settings.register_profile("gradtx", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile("gradtx")


@pytest.fixture(autouse=True)
def strictness(request):
    """No silent promotion of types or ranks, except where another library does the arithmetic."""
    elsewhere = {"peers", "clients"} & set(request.path.parts)
    types, ranks = ("standard", "allow") if elsewhere else ("strict", "raise")
    with jax.numpy_dtype_promotion(types), jax.numpy_rank_promotion(ranks):
        yield
