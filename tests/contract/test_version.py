"""The package, its images and everything that names them are of one version."""

import re
import subprocess
from pathlib import Path

import pytest

from fraudline import __version__

SAID = {
    "pyproject.toml": r'(?m)^version = "(.+)"',
    "Makefile": r"(?m)^VERSION := (.+)",
    "components/image.py": r'(?m)^VERSION = "(.+)"',
    "docker/Dockerfile": r"(?m)^ARG VERSION=(.+)",
}
IMAGE = r"fraudline/(predictor|pipeline):[0-9][0-9.]*[0-9]"


@pytest.mark.parametrize("file", SAID)
def test_what_a_file_says_of_the_version_is_the_packages(file):
    assert set(re.findall(SAID[file], Path(file).read_text(encoding="utf-8"))) == {__version__}


def test_whatever_names_an_image_names_the_one_of_this_version():
    command = ["git", "grep", "-ohE", IMAGE, "--", ".", ":!CHANGELOG.md", ":!tests"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert len(found) > 20
    assert {name.rpartition(":")[2] for name in found} == {__version__}
