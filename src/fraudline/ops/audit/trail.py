"""The folder of an exported trail: parquet files, and ``chain.jsonl``, one sealed line a file.

    000000-2026-01-05.parquet     the decisions of a UTC day, in the order of the partitions' offsets
    chain.jsonl                   per file: offsets, rows, the hash of its last row, SHA-256, and the seal before it
    head                          the newest seal: what is kept elsewhere, so that a cut end is found as well

A line's seal covers the line and, through ``previous``, every line before it. The rows' own chain goes on from file to
file. Nothing is read into memory as a whole.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Self

import pyarrow.parquet as pq
from pydantic import Field

from fraudline.core.digest import sha256_bytes, sha256_file
from fraudline.core.errors import StateError, UsageError
from fraudline.core.files import atomic_file, write_text
from fraudline.core.settings import Settings
from fraudline.ops.audit.rows import FIRST, SCHEMA, AuditRow, batch_of

CHAIN = "chain.jsonl"
HEAD = "head"
NONE = "0" * 64
"""The seal before the first."""

_ROW_GROUP = 5_000


class Seal(Settings):
    """What is known of one file of a trail.

    Attributes:
        sequence: 0 for the first file.
        day: UTC day in which its records were appended.
        file: its name.
        topic: where the records come from.
        rows: how many.
        offsets: a partition's first offset and the one after the last that was looked at; the next file goes on there.
        expired: offsets that Kafka had deleted before they were exported.
        last: hash of the last row, hex.
        sha256: of the file.
        previous: the seal before.
        seal: SHA-256 of all of this.
    """

    sequence: int = Field(ge=0)
    day: str
    file: str = Field(pattern=r"^[0-9]{6}-[0-9]{4}-[0-9]{2}-[0-9]{2}\.parquet$")
    topic: str
    rows: int = Field(ge=1)
    offsets: dict[str, tuple[int, int]]
    expired: int = 0
    last: str = Field(pattern=r"^[0-9a-f]{64}$")
    sha256: str
    previous: str
    seal: str = ""

    def computed(self) -> str:
        """The seal that belongs to this line."""
        values = self.model_dump(mode="json", exclude={"seal"})
        return sha256_bytes(json.dumps(values, sort_keys=True, ensure_ascii=False).encode())

    def sealed(self) -> Self:
        """The line with its seal."""
        return self.model_copy(update={"seal": self.computed()})

    def line(self) -> str:
        """The line of the chain, without its end."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True)
class Trail:
    """A folder and its seals, oldest first. Only the end is checked here; :func:`~.verify.verify` checks it all."""

    folder: Path
    seals: tuple[Seal, ...] = ()

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read the chain of a folder; one that is not there yet is empty.

        Raises:
            StateError: the chain cannot be read.
        """
        path = folder / CHAIN
        if not path.exists():
            return cls(folder)
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            return cls(folder, tuple(Seal.parse_json(line, f"{path}:{n}") for n, line in enumerate(lines, 1)))
        except (OSError, UnicodeDecodeError, UsageError) as error:
            raise StateError(
                f"{path} is no chain: {error}", "See what `fraudline audit verify` says, and take it from a backup."
            ) from error

    @property
    def head(self) -> str:
        """The newest seal."""
        return self.seals[-1].seal if self.seals else NONE

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(seal.rows for seal in self.seals)

    def next_offsets(self) -> dict[int, int]:
        """Where each partition goes on."""
        found: dict[int, int] = {}
        for seal in self.seals:
            found |= {int(partition): end for partition, (_, end) in seal.offsets.items()}
        return found

    def append(
        self,
        day: str,
        topic: str,
        rows: Iterable[AuditRow],
        offsets: Mapping[int, tuple[int, int]],
        *,
        expired: int = 0,
    ) -> Self:
        """Write one more file and seal it; a day without a row adds nothing.

        A run that is cut off leaves no file, or one without a seal that the next run writes again.

        Args:
            day: ISO date.
            topic: where the rows come from.
            rows: in the order that they stay in.
            offsets: of each partition, first and after the last.
            expired: offsets that were gone already.
        """
        first = next(rows := iter(rows), None)
        if first is None:
            return self
        sequence = len(self.seals)
        path = self.folder / f"{sequence:06d}-{day}.parquet"
        previous = bytes.fromhex(self.seals[-1].last) if self.seals else FIRST
        with atomic_file(path) as temporary:
            count, last = _write(temporary, chain((first,), rows), previous)
            digest = sha256_file(temporary)
        seal = Seal(
            sequence=sequence,
            day=day,
            file=path.name,
            topic=topic,
            rows=count,
            offsets={str(partition): ends for partition, ends in sorted(offsets.items())},
            expired=expired,
            last=last.hex(),
            sha256=digest,
            previous=self.head,
        ).sealed()
        longer = type(self)(self.folder, (*self.seals, seal))
        write_text(self.folder / CHAIN, "".join(f"{each.line()}\n" for each in longer.seals))
        write_text(self.folder / HEAD, f"{longer.head}\n")
        return longer


def _write(path: Path, rows: Iterable[AuditRow], previous: bytes) -> tuple[int, bytes]:
    count, last = 0, previous
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for group in _groups(rows):
            batch, last = batch_of(group, last)
            writer.write_batch(batch)
            count += len(group)
    return count, last


def _groups(rows: Iterable[AuditRow]) -> Iterator[list[AuditRow]]:
    group: list[AuditRow] = []
    for row in rows:
        group.append(row)
        if len(group) == _ROW_GROUP:
            yield group
            group = []
    if group:
        yield group


def rows_of(path: Path) -> Iterator[tuple[Any, ...]]:
    """The rows of an exported file in the columns of ``SCHEMA``, read in pieces.

    Raises:
        OSError: it cannot be read.
        pyarrow.ArrowException: it is no such file.
    """
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_ROW_GROUP, use_threads=False):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
