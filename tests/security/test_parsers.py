"""Every parser takes any bytes: it gives what it should, or the one error that says what is wrong, and nothing else."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS
from tests.support.figures import Figure, sized

EXAMPLES = sized(60, 400, 4_000)


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_are_taken_or_refused_by_the_error_of_the_parser(name: str, figure: Figure) -> None:
    """hypothesis: any bytes, and good input with any damage, into each parser."""
    target = TARGETS[name]
    seeds = target.seeds()
    counts = [0, 0]

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(st.binary(max_size=400), damaged(seeds)))
    def check(content: bytes) -> None:
        counts[target.run(content)] += 1

    check()
    figure(f"{name}: {sum(counts):,} inputs, {counts[1]:,} taken, {counts[0]:,} refused", inputs=sum(counts))


_PARTS = [b"null", b"1e999", b"[]", b"{}", b'"\\ud800"', b"\xff", b"-1", b"!!python/x ", b"&a *a", b"2001-99-99"]


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    content = bytearray(draw(st.sampled_from(seeds)))
    rng = random.Random(draw(st.integers(0, 2**32)))
    for _ in range(draw(st.integers(1, 4))):
        at = rng.randrange(len(content) or 1)
        act = rng.randrange(4)
        if act == 0 and content:
            content[at] ^= 1 << rng.randrange(8)
        elif act == 1:
            del content[at : at + rng.randrange(1, 30)]
        elif act == 2:
            content[at:at] = rng.choice(_PARTS)
        else:
            content[at:at] = content[: rng.randrange(1, 80)]
    return bytes(content)


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "artifact signature"])
def test_the_input_that_fuzzing_begins_from_is_good(name: str) -> None:
    seeds = list(TARGETS[name].seeds())
    assert seeds
    assert all(map(TARGETS[name].run, seeds))
