import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudline.core.clock import HOUR_US
from fraudline.core.errors import StateError
from fraudline.stream.dedupe import SeenIds, hash_ids
from tests.unit.stream.fakes import GOOD

T0 = GOOD.event_time


def ask(seen: SeenIds, ids: list[str], times: list[int]) -> list[bool]:
    return seen.first(hash_ids(ids), np.array(times, np.int64)).tolist()


def steady(seen: SeenIds, start: int, hours: float, prefix: str) -> int:
    """Events every half minute for ``hours``; gives the time of the last."""
    times = [start + i * 30_000_000 for i in range(int(hours * 120) + 1)]
    ask(seen, [f"{prefix}-{i}" for i in range(len(times))], times)
    return times[-1]


def test_the_first_of_the_same_id_counts_within_a_batch_and_across_batches() -> None:
    seen = SeenIds()
    assert ask(seen, ["a", "b", "a", "a"], [T0] * 4) == [True, True, False, False]
    assert ask(seen, ["a", "c", "b"], [T0 + 5] * 3) == [False, True, False]
    assert len(seen) == 3


@settings(max_examples=50)
@given(st.lists(st.tuples(st.text(min_size=1, max_size=20), st.integers(0, 20 * 3600)), max_size=200), st.data())
def test_within_the_horizon_it_is_a_set_however_the_events_are_cut(
    events: list[tuple[str, int]], data: st.DataObject
) -> None:
    ids, times = [event[0] for event in events], [T0 + event[1] * 1_000_000 for event in events]
    known: set[str] = set()
    wanted = [not (name in known or known.add(name)) for name in ids]
    cut = data.draw(st.integers(0, len(events)))
    seen = SeenIds()
    assert ask(seen, ids[:cut], times[:cut]) + ask(seen, ids[cut:], times[cut:]) == wanted
    whole = SeenIds()
    ask(whole, ids, times)
    assert whole.snapshot() == seen.snapshot()


def test_a_table_that_grows_keeps_every_id() -> None:
    seen = SeenIds()
    ids = [f"transaction-{i:08d}" for i in range(50_000)]
    times = [T0 + i * 100_000 for i in range(50_000)]
    assert all(ask(seen, ids, times))
    assert not any(ask(seen, ids, times))
    assert seen.nbytes / len(seen) <= 28


def test_an_id_is_remembered_for_the_horizon_and_forgotten_after_it() -> None:
    seen = SeenIds(hours=24)
    ask(seen, ["old"], [T0])
    now = steady(seen, T0, 23.5, "a")
    assert ask(seen, ["old"], [now]) == [False]
    now = steady(seen, now, 3, "b")
    assert ask(seen, ["old"], [now]) == [True]
    assert len(seen) < 27 * 120, "what is past the horizon takes no memory"


@pytest.mark.parametrize("hours", range(252, 284, 3))
def test_an_id_is_remembered_for_the_horizon_also_when_the_stream_has_gone_on_for_weeks(hours: int) -> None:
    """The memory numbers its hours in a byte."""
    seen = SeenIds(hours=24)
    now = steady(seen, T0, hours, "a")
    assert len(seen) < 26 * 120
    known, forgotten = ([f"a-{int((hours - ago) * 120)}" for ago in of] for of in ((0, 1, 12, 23.5), (26, 40)))
    assert ask(seen, known + forgotten, [now] * 6) == [False] * 4 + [True] * 2


def test_an_absurd_time_forgets_nothing_and_holds_nothing_for_ever() -> None:
    seen = SeenIds(hours=24)
    ask(seen, ["kept"], [T0])
    ask(seen, ["far"], [T0 + 50 * 365 * 24 * HOUR_US])
    assert ask(seen, ["kept", "far"], [T0 + 60_000_000] * 2) == [False, False]
    ask(seen, [f"far-{i}" for i in range(40)], [T0 + 50 * 365 * 24 * HOUR_US] * 40)
    assert ask(seen, ["kept"], [T0 + 120_000_000]) == [False]
    steady(seen, T0, 50, "a")
    assert len(seen) <= 26 * 120


def test_a_first_event_with_an_absurd_time_is_outgrown_by_the_bound() -> None:
    seen = SeenIds(hours=24, most=2_000)
    ask(seen, ["far"], [T0 + 50 * 365 * 24 * HOUR_US])
    steady(seen, T0, 40, "a")
    assert len(seen) <= 2_000


def test_the_bound_on_ids_forgets_the_oldest_first() -> None:
    seen = SeenIds(hours=24, most=800)
    ids = [str(i) for i in range(2_000)]
    ask(seen, ids, [T0] * 2_000)
    assert len(seen) <= 800
    assert not any(ask(seen, ids[-600:], [T0] * 600))
    assert ask(seen, ids[:1], [T0]) == [True]


def test_a_restored_memory_goes_on_as_the_one_that_was_kept() -> None:
    seen = SeenIds()
    now = steady(seen, T0, 30, "a")
    again = SeenIds()
    again.restore(seen.snapshot())
    assert (len(again), again.snapshot()) == (len(seen), seen.snapshot())
    for memory in (seen, again):
        now_later = steady(memory, now, 30, "b")
        assert ask(memory, ["a-0", "b-3599"], [now_later] * 2) == [True, False]
    assert len(again) == len(seen)


def snapshot_that_says(**said: object) -> bytes:
    """A memory of one id, with another header and more bytes behind it."""
    seen = SeenIds()
    ask(seen, ["a"], [T0])
    content = seen.snapshot()
    end = 8 + int.from_bytes(content[:8], "little")
    header = msgspec.json.encode(msgspec.json.decode(content[8:end]) | said)
    return len(header).to_bytes(8, "little") + header + content[end:] + bytes(80)


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"\x02" + b"\0" * 7 + b"{}",
        b"\xff" * 40,
        snapshot_that_says(scalars=[0]),
        snapshot_that_says(capacity=7),
        snapshot_that_says(capacity=8, count=8),  # a table without a free place would be searched for ever
    ],
)
def test_bytes_that_are_no_memory_are_refused(content: bytes) -> None:
    with pytest.raises(StateError, match="damaged"):
        SeenIds().restore(content)


def test_without_a_horizon_nothing_is_held_back() -> None:
    seen = SeenIds(hours=0)
    assert ask(seen, ["a", "a"], [T0] * 2) == [True, True]
    assert len(seen) == 0


def test_hashes_are_those_of_every_release() -> None:
    wanted = [9572011570169803578, 12876521427489539521, 9715330045278494445, 1195648606935390626]
    assert hash_ids(["", "a", "transaction-1", "ü"]).tolist() == wanted
    assert len(set(hash_ids([f"{i}" for i in range(100_000)]).tolist())) == 100_000
