"""What the library imports is what the package declares."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

from fraudline.cli.extras import extras_of

PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
DECLARED = [
    *PROJECT["dependencies"],
    *(f"{line}; extra == '{extra}'" for extra, lines in EXTRAS.items() for line in lines),
]


def imported():
    found = {}
    for path in sorted(Path("src/fraudline").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in (name.partition(".")[0] for name in names):
                if name not in sys.stdlib_module_names and name != "fraudline":
                    found.setdefault(name, path)
    return found


@pytest.mark.parametrize(("module", "path"), imported().items())
def test_a_module_that_the_library_imports_is_declared_and_the_extra_that_has_it_can_be_said(module, path):
    assert extras_of(module, DECLARED), f"{path} imports {module}: declare it in pyproject.toml"


@pytest.mark.parametrize("extra", [name for name in EXTRAS if name != "bench"])
def test_what_an_extra_declares_is_in_its_lock(extra):
    locked = re.findall(r"(?m)^([\w.-]+)==", Path(f"requirements/{extra}.lock").read_text(encoding="utf-8"))
    declared = {re.match(r"[\w.-]+", line)[0].lower() for line in EXTRAS[extra]}
    assert declared <= set(locked)


@pytest.mark.parametrize("file", ["Makefile", "docker/Dockerfile"])
def test_whatever_is_installed_is_held_to_hashes_the_build_backend_too(file):
    text = Path(file).read_text(encoding="utf-8").replace("\\\n", " ")
    installs = [line for line in re.findall(r"pip install .*", text) if not line.startswith("pip install '")]
    assert installs
    for line in installs:
        assert "--require-hashes" in line or re.search(r"--no-deps .*(-b|--build-constraints) \S*build\.lock ", line), (
            line
        )


def test_the_lock_of_the_build_backend_has_it_and_its_hash():
    lock = Path("requirements/build.lock").read_text(encoding="utf-8")
    assert re.search(r"(?m)^hatchling==\S+ \\\n    --hash=sha256:", lock)
