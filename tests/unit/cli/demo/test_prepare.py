"""What the demo says where it cannot begin."""

import sys
from pathlib import Path

import pytest
from rich.console import Console

from fraudline.cli.demo.prepare import prepare
from fraudline.core.errors import UsageError
from fraudline.steps.params import Params


def test_outside_a_clone_it_says_where_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="a clone of fraudline's repository"):
        prepare(tmp_path / "demo", Params(), Console(stderr=True))


def test_without_dvc_it_names_the_extra_that_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("dvc.yaml", "data.dvc"):
        Path(name).touch()
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "dvc", raising=False)
    monkeypatch.setattr("fraudline.cli.extras.requires", lambda _: ["dvc>=3.60; extra == 'train'"])
    with pytest.raises(UsageError, match=r"pip install 'fraudline\[train\]'"):
        prepare(tmp_path / "demo", Params(), Console(stderr=True))
