"""The page on the package names every extra, and its example runs as it stands."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.artifacts import tiny_artifact
from tests.support.datasets import small_dataset

PAGE = Path("docs/how-to/install.md").read_text(encoding="utf-8")


@pytest.fixture
def example(tmp_path):
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
    script = tmp_path / "example.py"
    script.write_text(f"{code}\nprint(len(decisions), sorted(set(decisions)))\n")
    return script


def test_every_extra_that_a_user_may_want_is_explained():
    extras = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for extra in extras:
        assert f"`{extra}`" in PAGE


def test_the_example_decides_every_transaction_of_a_data_set(example):
    folder = example.parent
    tiny_artifact(folder / "model", review=0.5, block=0.6)
    small_dataset(folder, "data")
    done = subprocess.run([sys.executable, example], cwd=folder, capture_output=True, text=True, check=True)
    count, kinds = done.stdout.split(maxsplit=1)
    assert int(count) > 1000
    assert "allow" in kinds
