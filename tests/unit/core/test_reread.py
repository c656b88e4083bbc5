"""What a watched file said stays while it is wrong, and one line in the log says so."""

import os
from pathlib import Path

from structlog.testing import capture_logs

from fraudline.core.errors import UsageError
from fraudline.core.reread import Reread


def number_of(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path.name} is no number.", "Write one.") from error


def test_a_file_that_takes_anothers_place_is_read_though_both_have_one_time(tmp_path: Path) -> None:
    file, other = tmp_path / "number", tmp_path / "other"
    for path, text in ((file, "1"), (other, "2")):
        path.write_text(text)
        os.utime(path, (1, 1))
    watched = Reread(file, number_of, kept="number.kept")
    other.replace(file)
    assert watched.content == 2


def test_a_wrong_file_is_said_once_for_each_change_and_a_right_one_is_taken_at_once(tmp_path: Path) -> None:
    file = tmp_path / "number"

    def write(text: str, second: int) -> None:
        file.write_text(text)
        os.utime(file, (second, second))

    write("1", 1)
    watched = Reread(file, number_of, kept="number.kept")
    with capture_logs() as said:
        for second, text in ((2, "one"), (3, "two")):
            write(text, second)
            assert [watched.content for _ in range(5)] == [1] * 5
        assert [entry["event"] for entry in said] == ["number.kept"] * 2
        file.unlink()
        assert [watched.content for _ in range(5)] == [1] * 5
        assert len(said) == 3
        write("4", 4)
        assert watched.content == 4
        write("four", 5)
        assert watched.content == 4
    assert len(said) == 4
