"""The trail of thresholds is whole, or it is refused."""

import json
from pathlib import Path

import pytest

from fraudline.core.errors import StateError, UsageError
from fraudline.decide.threshold_log import Bounds, ThresholdLog
from fraudline.model.thresholds import Thresholds

MODEL = "ab" * 32
BOUNDS = Bounds(review=(4.0, 6.0), block=(8.0, 10.0))


def at(review: float) -> Thresholds:
    return Thresholds.of(review, 9.0, {"name": "given"})


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    log = ThresholdLog.begin(MODEL, at(5.0), by="ada")
    log = log.then(at(5.2), by="ada", why="too many alerts", bounds=BOUNDS, evidence={"scores": 10})
    log = log.then(at(5.1), by="grace", why="back a little")
    path = tmp_path / "thresholds.jsonl"
    log.write(path)
    return path


def test_each_change_says_who_when_why_and_from_what_to_what(trail: Path) -> None:
    log = ThresholdLog.read(trail, MODEL)
    first, second, newest = log.changes
    assert (second.by, second.why, second.bounds, second.evidence) == ("ada", "too many alerts", BOUNDS, {"scores": 10})
    assert second.before == first.thresholds
    assert second.at.endswith("+00:00")
    assert newest.thresholds.review == 5.1
    assert log.packaged.review == 5.0


@pytest.mark.parametrize("line", [0, 1])
def test_a_line_that_was_changed_is_found(trail: Path, line: int) -> None:
    lines = trail.read_text().splitlines()
    lines[line] = lines[line].replace('"ada"', '"eve"')
    trail.write_text("\n".join(lines) + "\n")
    with pytest.raises(StateError, match=f"line {line + 2}"):
        ThresholdLog.read(trail)


def test_a_line_that_was_removed_is_found(trail: Path) -> None:
    lines = trail.read_text().splitlines()
    trail.write_text(f"{lines[0]}\n{lines[2]}\n")
    with pytest.raises(StateError, match="line 2"):
        ThresholdLog.read(trail)


@pytest.mark.parametrize("told", [{"before": at(4.9)}, {"model": "cd" * 32}, {"sequence": 2}])
def test_a_line_that_tells_another_story_of_what_held_before_is_found(trail: Path, told: dict[str, object]) -> None:
    first, second, _ = ThresholdLog.read(trail).changes
    ThresholdLog((first, second.model_copy(update=told))).write(trail)
    with pytest.raises(StateError, match="line 2"):
        ThresholdLog.read(trail)


def test_a_file_that_nobody_has_begun_is_no_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no threshold has been changed"):
        ThresholdLog.read(tmp_path / "thresholds.jsonl")


def test_thresholds_of_another_model_are_refused(trail: Path) -> None:
    with pytest.raises(StateError, match="not of cdcdcdcdcdcd"):
        ThresholdLog.read(trail, "cd" * 32)


@pytest.mark.parametrize(
    "content", ["", "{}\n", "not json\n", pytest.param("[" * 100_000, id="deep"), json.dumps({"sequence": 0}) + "\n"]
)
def test_what_is_no_trail_is_refused_with_an_action(tmp_path: Path, content: str) -> None:
    path = tmp_path / "thresholds.jsonl"
    path.write_text(content)
    with pytest.raises(StateError, match="backup"):
        ThresholdLog.read(path)


def test_nobody_changes_a_threshold_without_a_name_and_a_reason() -> None:
    log = ThresholdLog.begin(MODEL, at(5.0), by="ada")
    with pytest.raises(UsageError, match="name and a reason"):
        log.then(at(5.1), by="ada", why=" ")


def test_a_reason_may_hold_any_character_that_some_take_for_the_end_of_a_line(tmp_path: Path) -> None:
    why = "a\u2028b\u2029c\x85d\x0be\x1cf\ng"
    log = ThresholdLog.begin("a" * 64, Thresholds.of(0.4, 0.5, {"name": "x"}), by="a")
    log.then(Thresholds.of(0.41, 0.5, {"name": "x"}), by="a", why=why).write(tmp_path / "t.jsonl")
    assert ThresholdLog.read(tmp_path / "t.jsonl").changes[-1].why == why
