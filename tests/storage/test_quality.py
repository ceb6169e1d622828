"""Training with a stored state ends where training with a float32 one does, to its spread from seed to seed."""

import numpy as np
import pytest

from gradtx import storage
from tests.storage.quality import characters, compare, digits, source_text, table


@pytest.mark.parametrize("make", [lambda: digits(60), lambda: characters(20)], ids=["digits", "characters"])
def test_within_the_spread_over_seeds(make):
    """Loss and accuracy, the means of three seeds: int8 within the spread of float32, int4 within twice the spread."""
    found = compare(make(), [storage.float32(), storage.int8(), storage.int4()], seeds=3)
    print(f"source text {source_text()[1]}", table(found), sep="\n")
    first = found.pop("storage.float32()")
    for codec, spreads in (("storage.int8(block=256)", 1), ("storage.int4(block=128)", 2)):
        for x, x0 in zip(found[codec], first, strict=True):
            assert np.isfinite(x).all()
            assert abs(x.mean() - x0.mean()) <= spreads * np.ptp(x0), table({"float32()": first, **found})
