"""With more devices each holds less of the state, and the program does not grow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sharding.scale import measure


def held_to(few, many):
    """Two measurements of `scale`, with fewer devices and with more."""
    for m in (few, many):
        split = m["state_bytes"] - 4  # without the count of Adam
        assert m["planned_bytes"] == m["device_bytes"] == split // m["devices"] + 4
    assert abs(many["instructions"] - few["instructions"]) <= 0.1 * few["instructions"]
    assert many["seconds"] <= 3 * few["seconds"] + 2  # generous: tests run beside each other
    assert many["collectives"]["all-gather"] == few["collectives"]["all-gather"]
    assert many["collectives"]["all-reduce"] <= few["collectives"]["all-reduce"]


def test_from_two_devices_to_eight():
    held_to(measure(2), measure(8))


@pytest.mark.slow
def test_from_eight_devices_to_sixty_four():
    """In a process of its own, which simulates as many."""
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=64", "JAX_PLATFORMS": "cpu"}
    command, root = [sys.executable, "-m", "tests.sharding.scale", "8", "64"], Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, env=environment)
    few, many = map(json.loads, done.stdout.splitlines())
    assert (few["devices"], many["devices"]) == (8, 64)
    held_to(few, many)
