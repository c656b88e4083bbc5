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
    with atomic_folder(folder) as temporary:
        (temporary / "one").write_text("1")
    with atomic_folder(folder) as temporary:
        (temporary / "two").write_text("2")
    assert [p.name for p in folder.iterdir()] == ["two"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_folder_stays_when_the_block_fails(tmp_path):
    folder = tmp_path / "out"
    with atomic_folder(folder) as temporary:
        (temporary / "one").write_text("1")
    with pytest.raises(FileNotFoundError), atomic_folder(folder) as temporary:
        (temporary / "none" / "two").write_text("2")
    assert (folder / "one").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


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
