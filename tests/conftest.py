"""What every test runs under: eight simulated devices, and JAX at its strictest."""

import os

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8".strip()
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hypothesis
import jax
import pytest

hypothesis.settings.register_profile("gradtx", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile("gradtx")


@pytest.fixture(autouse=True)
def strictness(request):
    """No silent promotion of types or ranks, except where another library does the arithmetic."""
    elsewhere = {"peers", "clients"} & set(request.path.parts)
    types, ranks = ("standard", "allow") if elsewhere else ("strict", "raise")
    with jax.numpy_dtype_promotion(types), jax.numpy_rank_promotion(ranks):
        yield
