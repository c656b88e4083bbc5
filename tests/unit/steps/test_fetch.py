"""Step fetch: what is copied is what was named, byte for byte."""

import json
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml

from fraudline.core.digest import files_under, md5_file
from fraudline.core.errors import DataError, UnavailableError, UsageError
from fraudline.steps.dvc_files import directory_md5, parse_dvc_file, read_dvc_file
from fraudline.steps.fetch import fetch
from fraudline.steps.params import Params


@pytest.fixture
def data_dvc(tmp_path: Path) -> Path:
    """A tracked folder with two files, and its listing in the cache."""
    data = tmp_path / "data"
    (data / "transactions").mkdir(parents=True)
    (data / "transactions" / "2026-01-05.parquet").write_bytes(b"rows")
    (data / "dataset.json").write_text("{}")
    hashes = {name: md5_file(data / name) for name in files_under(data)}
    md5 = directory_md5(hashes)
    listing = tmp_path / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    listing.parent.mkdir(parents=True)
    listing.write_text(json.dumps([{"md5": value, "relpath": name} for name, value in hashes.items()]))
    (tmp_path / "data.dvc").write_text(yaml.safe_dump({"outs": [{"md5": md5, "nfiles": 2, "path": "data"}]}))
    return tmp_path / "data.dvc"


def test_the_directory_md5_is_the_one_that_dvc_computes() -> None:
    # recorded from `dvc add` of a folder with a/x ("hi\n") and "y ü" ("ho\n")
    hashes = {"y ü": "79e7e210bdf335bb8651a46b9a8417ab", "a/x": "764efa883dda1e11db47671c4a3bbd9e"}

    assert directory_md5(hashes) == "21698e8a88521855c6588fa5bfc32878.dir"


def test_the_workspace_is_copied_and_what_was_fetched_is_written_down(data_dvc: Path, tmp_path: Path) -> None:
    metrics = fetch(data_dvc=data_dvc, dataset=tmp_path / "build" / "dataset", params=Params())

    copied = tmp_path / "build" / "dataset"
    assert files_under(copied) == ["dataset.json", "fetch.json", "transactions/2026-01-05.parquet"]
    assert json.loads((copied / "fetch.json").read_text()) == {
        "md5": metrics["md5"],
        "revision": "",
        "files": 2,
        "repo": ".",
        "data_dvc": data_dvc.as_posix(),
    }
    assert metrics["bytes"] == 6


def test_the_copy_shares_nothing_with_the_workspace(data_dvc: Path, tmp_path: Path) -> None:
    fetch(data_dvc=data_dvc, dataset=tmp_path / "dataset", params=Params())
    (tmp_path / "dataset" / "dataset.json").write_text("changed")

    assert (tmp_path / "data" / "dataset.json").read_text() == "{}"


def test_changed_missing_and_unknown_files_are_named_and_the_earlier_copy_stays(data_dvc: Path, tmp_path: Path) -> None:
    fetch(data_dvc=data_dvc, dataset=tmp_path / "dataset", params=Params())
    (tmp_path / "data" / "dataset.json").write_text("{ }")
    (tmp_path / "data" / "transactions" / "2026-01-05.parquet").unlink()
    (tmp_path / "data" / "new").write_text("")

    with pytest.raises(DataError) as error:
        fetch(data_dvc=data_dvc, dataset=tmp_path / "dataset", params=Params())

    assert "dataset.json differs, new is not tracked, transactions/2026-01-05.parquet is missing" in str(error.value)
    assert (tmp_path / "dataset" / "transactions" / "2026-01-05.parquet").read_bytes() == b"rows"


def test_without_a_listing_the_counts_are_said(data_dvc: Path, tmp_path: Path) -> None:
    next((tmp_path / ".dvc").rglob("*.dir")).unlink()
    (tmp_path / "data" / "new").write_text("")

    with pytest.raises(DataError, match="3 files found, 2 tracked"):
        fetch(data_dvc=data_dvc, dataset=tmp_path / "dataset", params=Params())


def test_another_md5_than_the_expected_one_is_refused(data_dvc: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="deadbeef was asked for"):
        fetch(data_dvc=data_dvc, dataset=tmp_path / "dataset", params=Params(), md5="deadbeef")


def test_the_expected_md5_passes_with_and_without_its_suffix(data_dvc: Path, tmp_path: Path) -> None:
    md5 = parse_dvc_file(data_dvc.read_text(), "data.dvc").md5
    for given in (md5, md5.removesuffix(".dir")):
        assert fetch(data_dvc=data_dvc, dataset=tmp_path / "d", params=Params(), md5=given)["md5"] == md5


