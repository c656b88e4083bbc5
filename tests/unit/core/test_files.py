import errno
import os
from pathlib import Path

import pytest

from fraudline.core.errors import UsageError
from fraudline.core.files import atomic_file, atomic_folder, local_path, read_json, write_json, write_text


def test_a_file_is_replaced_only_when_the_block_ends_well(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), atomic_file(path) as temporary:
        temporary.write_text(str(1 // 0))
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "out"
    with atomic_folder(folder, sometimes=["plots"]) as temporary:
        (temporary / "one.csv").write_text("1")
        (temporary / "all.json").write_text("1")
        (temporary / "plots").mkdir()
    with atomic_folder(folder, sometimes=["plots"]) as temporary:
        (temporary / "two.csv").write_text("2")
        (temporary / "all.json").write_text("2")
    assert {p.name: p.read_text() for p in folder.iterdir()} == {"two.csv": "2", "all.json": "2"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "others", [["thesis.md"], ["photos/beach.jpg"], ["dataset.json", "bank.csv"], [".bashrc", "d/x"]]
)
def test_a_folder_with_something_of_yours_is_not_replaced(tmp_path, others):
    folder = tmp_path / "out"
    for name in others:
        write_text(folder / name, "years of work")
    with pytest.raises(UsageError, match="would be lost"), atomic_folder(folder) as temporary:
        (temporary / "dataset.json").write_text("{}")
    assert {path.read_text() for path in folder.rglob("*") if path.is_file()} == {"years of work"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("own", ["photos/beach.jpg", "photos/notes.json", "thesis.md"])
def test_what_you_put_into_an_earlier_output_is_not_lost_with_it(tmp_path, own):
    folder = tmp_path / "out"
    write_json(folder / "dataset.json", {})
    write_text(folder / own, "years of work")
    lost = pytest.raises(UsageError, match=f"holds {own.split('/')[0]}, .*would be lost")
    with lost, atomic_folder(folder, sometimes=["extra"]) as temporary:
        (temporary / "dataset.json").write_text("{}")
    assert (folder / own).read_text() == "years of work"


def test_a_folder_stays_when_the_block_fails(tmp_path):
    folder = tmp_path / "out"
    with atomic_folder(folder) as temporary:
        (temporary / "one").write_text("1")
    with pytest.raises(FileNotFoundError), atomic_folder(folder) as temporary:
        (temporary / "none" / "two").write_text("2")
    assert (folder / "one").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("path", [".", "..", "/"])
def test_a_folder_without_a_name_is_refused_before_anything_is_written(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="cannot be replaced"), atomic_folder(Path(path)):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("atomic", [atomic_file, atomic_folder])
def test_the_error_of_a_full_disk_names_what_was_to_be_written(tmp_path, atomic):
    with pytest.raises(OSError, match="No space left") as told, atomic(tmp_path / "model"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as a write to an open file raises it
    assert told.value.filename == str(tmp_path / "model")


def test_json_is_the_same_text_for_the_same_content(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": [1, 2]})
    write_json(tmp_path / "b.json", {"a": [1, 2], "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert read_json(tmp_path / "a.json") == {"a": [1, 2], "b": 1}


@pytest.mark.parametrize("location", ["/mnt/a model", "file:///mnt/a%20model"])
def test_a_path_and_a_file_address_are_the_same_folder(location):
    assert local_path(location) == Path("/mnt/a model")


def test_a_remote_address_is_refused_with_what_fetches_it():
    with pytest.raises(UsageError, match="storageUri"):
        local_path("s3://models/abc")


@pytest.mark.parametrize("writing", [atomic_file, atomic_folder])
def test_a_device_or_a_pipe_is_refused_and_stays(tmp_path, writing):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "stdout").symlink_to(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path / "stdout", Path(os.devnull)):
        with pytest.raises(UsageError, match="a pipe or a socket"), writing(path):
            pytest.fail("begun")
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "stdout").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe", "stdout"]


def test_what_is_written_has_the_rights_that_the_umask_leaves(tmp_path):
    before = os.umask(0o077)
    try:
        write_text(tmp_path / "secret", "plain")
        with atomic_folder(tmp_path / "secrets"):
            pass
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("secret", "secrets")] == [0o600, 0o700]


def test_a_reader_finds_the_folder_at_every_moment_of_a_replacement(tmp_path, monkeypatch):
    path, seen = tmp_path / "out", []
    with atomic_folder(path) as temporary:
        (temporary / "x").write_text("1")
    rename = Path.rename

    def look(one, other):
        renamed = rename(one, other)
        seen.append(path.exists())
        return renamed

    monkeypatch.setattr(Path, "rename", look)
    with atomic_folder(path) as temporary:
        (temporary / "x").write_text("2")
    assert (path / "x").read_text() == "2"
    assert all(seen)


def test_where_folders_cannot_change_places_the_old_one_comes_back_when_the_new_one_cannot(tmp_path, monkeypatch):
    path, rename = tmp_path / "out", Path.rename
    with atomic_folder(path) as temporary:
        (temporary / "x").write_text("1")

    def fail(one, other):
        if other == path and one.name != "old":
            raise OSError(errno.EIO, "Input/output error")
        return rename(one, other)

    monkeypatch.setattr("fraudline.core.files._exchanged", lambda *_: False, raising=False)
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="Input/output"), atomic_folder(path) as temporary:
        (temporary / "x").write_text("2")
    assert (path / "x").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_where_the_old_folder_cannot_come_back_either_it_is_kept_beside(tmp_path, monkeypatch):
    path, rename = tmp_path / "out", Path.rename
    with atomic_folder(path) as temporary:
        (temporary / "x").write_text("1")

    def fail(one, other):
        if other == path:
            raise OSError(errno.EIO, "Input/output error")
        return rename(one, other)

    monkeypatch.setattr("fraudline.core.files._exchanged", lambda *_: False)
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="Input/output"), atomic_folder(path) as temporary:
        (temporary / "x").write_text("2")
    assert [file.read_text() for file in tmp_path.glob(".out.old.*/old/x")] == ["1"]


def test_a_folder_that_another_run_made_meanwhile_is_replaced(tmp_path, monkeypatch):
    path, rename = tmp_path / "out", Path.rename

    def after_another(one, other):
        if not path.exists():
            path.mkdir()
            (path / "x").write_text("1")
        return rename(one, other)

    monkeypatch.setattr(Path, "rename", after_another)
    with atomic_folder(path) as temporary:
        (temporary / "x").write_text("2")
    assert (path / "x").read_text() == "2"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_write_removes_what_killed_writers_of_the_file_left_and_nothing_else(tmp_path: Path) -> None:
    old, other, alive = (tmp_path / name for name in (".f.json.0123abcd", ".g.json.0123abcd", ".f.json.4567cdef"))
    for path in (old, other, alive):
        path.write_text("half")
    for path in (old, other):
        os.utime(path, (0, 0))
    write_text(tmp_path / "f.json", "whole")
    assert {path.name for path in tmp_path.iterdir()} == {"f.json", other.name, alive.name}
