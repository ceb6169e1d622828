"""Checksums: a change of one word always shows, however the array is distributed."""

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from gradtx.checkpoint.checksums import checksum, checksums


@pytest.mark.parametrize("kind", ["uint8", "bool", "float16", "bfloat16", "int32", "float32", "float64", "complex128"])
def test_any_change_of_one_word_changes_the_sum(kind):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 2, (3, 5, 7)).astype(np.dtype(kind))
    before = checksum(array)
    for _ in range(20):
        place = tuple(int(rng.integers(n)) for n in array.shape)
        changed = array.copy()
        changed[place] = 1 - array[place]
        assert checksum(changed) != before
    assert checksum(np.ascontiguousarray(array[::-1])) != before


def test_the_sum_does_not_depend_on_the_mesh():
    x = np.arange(64, dtype=np.float32).reshape(8, 8)
    mesh = jax.make_mesh((4, 2), ("a", "b"))
    specs = [(), ("a",), (None, "b"), ("a", "b"), (("a", "b"),), (None, ("b", "a"))]
    spread = {str(spec): jax.device_put(x, NamedSharding(mesh, PartitionSpec(*spec))) for spec in specs}
    assert set(checksums(spread).values()) == {checksum(x)}


def test_long_arrays_are_summed_in_blocks():
    """Parts that begin and end anywhere in a block add up to the whole."""
    x = np.random.default_rng(0).integers(0, 255, 200_000).astype(np.uint8)
    mesh = jax.make_mesh((8,), ("x",))
    assert checksum(jax.device_put(x, NamedSharding(mesh, PartitionSpec("x")))) == checksum(x)
    for place in (0, 65_535, 65_536, 199_999):
        changed = x.copy()
        changed[place] ^= 1
        assert checksum(changed) != checksum(x)
    swapped = x.copy()
    swapped[[3, 65_539]] = x[[65_539, 3]] + np.uint8(1)
    assert checksum(swapped) != checksum(x)
