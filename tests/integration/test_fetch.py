"""Step fetch against real dvc and git: a revision, another clone, a pull."""

import importlib
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.steps.fetch import fetch
from fraudline.steps.params import Params

pytestmark = pytest.mark.integration

GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]
DVC = [sys.executable, "-m", "dvc"]


@pytest.fixture(scope="module", autouse=True)
def dvc() -> None:
    """Import it once: its dependencies warn while they are imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("dvc.api", "dvc.repo"):
            importlib.import_module(name)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of a data set, in git, with the remote inside the repository."""
    root = tmp_path_factory.mktemp("repository")

    def run(*command: str) -> None:
        subprocess.run(command, cwd=root, check=True, capture_output=True)

    run(*GIT, "init", "--quiet")
    run(*DVC, "init", "--quiet")
    run(*DVC, "remote", "add", "--quiet", "-d", "store", ".dvc-store")
    for version in ("one", "two"):
        (root / "data").mkdir(exist_ok=True)
        (root / "data" / "dataset.json").write_text(version)
        run(*DVC, "add", "--quiet", "data")
        run(*DVC, "push", "--quiet")
        run(*GIT, "add", "--all")
        run(*GIT, "commit", "--quiet", "-m", version)
        run(*GIT, "tag", version)
    return root


@pytest.fixture
def clone(repository: Path, tmp_path: Path) -> Path:
    subprocess.run(["git", "clone", "--quiet", str(repository), str(tmp_path / "clone")], check=True)
    return tmp_path / "clone"


def content(folder: Path) -> str:
    return (folder / "dataset.json").read_text()


def test_an_earlier_revision_is_fetched_from_a_checkout(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)

    fetch(data_dvc=Path("data.dvc"), dataset=tmp_path / "d", params=Params(), revision="one")

    assert content(tmp_path / "d") == "one"
    assert content(repository / "data") == "two"


def test_a_revision_is_fetched_from_another_clone_by_path(clone: Path, tmp_path: Path) -> None:
    fetch(data_dvc=Path("data.dvc"), dataset=tmp_path / "d", params=Params(), repo=str(clone), revision="one")

    assert content(tmp_path / "d") == "one"
    with pytest.raises(UsageError, match="nowhere"):
        fetch(data_dvc=Path("data.dvc"), dataset=tmp_path / "d", params=Params(), repo=str(clone), revision="nowhere")


def test_a_revision_is_fetched_by_address(repository: Path, tmp_path: Path) -> None:
    address = f"file://{repository}"

    fetch(data_dvc=Path("data.dvc"), dataset=tmp_path / "d", params=Params(), repo=address, revision="one")

    assert content(tmp_path / "d") == "one"
    with pytest.raises(UnavailableError, match="nowhere"):
        fetch(data_dvc=Path("data.dvc"), dataset=tmp_path / "d", params=Params(), repo=address, revision="nowhere")


def test_data_that_is_not_there_is_pulled(clone: Path, tmp_path: Path) -> None:
    assert not (clone / "data").exists()

    fetch(data_dvc=clone / "data.dvc", dataset=tmp_path / "d", params=Params())

    assert content(tmp_path / "d") == "two"


def test_a_remote_without_the_data_is_unavailable(clone: Path, tmp_path: Path) -> None:
    shutil.rmtree(clone / ".dvc-store")

    with pytest.raises(UnavailableError, match=r"data.dvc cannot be pulled from .*\.dvc-store, which lacks"):
        fetch(data_dvc=clone / "data.dvc", dataset=tmp_path / "d", params=Params())

    assert not (tmp_path / "d").exists()


def test_a_store_that_cannot_be_reached_is_named_with_the_cause_and_without_its_password(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store like S3, whose client raises where dvc only counts what failed."""
    from dvc_http import HTTPFileSystem

    def exists(*_: object, **__: object) -> bool:
        raise OSError("Could not connect to the endpoint URL.")

    monkeypatch.setattr(HTTPFileSystem, "exists", exists)
    address = "http://ada:secret@store.example:9/bucket"
    subprocess.run([*DVC, "remote", "modify", "--quiet", "store", "url", address], cwd=clone, check=True)

    with pytest.raises(UnavailableError) as refused:
        fetch(data_dvc=clone / "data.dvc", dataset=tmp_path / "d", params=Params())

    said = refused.value.problem
    assert "data.dvc cannot be pulled from http://store.example:9/bucket: " in said
    assert said.endswith("files failed to download (OSError: Could not connect to the endpoint URL).")
    assert "secret" not in said
    assert "\n" not in said
