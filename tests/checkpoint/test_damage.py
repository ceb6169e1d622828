"""Whatever is wrong with a folder is one clear error, never numbers that were not saved."""

import contextlib
import random
import re
import resource
import shutil
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx.checkpoint import CheckpointError, Checkpoints
from gradtx.checkpoint.index import Index, from_json, to_json
from gradtx.checkpoint.leaves import Leaf
from gradtx.optional_imports import MissingExtraError
from gradtx.testing.compare import same_bits

orbax = pytest.importorskip("orbax.checkpoint", reason="pip install -e '.[checkpoint]'")

TREE = {"w": jax.random.normal(jax.random.key(0), (40, 30)), "count": jnp.int32(5), "key": jax.random.key(1)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with two checkpoints."""
    folder = tmp_path_factory.mktemp("made")
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(1, tree=TREE)
        checkpoints.save(2, tree=TREE)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """A copy of it, to be spoilt."""
    return shutil.copytree(made, tmp_path / "copy")


def restore(folder, step=2):
    with Checkpoints(folder) as checkpoints:
        return checkpoints.restore(step, tree=TREE)


def files(folder):
    """The files of checkpoint 2 that matter, each by its place in it."""
    return sorted(path for path in (folder / "2").rglob("*") if path.is_file())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_flipped_bits(folder):
    """Each gives an error, or nothing was read from there: Orbax itself gives wrong numbers for some of these."""
    rng, said = random.Random(0), {}
    for file in files(folder):
        whole = file.read_bytes()
        for _ in range(6):
            spoilt = bytearray(whole)
            spoilt[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
            file.write_bytes(spoilt)
            try:
                same_bits("what was read", restore(folder)["tree"], TREE)
            except CheckpointError as error:
                said[file.relative_to(folder / "2").parts[:2]] = str(error)
        file.write_bytes(whole)
    assert ("index", "metadata") in said
    assert any(parts[0] == "arrays" for parts in said)
    for message in said.values():
        assert re.search(r"step 2 .*damaged.*other checkpoints: restore\(step=1, ...\)", message, re.DOTALL), message
    same_bits("what is whole again", restore(folder)["tree"], TREE)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("left", [0.0, 0.5])
def test_cut_and_missing_files(folder, left):
    said = []
    for file in files(folder):
        whole = file.read_bytes()
        file.write_bytes(whole[: int(len(whole) * left)])
        for gone in (False, True):
            if gone:
                file.unlink()
            try:
                same_bits("what was read", restore(folder)["tree"], TREE)
            except CheckpointError as error:
                said.append(str(error))
        file.write_bytes(whole)
    assert len(said) > 5
    assert max(map(len, said)) < 800


def test_the_data_itself(folder):
    """The largest file holds the numbers, and every bit of it counts."""
    file = max(files(folder), key=lambda path: path.stat().st_size)
    whole, rng = file.read_bytes(), random.Random(1)
    for _ in range(20):
        spoilt = bytearray(whole)
        spoilt[rng.randrange(len(whole) // 4, len(whole) // 2)] ^= 1 << rng.randrange(8)
        file.write_bytes(spoilt)
        with pytest.raises(CheckpointError, match=r"step 2 .* damaged.*other checkpoints: restore\(step=1, ...\)"):
            restore(folder)
    assert restore(folder, 1).step == 1


def test_nothing_there(tmp_path):
    with Checkpoints(tmp_path / "none") as checkpoints:
        assert checkpoints.steps == []
        with pytest.raises(CheckpointError, match=r"no folder .*/none"):
            checkpoints.restore(tree=TREE)
        with pytest.raises(CheckpointError, match=r"no checkpoint of step 3 .*no other checkpoint"):
            checkpoints.restore(3, tree=TREE)
    assert not (tmp_path / "none").exists()
    (tmp_path / "empty").mkdir()
    with Checkpoints(tmp_path / "empty") as checkpoints, pytest.raises(CheckpointError, match="is empty"):
        checkpoints.restore(tree=TREE)


def test_something_else_there(tmp_path, made):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(CheckpointError, match=r"notes\.txt is a file"):
        Checkpoints(tmp_path / "notes.txt")
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(CheckpointError, match=r"no checkpoint; it has notes\.txt"),
    ):
        checkpoints.restore(tree=TREE)
    with (
        Checkpoints(made / "2") as checkpoints,
        pytest.raises(CheckpointError, match=f"one checkpoint.*give {made}, and the step"),
    ):
        checkpoints.restore(tree=TREE)
    with Checkpoints(made) as checkpoints, pytest.raises(CheckpointError, match=r"no checkpoint of step 9 .* of 1, 2"):
        checkpoints.restore(9, tree=TREE)


def test_what_plain_orbax_wrote(tmp_path):
    with orbax.CheckpointManager(tmp_path / "steps") as manager:
        manager.save(4, args=orbax.args.StandardSave({"w": jnp.ones(3)}))
    with orbax.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "tree", {"w": jnp.ones(3)})
    with Checkpoints(tmp_path / "steps") as checkpoints:
        assert checkpoints.steps == [4]
        with pytest.raises(CheckpointError, match=r"step 4 .* not written by gradtx.*'default'.*read it with orbax"):
            checkpoints.restore(tree=TREE)
    with Checkpoints(tmp_path / "tree") as checkpoints, pytest.raises(CheckpointError, match="tree that Orbax wrote"):
        checkpoints.restore(tree=TREE)


def test_an_index_of_another_kind():
    with pytest.raises(CheckpointError, match="x has a damaged index, or one that gradtx did not write"):
        from_json("x", {"a": 1})
    index = Index({"a": Leaf("float32", (2,), (1,)), "b": Leaf("int8", (0,))}, {"a": 7})
    assert from_json("x", to_json(index)) == index
    with pytest.raises(CheckpointError, match=r"format 2.*reads 1"):
        from_json("x", {**to_json(index), "gradtx_checkpoint": 2})
    with pytest.raises(CheckpointError, match="damaged index"):
        from_json("x", {**to_json(index), "leaves": "[]"})


@contextlib.contextmanager
def full_disk():
    """As if there were room for small files only."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_save_that_fails(tmp_path):
    """The next call tells, or the end of the block; and one can go on with the checkpoints before it."""
    x = jax.random.normal(jax.random.key(0), (300, 300))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, x=x)
        checkpoints.wait()
        with full_disk():
            checkpoints.save(2, x=x)
            with pytest.raises(CheckpointError, match=r"last save .* failed.* are intact: .*too large"):
                checkpoints.save(3, x=x)
        assert checkpoints.restore(x=x).step == 1
        checkpoints.save(3, x=x)
        assert checkpoints.steps == [1, 3]
    with pytest.raises(CheckpointError, match="last save"), full_disk(), Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(4, x=x)
    with pytest.raises(TypeError) as raised, full_disk(), Checkpoints(tmp_path) as checkpoints:  # noqa: PT012
        checkpoints.save(4, x=x)
        checkpoints.restore()  # what comes first
    assert "last save" in raised.value.__notes__[0]


