"""The published benchmark, end to end with the product's default parameters: a must of the project."""

import json
import os
from pathlib import Path

import pytest

from benchmarks.handbook import FILE, SHARED, main

pytestmark = pytest.mark.integration

needs_data = pytest.mark.skipif(
    not (SHARED / FILE).is_file(),
    reason=f"the Handbook's data set is not at {SHARED}: name its folder in FRAUDLINE_SHARED_DATA",
)


@needs_data
def test_on_the_test_week_fraudline_reaches_what_it_claims(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["--json", str(tmp_path / "handbook.json")]) == 0
    result = json.loads((tmp_path / "handbook.json").read_text())
    protocol = result["protocol"]
    assert (protocol["transactions"], protocol["frauds"]) == (58_264, 385), "the published rows"
    ours = result["fraudline"]
    assert ours["ap"] >= 0.50
    assert ours["auc"] >= 0.86
    assert ours["cp100"] >= 0.28
    for name, baseline in result["baselines"].items():
        assert ours["ap"] > baseline["ap"], name
    shown = capsys.readouterr().out
    assert f"{ours['ap']:.3f}" in shown
    assert "random forest, supervised" in shown
    assert "58,264 transactions" in shown


@needs_data
def test_a_week_that_the_file_does_not_hold_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--test-start", "2018-09-01"]) == 3
    assert "do not fit" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--file", os.fspath(tmp_path / "none.parquet")]) != 0
    assert "none.parquet" in capsys.readouterr().err
