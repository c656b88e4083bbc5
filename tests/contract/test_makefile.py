"""``make setup`` with a Python and a uv that only note what they are asked for."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

STUB = r"""#!/bin/sh
echo "$*" >> "$NOTED"
case "$*" in
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip install "*) cp "$0" "$(dirname "$0")/uv" ;;
  "venv "*) mkdir -p .venv/bin && cp "$0" .venv/bin/python && echo "VIRTUAL_ENV='$PWD/.venv'" > .venv/bin/activate ;;
esac
"""


class Clone:
    def __init__(self, parent):
        self.parent, self.folder = parent, parent / "a clone"
        self.folder.mkdir(parents=True)
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(name, self.folder)
        shutil.copytree("requirements", self.folder / "requirements")
        self.stub = parent.parent / "a python"
        self.stub.write_text(STUB)
        self.stub.chmod(0o755)

    def setup(self):
        """What the stubs were asked for, a line a call."""
        noted = self.parent.parent / "noted"
        noted.unlink(missing_ok=True)
        environment = {"PATH": os.environ["PATH"], "NOTED": str(noted)}
        command = ["make", "--no-print-directory", "setup", f"PYTHON={self.stub}", "FOUND_UV="]
        subprocess.run(command, cwd=self.folder, env=environment, check=True, capture_output=True)
        return noted.read_text().splitlines() if noted.exists() else []


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path / "home")


def test_in_a_path_with_a_space_and_with_such_a_python_all_that_setup_makes_lies_in_the_clone(clone):
    noted = clone.setup()
    assert noted[0] == f"-m venv {clone.folder}/.cache/bootstrap"
    assert (clone.folder / ".venv/.ready").exists()
    assert list(clone.parent.iterdir()) == [clone.folder]
    assert {path.name for path in clone.folder.iterdir()} == {
        "Makefile",
        "pyproject.toml",
        "requirements",
        ".cache",
        ".venv",
    }


def test_a_second_setup_does_nothing(clone):
    clone.setup()
    assert clone.setup() == []


def test_an_environment_that_was_left_half_done_is_finished(clone):
    clone.setup()
    (clone.folder / ".venv/.ready").unlink()
    noted = clone.setup()
    assert any("--require-hashes" in line for line in noted)
    assert not any(line.startswith("venv") for line in noted)


@pytest.mark.parametrize("harm", ["moved", "its Python is gone"])
def test_an_environment_that_cannot_run_is_made_anew(clone, harm):
    clone.setup()
    if harm == "moved":
        clone.folder = clone.folder.rename(clone.parent / "elsewhere")
    else:
        Path(clone.folder / ".venv/bin/python").unlink()
    noted = clone.setup()
    assert noted[0].startswith("venv ")
    assert any(line.endswith("-e .") for line in noted)
    assert clone.setup() == []