def test_without_orbax(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    with pytest.raises(MissingExtraError, match=r"orbax\.checkpoint is not installed: .*gradtx\[checkpoint\]"):
        Checkpoints(tmp_path)


def test_what_cannot_be_saved(tmp_path):
    with Checkpoints(tmp_path, max_to_keep=1) as checkpoints:
        checkpoints.save(5, x=1)
        with pytest.raises(ValueError, match=r"step must be greater than 5.*got 5: to continue from an older"):
            checkpoints.save(5, x=1)
        with pytest.raises(TypeError, match=r"step must be a whole number; got 1\.5"):
            checkpoints.save(1.5, x=1)
        with pytest.raises(ValueError, match="step must be at least 0"):
            checkpoints.save(-1, x=1)
        with pytest.raises(TypeError, match="nothing to save"):
            checkpoints.save(6)
        with pytest.raises(TypeError, match="nothing to restore"):
            checkpoints.restore()
        with pytest.raises(TypeError, match=r"state/name must be an array or a number; got 'adam'"):
            checkpoints.save(6, state={"name": "adam"})
        with pytest.raises(TypeError, match="state/0 has the type <U1: only numbers"):
            checkpoints.save(6, state=[np.asarray("a")])
        with pytest.raises(TypeError, match="x/0: 18446744073709551616 has more than 64 bits"):
            checkpoints.save(6, x=[2**64])
        with pytest.raises(ValueError, match="two leaves at x/a/b"):
            checkpoints.save(6, x={"a": {"b": 1}, "a/b": 2})
        with pytest.raises(ValueError, match="cannot be called 'strict'"):
            checkpoints.save(6, strict=1)
        with pytest.raises(TypeError, match="x is a tracer"):
            jax.jit(lambda x: checkpoints.save(6, x=x))(1.0)
        assert checkpoints.steps == [5]
    for wrong in (0, 1.5, -3):
        with pytest.raises(ValueError, match="max_to_keep must be"):
            Checkpoints(tmp_path, max_to_keep=wrong)
