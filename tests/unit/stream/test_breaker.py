import pytest

from fraudline.stream.breaker import CircuitBreaker, backoff_s


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def breaker_of(clock: Clock, chance: float = 1.0) -> CircuitBreaker:
    return CircuitBreaker(3, 1.0, 10.0, clock=clock, chance=lambda: chance)


def test_waits_double_are_bounded_and_fall_anywhere_below() -> None:
    assert [backoff_s(n, 0.2, 5.0, lambda: 1.0) for n in range(7)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert backoff_s(10_000, 0.2, 5.0, lambda: 0.5) == 2.5
    assert backoff_s(3, 0.2, 5.0, lambda: 0.0) == 0.0


def test_a_breaker_opens_after_failures_in_a_row_only(clock: Clock) -> None:
    breaker = breaker_of(clock)
    for failures in (2, 2):
        for _ in range(failures):
            breaker.failed()
        assert (breaker.open, breaker.wait_s()) == (False, 0.0)
        breaker.succeeded()
    for _ in range(3):
        breaker.failed()
    assert (breaker.open, breaker.wait_s()) == (True, 1.0)


def test_an_open_breaker_allows_one_look_after_each_pause_and_the_pauses_grow_to_a_bound(clock: Clock) -> None:
    breaker = breaker_of(clock)
    for _ in range(3):
        breaker.failed()
    pauses = []
    for _ in range(6):
        pauses.append(breaker.wait_s())
        clock.now += pauses[-1]
        assert breaker.wait_s() == 0
        breaker.failed()
    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    clock.now += 10
    breaker.succeeded()
    assert (breaker.open, breaker.wait_s()) == (False, 0.0)
    breaker.failed()
    assert not breaker.open


def test_a_pause_is_never_shorter_than_half(clock: Clock) -> None:
    breaker = breaker_of(clock, 0.0)
    for _ in range(3):
        breaker.failed()
    assert breaker.wait_s() == 0.5
