"""Lines of JSON as tables: what the topic of decisions holds, from a file, a trail or the topic itself."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.json as pa_json

_BLOCK_BYTES = 16 << 20


def table_of_lines(lines: Iterable[bytes]) -> pa.Table:
    """One row a line; blank ones are left out.

    Raises:
        pyarrow.ArrowInvalid: a line is no JSON object, or there is none.
    """
    given = [line for line in lines if line.strip()]
    if any(line.lstrip().startswith(b"null") for line in given):  # where a block begins with it, Arrow's parser crashes
        raise pa.ArrowInvalid("JSON parse error: a line is null, and no object")
    content = b"\n".join(given)
    size = max(_BLOCK_BYTES, *map(len, given)) if given else _BLOCK_BYTES
    return pa_json.read_json(pa.BufferReader(content), pa_json.ReadOptions(use_threads=False, block_size=size))


def tables_of_file(file: Path) -> Iterator[pa.Table]:
    """The rows of a file, some megabytes of it at a time.

    Raises:
        pyarrow.ArrowInvalid: a line is no JSON object, or there is none.
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        found = opened.readlines(_BLOCK_BYTES)
        yield table_of_lines(b"".join(found).splitlines())
        while found := opened.readlines(_BLOCK_BYTES):
            lines = b"".join(found).splitlines()
            if any(line.strip() for line in lines):
                yield table_of_lines(lines)
