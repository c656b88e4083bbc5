"""What makes the serving image small: a list of what goes, which cannot rot unseen."""

import importlib.util
import sys
import sysconfig
from pathlib import Path

import pytest

DOCKER = Path(__file__).parents[3] / "docker"


@pytest.fixture
def trim(tmp_path, monkeypatch):
    """Run trim.py on a folder of packages with some patterns; its exit code."""
    spec = importlib.util.spec_from_file_location("trim", DOCKER / "trim.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("a/tests/test_a.py", "a/code.py", "b/headers/b.h"):
        (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / name).write_text("")
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"purelib": str(tmp_path / "site")})
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: None)

    def run(*lines):
        (tmp_path / "list").write_text("\n".join(lines))
        monkeypatch.setattr(sys, "argv", ["trim.py", str(tmp_path / "list")])
        return module.main()

    return run


def test_what_matches_goes_and_the_rest_stays(trim, tmp_path):
    assert trim("# tests", "", "*/tests", "b/headers/*.h") == 0
    left = {path.name for path in (tmp_path / "site").rglob("*") if path.is_file()}
    assert left == {"code.py"}


def test_a_line_that_matches_nothing_stops_the_build(trim, capsys):
    assert trim("*/tests", "gone/since/long") == 1
    assert "gone/since/long" in capsys.readouterr().err