def test_a_dvc_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.dvc").write_bytes(b"\x89PNG\xff")
    with pytest.raises(UsageError, match="no text in UTF-8"):
        read_dvc_file(tmp_path / "data.dvc")


@pytest.mark.parametrize(
    "text",
    ["", "outs: []", "outs: [{path: x}]", "[1", pytest.param("[" * 100_000, id="deep"), "outs: [{md5: abc, path: x}]"],
)
def test_what_is_no_dvc_file_of_a_folder_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="data.dvc"):
        parse_dvc_file(text, "data.dvc")


def test_a_missing_dvc_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing.dvc"):
        fetch(data_dvc=tmp_path / "nothing.dvc", dataset=tmp_path / "d", params=Params())


def test_a_revision_that_looks_like_an_option_is_refused(data_dvc: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no Git revision"):
        fetch(data_dvc=data_dvc, dataset=tmp_path / "d", params=Params(), revision="--force")


def test_an_unreachable_repository_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be cloned"):
        fetch(data_dvc=Path("data.dvc"), dataset=tmp_path / "d", params=Params(), repo=f"file://{tmp_path}/nowhere")


def test_dvc_is_not_imported_when_the_workspace_has_the_data(data_dvc: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from fraudline.steps.fetch import fetch; "
        "from fraudline.steps.params import Params; "
        f"fetch(data_dvc=Path({str(data_dvc)!r}), dataset=Path({str(tmp_path / 'd')!r}), params=Params()); "
        "print([m for m in ('dvc', 'pandas', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.timeout(60)
def test_a_dvc_file_whose_aliases_name_one_another_is_refused_at_once() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))
    with pytest.raises(UsageError, match=r"is not a \.dvc file"):
        parse_dvc_file(text + "outs: [{md5: *a11, path: data}]\n", "data.dvc")


def test_a_token_in_the_address_of_a_repository_is_not_written_down(
    data_dvc: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("fraudline.steps.fetch._clone", lambda *_: nullcontext(tmp_path))
    address = "https://ada:hush@git.example/fraud.git"
    fetch(data_dvc=Path(data_dvc.name), dataset=tmp_path / "d", params=Params(), repo=address)

    written = (tmp_path / "d" / "fetch.json").read_text()
    assert "https://git.example/fraud.git" in written
    assert "hush" not in written


class ClientError(Exception):
    """What a store's own client raises; botocore's, for one, is no OSError."""


@pytest.mark.parametrize("elsewhere", [True, False], ids=["of a revision", "pulled"])
def test_what_the_client_of_a_store_raises_is_unavailable(
    data_dvc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    dvc = pytest.importorskip("dvc.repo")
    listing = yaml.safe_load(data_dvc.read_text())
    monkeypatch.setattr("fraudline.steps.fetch._read_elsewhere", lambda *_: yaml.safe_dump(listing))

    class Repo:
        def __init__(self, *_: object, **__: object) -> None:
            self.get()

        @staticmethod
        def get(*_: object) -> None:
            raise ClientError("Unable to locate credentials. <\x1b[36mhttps://error.example\x1b[39m>")

    monkeypatch.setattr(dvc, "Repo", Repo)
    if not elsewhere:
        (tmp_path / "data").rename(tmp_path / "moved")
    with pytest.raises(UnavailableError, match=r"Unable to locate credentials. <https://error.example>"):
        fetch(data_dvc=data_dvc, dataset=tmp_path / "d", params=Params(), revision="HEAD" if elsewhere else "")


@pytest.mark.parametrize(("store", "said"), [("s3://bucket/data", True), ("https://store.example/data", False)])
def test_how_long_a_store_that_hangs_is_waited_for_is_said_where_it_can_be_set(
    data_dvc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str, said: bool
) -> None:
    def hangs(_: str) -> None:
        raise OSError("Read timeout on endpoint URL")

    monkeypatch.setattr("dvc.repo.Repo", hangs)
    shutil.rmtree(tmp_path / "data")
    (tmp_path / ".dvc" / "config").write_text(f"[core]\n    remote = s\n['remote \"s\"']\n    url = {store}\n")
    with pytest.raises(UnavailableError, match="Read timeout") as caught:
        fetch(data_dvc=data_dvc, dataset=tmp_path / "d", params=Params())
    assert ("AWS_MAX_ATTEMPTS=1" in caught.value.action) is said
