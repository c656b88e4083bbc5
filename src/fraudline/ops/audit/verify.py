"""Whether a trail is whole: every row follows from the row before it, every file from the file before it.

    report = verify(Path("audit"), head="3f2a...")
    report.findings                 # empty, or what was changed, and where

Whoever can write the folder can compute every hash anew. Then only a head that was kept elsewhere shows it: a seal that
the chain no longer contains.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from fraudline.core.digest import sha256_file
from fraudline.core.errors import UsageError
from fraudline.ops.audit.rows import FIRST, SAID, SCHEMA, AuditRow, chained, said
from fraudline.ops.audit.trail import CHAIN, HEAD, NONE, Seal, rows_of

_MOST = 20
"""Findings a file: a file that was written anew has one a row."""

_HASH = len(AuditRow._fields)


class Finding(NamedTuple):
    """Something that is not as it was exported: the file, the row in it (from 1; 0 for the file), and what is wrong."""

    file: str
    row: int
    problem: str

    def __str__(self) -> str:
        return f"{self.file}{f', row {self.row}' if self.row else ''}: {self.problem}"


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        files: files of the chain.
        rows: rows that were read.
        head: the newest seal.
        days: first and last day; empty without a file.
        expired: records that Kafka had deleted before they were exported.
        findings: in order; none when the trail is whole.
    """

    files: int
    rows: int
    head: str
    days: tuple[str, ...]
    expired: int
    findings: tuple[Finding, ...]


def verify(folder: Path, *, head: str = "") -> Report:
    """Check a trail whole, in constant memory.

    Args:
        folder: of the export.
        head: a seal that was kept elsewhere; the chain must contain it.

    Raises:
        UsageError: there is no trail.
    """
    path = folder / CHAIN
    if not path.is_file():
        raise UsageError(f"{folder} has no {CHAIN}.", "Name the folder of `fraudline audit export`.")
    findings: list[Finding] = []
    seals = _seals(path, findings)
    findings += _strangers(folder, seals)
    last, rows = FIRST, 0
    for seal in seals:
        found = list(_file(folder, seal, last))
        findings += found
        rows += seal.rows
        last = bytes.fromhex(seal.last)
    newest = seals[-1].seal if seals else NONE
    if head and head not in {NONE, *(seal.seal for seal in seals)}:
        findings.append(Finding(CHAIN, 0, f"it does not contain the head {head}: its end was cut, or it was made anew"))
    kept = (folder / HEAD).read_text(encoding="utf-8").strip() if (folder / HEAD).is_file() else ""
    if kept != newest:
        findings.append(Finding(HEAD, 0, "it is not the newest seal of the chain"))
    days = (seals[0].day, seals[-1].day) if seals else ()
    return Report(len(seals), rows, newest, days, sum(seal.expired for seal in seals), tuple(findings))


def _seals(path: Path, findings: list[Finding]) -> list[Seal]:
    """The lines that can be read; what does not follow from the line before is a finding."""
    seals: list[Seal] = []
    previous = NONE
    ends: dict[str, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            seal = Seal.parse_json(line, CHAIN)
        except UsageError as error:
            findings.append(Finding(CHAIN, number, f"the line cannot be read: {error}"))
            continue
        if seal.line().encode() != line or seal.computed() != seal.seal:
            findings.append(Finding(CHAIN, number, f"the line of {seal.file} was changed: its seal does not fit"))
        if seal.previous != previous or seal.sequence != len(seals):
            problem = f"{seal.file} does not follow from the line before: one was removed, inserted or moved"
            findings.append(Finding(CHAIN, number, problem))
        for partition, (begin, end) in seal.offsets.items():
            if begin != ends.get(partition, begin):
                problem = f"partition {partition} goes on at {begin}, but the file before ends at {ends[partition]}"
                findings.append(Finding(seal.file, 0, problem))
            ends[partition] = end
        previous = seal.seal
        seals.append(seal)
    return seals


def _strangers(folder: Path, seals: list[Seal]) -> Iterator[Finding]:
    known = {seal.file for seal in seals}
    for path in sorted(folder.glob("*.parquet")):
        if path.name not in known:
            yield Finding(path.name, 0, "it has no seal: it was inserted, or an export was cut off (export again)")


def _file(folder: Path, seal: Seal, last: bytes) -> Iterator[Finding]:
    path = folder / seal.file
    if not path.is_file():
        yield Finding(seal.file, 0, f"it is missing, with {seal.rows:,} rows of {seal.day}")
        return
    found, count = 0, 0
    try:
        if pq.read_schema(path) != SCHEMA:
            yield Finding(seal.file, 0, "it has other columns than were exported")
            return
        for count, row in enumerate(rows_of(path), 1):
            problem = _row(row, last)
            last = row[_HASH] or FIRST
            if problem and found < _MOST:
                found += 1
                yield Finding(seal.file, count, problem)
    except (OSError, pa.ArrowException) as error:
        yield Finding(seal.file, count + 1, f"it cannot be read: {error}")
        return
    if count != seal.rows:
        yield Finding(seal.file, 0, f"it has {count:,} rows, its seal says {seal.rows:,}")
    if last.hex() != seal.last:
        yield Finding(seal.file, count, "its last row is not the one that was sealed")
    if sha256_file(path) != seal.sha256:
        yield Finding(seal.file, 0, "its bytes are not those that were sealed")


def _row(row: tuple[Any, ...], previous: bytes) -> str:
    """What is wrong with a row; empty when nothing is."""
    record, stored, repeated = AuditRow(*row[:_HASH]), row[_HASH], row[_HASH + 1 :]
    if None in record[:3]:
        return "its place is missing"
    expected = said(record.value)
    name = f"{expected[0] or 'a record'} ({record.partition}:{record.offset})"
    if chained(previous, record) != stored:
        return f"{name} does not follow from the row before: it was changed or inserted, or a row was removed or moved"
    for column, shown, value in zip(SAID, repeated, expected, strict=True):
        if shown != value:
            return f"{name}: the column {column} says {shown!r}, the record {value!r}"
    return ""
