"""The pictures of the docs are drawn by a browser that may not be there."""

from pathlib import Path

import pytest
from docs import pictures


def test_without_a_browser_nothing_runs_and_its_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="Install Debian's package chromium"):
        pictures.demo()
