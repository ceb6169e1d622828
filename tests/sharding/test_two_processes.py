"""Two real processes, each with one device, give the numbers of one process."""

import time

import numpy as np
import pytest

from tests.checkpoint.forks import forks
from tests.checkpoint.test_two_processes import LONGEST, free_address
from tests.sharding.matrices_worker import METHODS, SHAPES


@pytest.mark.slow
def test_matrices(tmp_path):
    """Muon, SOAP, Dion, Shampoo and PSGD on split matrices: what goes between the processes is gloo's."""
    with forks() as started:
        runs = {f"{count}-{k}": (count, k) for count in (1, 2) for k in range(count)}
        address = free_address()
        pids = {
            run: started.start("tests.sharding.matrices_worker", address, *args, file=tmp_path / run)
            for run, args in runs.items()
        }
        deadline, status = time.monotonic() + LONGEST, {}
        while any(status.get(run) != 0 for run in runs):
            status = {run: started.poll(pid) for run, pid in pids.items()}
            failed = [run for run, code in status.items() if code not in (None, 0)]
            assert not failed, (tmp_path / failed[0]).read_text()[-3000:]
            assert time.monotonic() < deadline, status
            time.sleep(0.05)
    said = {run: values(tmp_path / run) for run in runs}
    assert said["2-0"].keys() == {(method, name) for method in METHODS for name in SHAPES}
    for key, x in said["2-0"].items():
        assert x == said["2-1"][key]
        np.testing.assert_allclose(x, said["1-0"][key], rtol=1e-4, atol=1e-5, err_msg=str(key))


def values(log):
    """What a process has printed: (method, leaf) -> numbers."""
    lines = [line.split() for line in log.read_text().splitlines()]
    return {(x[1], x[2]): [float.fromhex(v) for v in x[3:]] for x in lines if x[0] == "value"}
