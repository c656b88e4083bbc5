"""The harness on a small made-up file: what is missing is measured once, and the report says what was found."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import fraudline
from benchmarks.quality import run as harness
from benchmarks.quality.__main__ import main
from benchmarks.quality.autoencoders import DEFAULT, WITHOUT, families
from benchmarks.quality.family import Family, Outcome
from benchmarks.quality.ledger import Ledger
from benchmarks.quality.measure import Task, measure
from benchmarks.quality.protocol import DELAY, weeks
from benchmarks.quality.report import write_report
from benchmarks.quality.rows import FeatureSet, Rows, Week
from benchmarks.quality.settings import BOOK
from fraudline.core.clock import DAY_US, day_us

MODEL = Path(fraudline.__file__).parent / "model"
FIRST, LAST = date(2018, 6, 11), date(2018, 8, 14)
STARTS = weeks(FIRST, LAST)


@pytest.fixture(scope="module")
def rows() -> Rows:
    rng = np.random.default_rng(1)
    n = 6_000
    times = np.sort(day_us(FIRST) + rng.integers(0, 65 * DAY_US, n))
    frauds = rng.random(n) < 0.05
    moment = pa.timestamp("us", tz="UTC")
    labelled = pa.array(np.where(frauds, times + DELAY * DAY_US, 0), pa.int64(), mask=~frauds)
    truth = pa.table(
        {
            "event_time": pa.array(times, moment),
            "card_id": rng.integers(0, 400, n).astype(str),
            "merchant_id": rng.integers(0, 50, n).astype(str),
            "amount_minor": rng.integers(100, 9_000, n),
            "is_fraud": frauds,
            "label_time": labelled.cast(moment),
            "fraud_kind": pa.array(np.where(frauds, "scenario_1", None)),
        }
    )
    matrix = np.column_stack([rng.normal(size=n) + 3 * frauds, rng.normal(size=n)]).astype(np.float32)
    return Rows(truth, {BOOK: FeatureSet(matrix, "d")}, FIRST, LAST)


def by_column(week: Week, seed: int) -> Mapping[str, Outcome]:
    test = week.test.astype(np.float64)
    return {DEFAULT: Outcome(test[:, 0], 1.0, 0.1), WITHOUT: Outcome(test[:, 1], 0.0, 0.0)}


def family(roles: tuple[str, ...] = ("choice", "validation", "test"), size: int = 1) -> Family:
    settings = {"size": size}
    return Family("columns", "a group", BOOK, (DEFAULT, WITHOUT), settings, (Path(__file__),), by_column, roles=roles)


def measured(rows: Rows, ledger: Ledger, recipe: Family, monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    tasks = harness.plan([recipe], rows, STARTS, (1, 2), ledger)
    monkeypatch.setattr(harness, "run_task", lambda file, cache, task: measure(recipe, rows, task))
    done: list[Task] = []
    harness.run(tasks, ledger, Path("none"), Path("none"), 1, done.append)
    return done


def test_every_week_and_seed_is_measured_once_and_a_second_run_has_nothing_to_do(
    rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path / "quality.json")
    assert len(measured(rows, ledger, family(), monkeypatch)) == len(STARTS) * 2
    assert measured(rows, Ledger(ledger.path), family(), monkeypatch) == []
    good = [cell for cell in ledger.cells if cell["model"] == DEFAULT]
    assert min(cell["ap"] for cell in good) > 0.5
    assert max(cell["ap"] for cell in ledger.cells if cell["model"] == WITHOUT) < 0.2
    assert ["intervals" in cell for cell in good[:2]] == [True, False], "cards are resampled for the first seed"


def test_a_model_that_only_serves_a_choice_never_sees_a_test_week(
    rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path / "quality.json")
    measured(rows, ledger, family(("choice", "validation")), monkeypatch)
    assert {cell["role"] for cell in ledger.cells} == {"choice", "validation"}


def test_what_no_seed_changes_is_measured_once(rows: Rows, tmp_path: Path) -> None:
    tasks = harness.plan([replace(family(), seeded=False)], rows, STARTS, (1, 2), Ledger(tmp_path / "quality.json"))
    assert [task.seed for task in tasks] == [1] * len(STARTS)


def test_a_changed_setting_is_refused_on_the_test_weeks(
    rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fraudline.core.errors import UsageError

    ledger = Ledger(tmp_path / "quality.json")
    measured(rows, ledger, family(), monkeypatch)
    with pytest.raises(UsageError, match="scored once"):
        harness.plan([family(size=2)], rows, STARTS, (1,), ledger)


def test_every_module_that_decides_scores_is_in_the_digest(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []
    monkeypatch.setattr(harness, "code_digest", lambda *paths: seen.extend(paths))
    for recipe in families():
        assert all(path.is_file() for path in recipe.sources), recipe.name
        seen.clear()
        harness.digest_of(replace(recipe, columns=BOOK), rows)
        pending, needed = ["fitting"], set()
        while pending:
            name = pending.pop()
            if name not in needed | {"canonical", "params", "reasons", "scorer"}:  # settings, form, words, I/O
                needed.add(name)
                pending += re.findall(r"from fraudline\.model\.(\w+) import", (MODEL / f"{name}.py").read_text())
        assert needed | {"protocol", "measure", "metrics"} <= {path.stem for path in seen}, recipe.name


def test_a_source_that_was_renamed_is_not_left_out(rows: Rows, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        harness.digest_of(replace(family(), sources=(tmp_path / "renamed.py",)), rows)


def test_known_normals_and_frauds_are_what_had_arrived(rows: Rows) -> None:
    week = rows.week(STARTS[-1], BOOK)
    learned, frauds = week.learned.labelled
    assert len(week.normals) > len(week.later_normals) > 0 < len(week.frauds)
    assert frauds.sum() == len(week.frauds) == (learned[frauds][:, 0] > -10).sum()
    assert learned[frauds][:, 0].mean() > 2
    assert learned[~frauds][:, 0].mean() < 0.5


def test_the_report_shows_figures_pictures_and_what_the_autoencoder_adds(
    rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path / "quality.json")
    measured(rows, ledger, family(), monkeypatch)
    for _ in range(2):
        write_report(ledger, [family(), replace(family(), outputs=("oracle",))], tmp_path / "docs")
    page = (tmp_path / "docs" / "reference" / "quality.md").read_text()
    assert f"**{DEFAULT}**" in page
    assert "What the autoencoder adds" in page
    costs = {row.split(" | ")[0]: row.split(" | ")[-2:] for row in page.splitlines() if row.count(" | ") == 8}
    assert costs[f"| **{DEFAULT}**"][0] == "1.0"
    assert costs[f"| {WITHOUT}"] == ["–", "– |"], "what is not measured by itself is not free"
    assert "## Not measured yet\n\noracle." in page
    assert all(day.isoformat() in page for day in STARTS)
    assert "| 1 | the first measurement | 2 | 0 |" in page
    for name in ("ap.svg", "weeks.svg"):
        assert (tmp_path / "docs" / "assets" / "quality" / name).read_text().startswith("<?xml")


def test_wrong_arguments_are_told_with_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = ["--results", str(tmp_path / "q.json"), "--docs", str(tmp_path)]
    assert main(["--models", "oracle", *results]) == 2
    assert main(["--models", "pca*", "--file", str(tmp_path / "none"), *results]) == 3
    told = capsys.readouterr().err
    assert "No model is called oracle" in told
    assert "is not there" in told
