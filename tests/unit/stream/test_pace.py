import pytest

from fraudline.stream.pace import Pace


def settled(pace: Pace, waiting: int, fixed_s: float, each_s: float, batches: int = 60) -> list[tuple[int, float]]:
    """Sizes and seconds of batches of a worker with ``waiting`` records before it."""
    seen = []
    for _ in range(batches):
        records = min(pace.size, waiting)
        seconds = fixed_s + records * each_s
        seen.append((records, seconds))
        pace.took(records, seconds)
    return seen


@pytest.mark.parametrize(("fixed_s", "each_s"), [(0.005, 10e-6), (0.01, 100e-6), (0.02, 200e-6)])
def test_a_worker_that_is_behind_takes_large_batches_that_end_in_half_of_the_latency(
    fixed_s: float, each_s: float
) -> None:
    pace = Pace(most=5_000, max_latency_s=0.2)
    late = settled(pace, 10**9, fixed_s, each_s)[20:]
    assert max(seconds for _, seconds in late) <= 0.1
    best = min((0.1 - fixed_s) / each_s, 5_000)
    assert min(records for records, _ in late) >= 0.35 * best


def test_a_worker_that_becomes_slow_shrinks_its_batches_at_once_and_never_below_what_a_transaction_is_worth() -> None:
    pace = Pace(most=5_000, max_latency_s=0.2)
    settled(pace, 10**9, 0.005, 10e-6)
    assert pace.size > 3_000
    slow = settled(pace, 10**9, 0.005, 2e-4)
    assert max(seconds for _, seconds in slow[3:]) <= 0.1
    settled(pace, 10**9, 1.0, 1.0)
    assert pace.size == 256


def test_a_slow_batch_that_was_not_full_is_measured_by_its_own_records() -> None:
    pace = Pace(most=5_000, max_latency_s=0.2)
    settled(pace, 10**9, 0.005, 10e-6)
    pace.took(1_000, 0.2)
    assert pace.size == 450, "half of what these took in twice the time, less what makes it safe"


def test_an_idle_worker_does_not_grow_its_batches() -> None:
    pace = Pace(most=5_000, max_latency_s=0.2)
    settled(pace, 10, 0.005, 10e-6)
    assert pace.size == 256


def test_a_batch_is_never_larger_than_the_most() -> None:
    pace = Pace(most=8, max_latency_s=0.2)
    settled(pace, 10**9, 1.0, 1.0)
    assert pace.size == 8


def test_a_worker_whose_records_are_late_already_catches_up_in_batches_as_large_as_they_may_be() -> None:
    pace = Pace(most=5_000, max_latency_s=0.2)
    for _ in range(10):
        pace.took(pace.size, 0.3, waited_s=0.5)
    assert pace.size == 5_000
    pace.took(pace.size, 0.3, waited_s=0.1)
    assert pace.size < 5_000


def test_a_worker_that_is_behind_takes_no_batch_that_the_group_would_not_wait_for() -> None:
    pace = Pace(most=5_000, max_latency_s=0.2)
    taken = []
    for _ in range(10):
        taken.append(pace.size)
        pace.took(pace.size, pace.size * 0.2, waited_s=3_600.0)  # an endpoint that is slow
    assert taken[-1] * 0.2 < 240
    assert taken[-1] == taken[-2]


def test_a_batch_that_was_given_up_is_tried_again_with_half_of_its_records_and_with_one_at_least() -> None:
    pace = Pace(most=5_000, max_latency_s=0.2)
    sizes = []
    for _ in range(10):
        sizes.append(pace.size)
        pace.gave_up()
    assert sizes == [256, 128, 64, 32, 16, 8, 4, 2, 1, 1]
    pace.took(1, 2.0, waited_s=3_600.0)
    assert pace.size == 2, "it grows again, when there is time"
