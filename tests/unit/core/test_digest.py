import hashlib

import pytest

from fraudline.core.digest import digest_of, files_under, md5_file, sha256_bytes, sha256_file


@pytest.mark.parametrize("size", [0, 1, (1 << 20) + 7])
def test_file_digests_equal_hashlib_over_the_whole_content(tmp_path, size):
    content = bytes(range(256)) * (size // 256 + 1)
    path = tmp_path / "f"
    path.write_bytes(content[:size])
    assert sha256_file(path) == hashlib.sha256(content[:size]).hexdigest() == sha256_bytes(content[:size])
    assert md5_file(path) == hashlib.md5(content[:size], usedforsecurity=False).hexdigest()


def test_a_set_of_files_has_one_digest_whatever_their_order():
    assert digest_of({"a": "1", "b": "2"}) == digest_of({"b": "2", "a": "1"})


@pytest.mark.parametrize(
    "other", [{"a": "2", "b": "1"}, {"a": "1"}, {"a": "1", "b": "2", "c": "3"}, {"a": "1", "c": "2"}]
)
def test_another_set_of_files_has_another_digest(other):
    assert digest_of(other) != digest_of({"a": "1", "b": "2"})


def test_files_are_listed_with_their_folders_sorted(tmp_path):
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "f").write_text("")
    (tmp_path / "a").write_text("")
    assert files_under(tmp_path) == ["a", "z/f"]
