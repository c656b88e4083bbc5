"""Lines of JSON become rows, and whatever else is there becomes an error and ends no process."""

import subprocess
import sys

import pyarrow as pa
import pytest

from fraudline.data import json_lines
from fraudline.data.json_lines import table_of_lines, tables_of_file

NULLS = ["null", "null\\n{}", " null", "{}\\rnull"]


@pytest.mark.parametrize("content", NULLS)
def test_a_line_that_is_null_is_refused_and_does_not_crash_the_process(content):
    """In a process of its own: Arrow's parser has no error for it."""
    code = (
        "import pyarrow as pa\nfrom fraudline.data.json_lines import table_of_lines\n"
        f"try: table_of_lines(b'{content}'.splitlines())\nexcept pa.ArrowInvalid as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "JSON parse error: a line is null, and no object")


def test_a_file_is_read_in_pieces_whose_lines_stay_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 40)
    file = tmp_path / "d.jsonl"
    file.write_text("".join(f'{{"a": {n}, "b": "{"x" * n}"}}\n\n' for n in range(90)) + "\n" * 100)
    tables = list(tables_of_file(file))
    assert len(tables) > 10
    assert [row for table in tables for row in table["a"].to_pylist()] == list(range(90))


@pytest.mark.parametrize("content", [b"17", b"[]", b"{", b"", b"\n"])
def test_what_is_no_object_is_refused(content):
    with pytest.raises(pa.ArrowInvalid):
        table_of_lines(content.splitlines())
