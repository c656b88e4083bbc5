import hashlib
import os
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path
from unittest import mock

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fraudline.core.errors import StateError, UsageError
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.spec import load_spec
from fraudline.stream.checkpoint import Checkpoint, CheckpointStore
from tests.support.transactions import table_of, transaction


def checkpoint(**changes: object) -> Checkpoint:
    values = {
        "partition": 2,
        "next_offset": 100,
        "last_offset": 99,
        "last_digest": "aa",
        "spec_version": "s",
        "profile_version": "p",
        "written_at": 5,
        "state": b"\x00state\xff",
        "seen": b"\x00seen\xff",
    }
    return Checkpoint(**{**values, **changes})


def loaded(store: CheckpointStore) -> Checkpoint:
    """The checkpoint of partition 2, its state whole."""
    found = store.load(2)
    assert found is not None
    return msgspec.structs.replace(found, state=bytes(found.state))


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path, group="g", topic="transactions")


def test_a_checkpoint_comes_back_as_it_was_saved(store: CheckpointStore) -> None:
    store.save(checkpoint(next_offset=1))
    store.save(checkpoint())
    assert loaded(store) == checkpoint()


def test_a_partition_without_a_checkpoint_has_none(store: CheckpointStore) -> None:
    assert store.load(0) is None


def killed_while_writing(path: Path) -> Path:
    """What is left beside ``path``."""
    code = "import os, sys, pathlib, fraudline.core.files as f\nwith f.atomic_file(pathlib.Path(sys.argv[1])) as t:\n"
    before = set(path.parent.iterdir())
    code += "    t.write_bytes(b'half'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, path], check=False)
    (left,) = set(path.parent.iterdir()) - before
    return left


def test_what_a_killed_worker_left_half_written_is_removed_when_its_partition_is_taken_again(
    store: CheckpointStore,
) -> None:
    store.save(checkpoint())
    path = store.path(2)
    old, fresh, other = (killed_while_writing(each) for each in (path, path, store.path(22)))
    for each in (old, other):
        os.utime(each, (1e9, 1e9))
    assert loaded(store) == checkpoint()
    assert set(path.parent.iterdir()) == {path, fresh, other}, "a fresh one may still be written"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.data())
def test_a_checkpoint_with_any_changed_byte_is_refused(store: CheckpointStore, data: st.DataObject) -> None:
    store.save(checkpoint())
    path = store.path(2)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(StateError):
        store.load(2)


@pytest.mark.parametrize("size", [0, 1, 20, 31, 32, 33, 60, -1])
def test_a_checkpoint_cut_short_is_refused(store: CheckpointStore, size: int) -> None:
    store.save(checkpoint())
    path = store.path(2)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(StateError, match="damaged"):
        store.load(2)


def test_a_checkpoint_of_another_partition_is_refused(store: CheckpointStore) -> None:
    store.save(checkpoint())
    store.path(2).rename(store.path(0))
    with pytest.raises(StateError, match="partition 2"):
        store.load(0)


def test_a_checkpoint_of_a_later_format_is_refused(store: CheckpointStore) -> None:
    store.save(checkpoint(format=4))
    with pytest.raises(StateError, match="format 4"):
        store.load(2)


def test_a_block_that_says_more_than_it_can_hold_is_given_no_memory(store: CheckpointStore) -> None:
    store.save(checkpoint())
    body = bytearray(store.path(2).read_bytes()[:-32])
    (stored,) = struct.unpack_from("<Q", body, body.rindex(b"}") + 9)
    struct.pack_into("<Q", body, body.rindex(b"}") + 1, 1 << 30)
    store.path(2).write_bytes(body + hashlib.sha256(body).digest())
    with pytest.raises(StateError, match=f"{1 << 30} bytes in {stored}"):
        store.load(2)


def test_a_failed_write_leaves_the_earlier_checkpoint(store: CheckpointStore) -> None:
    store.save(checkpoint())
    with pytest.raises(TypeError):
        store.save(checkpoint(state="not bytes"))
    assert loaded(store) == checkpoint()
    assert [path.name for path in store.path(2).parent.iterdir()] == ["transactions-2.checkpoint"]


def test_a_group_that_would_leave_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        CheckpointStore(tmp_path, group="../x", topic="t")


def test_a_state_is_restored_piece_by_piece_and_never_held_twice(store: CheckpointStore) -> None:
    """A worker that runs in its memory begins again in it."""
    cards, spec = 4_096, load_spec()
    engine = FeatureEngine(spec)
    engine.advance(columns_from_table(table_of([transaction(i, card_id=f"c{i}") for i in range(cards)])))
    with mock.patch("fraudline.features.frozen.ROWS", 256):
        store.save(checkpoint(), engine.freeze())
        again = FeatureEngine(spec)
        tracemalloc.start()
        try:
            found = store.load(2)
            assert found is not None
            again.restore(found.state)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert again.snapshot() == engine.snapshot()
    assert peak < 1.5 * cards * engine.card_bytes


def test_a_block_that_is_not_what_it_says_is_refused_when_the_state_is_restored(store: CheckpointStore) -> None:
    engine = FeatureEngine(load_spec())
    store.save(checkpoint(), engine.freeze())
    body = bytearray(store.path(2).read_bytes()[:-32])
    after = body.index(b"\n") + 1
    first = after + 8 + struct.unpack_from("<Q", body, after)[0]
    _, stored = struct.unpack_from("<QQ", body, first)
    body[first + 16 : first + 16 + stored] = bytes(stored)
    store.path(2).write_bytes(body + hashlib.sha256(body).digest())
    found = store.load(2)
    assert found is not None
    kept = engine.snapshot()
    with pytest.raises(StateError):
        engine.restore(found.state)
    assert engine.snapshot() == kept
