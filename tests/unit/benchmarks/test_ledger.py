"""The rule of the laboratory: a test week is scored once by one state of a model."""

import json
from pathlib import Path

import pytest

from benchmarks.quality.ledger import Ledger, Wanted
from fraudline.core.errors import UsageError

FIGURES = {"ap": 0.5, "auc": 0.8, "cp100": 0.2}


def cell(week: str = "2018-08-08", role: str = "test", digest: str = "a", seed: int = 1, model: str = "m") -> Wanted:
    return Wanted(model, week, role, seed, digest)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "quality.json")


def test_a_measured_cell_is_not_measured_again_and_survives_the_process(ledger: Ledger) -> None:
    ledger.record(cell(), FIGURES)

    again = Ledger(ledger.path)

    assert again.missing([cell(), cell(seed=2)]) == [cell(seed=2)]
    assert again.cells[0]["ap"] == 0.5


def test_two_runs_at_a_time_keep_each_others_cells(ledger: Ledger) -> None:
    other = Ledger(ledger.path)
    ledger.record(cell(), FIGURES)
    other.record(cell(seed=2), FIGURES)
    ledger.record(cell(seed=3), FIGURES)

    assert [kept["seed"] for kept in Ledger(ledger.path).cells] == [1, 2, 3]


def test_a_changed_model_is_refused_on_a_test_week_also_with_another_seed_or_week(ledger: Ledger) -> None:
    ledger.record(cell(), FIGURES)
    for other in (cell(digest="b"), cell(digest="b", seed=2), cell(digest="b", week="2018-08-01")):
        with pytest.raises(UsageError, match="scored once"):
            ledger.missing([other])
        with pytest.raises(UsageError, match="m was measured on the test week 2018-08-08"):
            ledger.record(other, FIGURES)


def test_other_models_and_other_weeks_are_free(ledger: Ledger) -> None:
    ledger.record(cell(), FIGURES)
    ledger.record(cell("2018-07-25", "validation"), FIGURES)
    free = [
        cell(digest="b", model="n"),
        cell("2018-07-25", "validation", digest="b"),
        cell("2018-07-11", "choice", "b"),
    ]

    assert ledger.missing(free) == free


def test_a_new_round_needs_a_reason_and_keeps_what_it_replaces(ledger: Ledger) -> None:
    ledger.record(cell(), FIGURES)
    with pytest.raises(UsageError, match="reason"):
        ledger.open_round(" ")
    ledger.open_round("streaks")
    ledger.record(cell(digest="b"), FIGURES | {"ap": 0.6})

    written = json.loads(ledger.path.read_text())

    assert [entry["reason"] for entry in written["rounds"]] == ["the first measurement", "streaks"]
    assert [(old["ap"], old["round"]) for old in written["superseded"]] == [(0.5, 1)]
    assert [(now["ap"], now["round"]) for now in written["cells"]] == [(0.6, 2)]
    with pytest.raises(UsageError, match="round 2"):
        ledger.missing([cell(digest="c")])


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"format": 9}')
    with pytest.raises(UsageError, match="format 1"):
        Ledger(path)
