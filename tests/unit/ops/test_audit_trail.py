"""A trail of decisions shows every change: rows, files, the chain and its end."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraudline.core.digest import sha256_file
from fraudline.core.errors import StateError, UsageError
from fraudline.core.files import write_text
from fraudline.ops.audit.rows import FIRST, SCHEMA, AuditRow, batch_of, said
from fraudline.ops.audit.trail import CHAIN, HEAD, NONE, Seal, Trail
from fraudline.ops.audit.verify import Report, verify

FILES, ROWS = 3, 12
DAYS = [f"2026-01-{5 + day:02d}" for day in range(FILES)]


def decision(number: int) -> bytes:
    return json.dumps(
        {"transaction_id": f"t{number}", "card_id": f"c{number % 5}", "score": number / 7, "decision": "allow",
         "event_time": 10**15 + number, "decided_at": 10**15 + number, "threshold": 0.5, "model_version": "abc",
         "threshold_version": "t1", "scored_by": "worker", "features": [1.0, 2.0]}
    ).encode()  # fmt: skip


def rows(file: int) -> list[AuditRow]:
    begin = file * ROWS
    return [AuditRow(n % 2, n // 2, 1000 * n, b"c%d" % (n % 5), decision(n)) for n in range(begin, begin + ROWS)]


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Trail:
    made = Trail.open(tmp_path_factory.mktemp("audit") / "trail")
    for file, day in enumerate(DAYS):
        half = ROWS // 2
        ends = {p: (file * half, (file + 1) * half) for p in range(2)}
        made = made.append(day, "decisions", iter(rows(file)), ends)
    return made


def test_a_trail_that_nobody_touched_is_whole_and_goes_on_where_it_ended(trail: Trail) -> None:
    report = verify(trail.folder, head=trail.head)
    assert report == Report(FILES, FILES * ROWS, trail.head, (DAYS[0], DAYS[-1]), 0, ())
    assert verify(trail.folder, head=trail.seals[0].seal).findings == ()  # a head of earlier is still contained
    assert Trail.open(trail.folder) == trail
    assert trail.next_offsets() == {0: 18, 1: 18}
    assert (trail.folder / HEAD).read_text().strip() == trail.head
    table = pq.read_table(trail.folder / trail.seals[1].file)
    assert table["transaction_id"].to_pylist() == [f"t{n}" for n in range(ROWS, 2 * ROWS)]


def test_a_day_without_decisions_adds_nothing_and_what_is_no_decision_is_kept_as_it_is(tmp_path: Path) -> None:
    made = Trail.open(tmp_path / "a")
    assert made.append("2026-01-05", "decisions", iter(()), {0: (0, 4)}) is made
    odd = [AuditRow(0, 0, 0, None, None), AuditRow(0, 1, 0, b"k", b"\xff\x00"), AuditRow(0, 2, 0, b"", b"{}")]
    made = made.append("2026-01-05", "decisions", iter(odd), {0: (0, 3)}, expired=2)
    assert verify(made.folder).findings == ()
    assert verify(made.folder).expired == 2
    assert pq.read_table(made.folder / made.seals[0].file)["value"].to_pylist() == [None, b"\xff\x00", b"{}"]


def test_a_line_that_is_not_in_its_place_is_found_though_each_seal_fits(trail: Trail, tmp_path: Path) -> None:
    folder = shutil.copytree(trail.folder, tmp_path / "trail")
    lines = chain_lines(folder)
    last = Seal.parse_json(lines[-1], CHAIN).model_copy(update={"sequence": FILES}).sealed()
    write_chain(folder, [*lines[:-1], last.line()])
    write_text(folder / HEAD, f"{last.seal}\n")
    assert [(finding.file, finding.row) for finding in verify(folder).findings] == [(CHAIN, FILES)]


def test_offsets_that_a_file_skips_are_found_though_each_seal_fits(tmp_path: Path) -> None:
    made = Trail.open(tmp_path).append(DAYS[0], "decisions", iter(rows(0)), {p: (0, 6) for p in range(2)})
    made = made.append(DAYS[1], "decisions", iter(rows(2)), {p: (12, 18) for p in range(2)})
    found = [(finding.file, finding.problem) for finding in verify(tmp_path, head=made.head).findings]
    problem = "partition {} goes on at 12, but the file before ends at 6"
    assert found == [(made.seals[1].file, problem.format(p)) for p in range(2)]


def test_a_folder_without_a_chain_is_no_trail_and_a_broken_chain_cannot_be_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no chain"):
        verify(tmp_path)
    for text in ("{}", "[" * 100_000):
        (tmp_path / CHAIN).write_text(text + "\n")
        with pytest.raises(StateError, match="is no chain"):
            Trail.open(tmp_path)
        assert "cannot be read" in verify(tmp_path).findings[0].problem


Where = tuple[str, int]


def changed_value(folder: Path, rng: random.Random) -> Where:
    """One field of one row; its hash stays."""

    def change(table: list[dict[str, Any]], at: int) -> None:
        name = rng.choice([n for n in SCHEMA.names if table[at][n] is not None])
        value = table[at][name]
        if isinstance(value, bytes):
            place = rng.randrange(len(value))
            value = value[:place] + bytes([value[place] ^ (1 << rng.randrange(7))]) + value[place + 1 :]
        else:
            value = value + "x" if isinstance(value, str) else value + 1
        table[at][name] = value

    return edited(folder, rng, change)


def removed_row(folder: Path, rng: random.Random) -> Where:
    file, row = edited(folder, rng, lambda table, at: table.pop(at))
    return file, row if row < ROWS else ROWS - 1  # nothing follows the last row: its file ends early


def doubled_row(folder: Path, rng: random.Random) -> Where:
    file, row = edited(folder, rng, lambda table, at: table.insert(at, dict(table[at])))
    return file, row + 1


def forged_row(folder: Path, rng: random.Random) -> Where:
    return edited(folder, rng, lambda table, at: table.insert(at, dict(table[at]) | {"offset": 99}))


def swapped_rows(folder: Path, rng: random.Random) -> Where:
    def swap(table: list[dict[str, Any]], at: int) -> None:
        other = (at + 1) % len(table)
        table[at], table[other] = table[other], table[at]

    file, row = edited(folder, rng, swap)
    return file, row if row < ROWS else 1


def rehashed(folder: Path, rng: random.Random) -> Where:
    """A decision is changed and the hashes of its file are made anew: only its seal shows it."""
    seal = rng.choice(seals(folder))
    rewrite(folder, seal, rng)
    return seal.file, 0


def made_anew(folder: Path, rng: random.Random) -> Where:
    """So is every hash and seal after it: only a head kept elsewhere shows it."""
    old = seals(folder)
    first = rng.randrange(FILES)
    made = Trail(folder, tuple(old[:first]))
    for seal in old[first:]:
        again = [AuditRow(*row) for row in zip(*pq.read_table(folder / seal.file, columns=list(AuditRow._fields))
                                               .to_pydict().values(), strict=True)]  # fmt: skip
        if seal is old[first]:
            at = rng.randrange(ROWS)
            again[at] = again[at]._replace(value=decision(999))
        made = made.append(seal.day, seal.topic, iter(again), {int(p): e for p, e in seal.offsets.items()})
    return CHAIN, 0


def removed_file(folder: Path, rng: random.Random) -> Where:
    seal = rng.choice(seals(folder))
    (folder / seal.file).unlink()
    return seal.file, 0


def swapped_files(folder: Path, rng: random.Random) -> Where:
    one, other = rng.sample(seals(folder), 2)
    (folder / one.file).rename(folder / "x")
    (folder / other.file).rename(folder / one.file)
    (folder / "x").rename(folder / other.file)
    return one.file, 1


def added_file(folder: Path, rng: random.Random) -> Where:
    name = f"{rng.randrange(10, 99):06d}-2026-02-01.parquet"
    shutil.copy(folder / rng.choice(seals(folder)).file, folder / name)
    return name, 0


def flipped_byte(folder: Path, rng: random.Random) -> Where:
    path = folder / rng.choice(seals(folder)).file
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    return path.name, 0


def removed_line(folder: Path, rng: random.Random) -> Where:
    """A line of the chain with its file."""
    lines = chain_lines(folder)
    at = rng.randrange(FILES)
    (folder / seals(folder)[at].file).unlink()
    del lines[at]
    write_chain(folder, lines)
    return CHAIN, 0


def swapped_lines(folder: Path, rng: random.Random) -> Where:
    lines = chain_lines(folder)
    at = rng.randrange(FILES - 1)
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    write_chain(folder, lines)
    return CHAIN, at + 1


def changed_line(folder: Path, rng: random.Random) -> Where:
    lines = chain_lines(folder)
    at = rng.randrange(FILES)
    field = rng.choice(["rows", "day", "topic", "expired", "last", "sha256", "previous", "seal"])
    values = json.loads(lines[at])
    value = values[field]
    values[field] = value + 1 if isinstance(value, int) else value[:-1] + ("1" if value[-1] != "1" else "2")
    lines[at] = json.dumps(values, sort_keys=True)
    write_chain(folder, lines)
    return CHAIN, at + 1


def cut_end(folder: Path, rng: random.Random) -> Where:
    """The newest files, with their lines and the head beside them."""
    keep = rng.randrange(FILES)
    for seal in seals(folder)[keep:]:
        (folder / seal.file).unlink()
    write_chain(folder, chain_lines(folder)[:keep])
    write_text(folder / HEAD, f"{seals(folder)[-1].seal if keep else NONE}\n")
    return CHAIN, 0


TAMPERINGS: dict[str, Callable[[Path, random.Random], Where]] = {
    function.__name__: function
    for function in (
        changed_value, removed_row, doubled_row, forged_row, swapped_rows, rehashed, made_anew, removed_file,
        swapped_files, added_file, flipped_byte, removed_line, swapped_lines, changed_line, cut_end,
    )
}  # fmt: skip
TIMES = -(-1_000 // len(TAMPERINGS))
"""Of each kind; a thousand in all, as docs/how-to/audit.md says."""


@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_change_is_found_and_named_wherever_it_is(name: str, trail: Trail, tmp_path: Path) -> None:
    rng = random.Random(f"20260105 {name}")
    for number in range(TIMES):
        folder = tmp_path / str(number)
        shutil.copytree(trail.folder, folder)
        where = TAMPERINGS[name](folder, rng)
        report = verify(folder, head=trail.head)
        named = {(finding.file, finding.row) for finding in report.findings}
        files = {finding.file for finding in report.findings}
        assert where in named or where[0] in files and not where[1], f"the change at {where}: {report.findings}"


def seals(folder: Path) -> list[Seal]:
    return [Seal.parse_json(line, CHAIN) for line in chain_lines(folder)]


def chain_lines(folder: Path) -> list[str]:
    return (folder / CHAIN).read_text().splitlines()


def write_chain(folder: Path, lines: list[str]) -> None:
    (folder / CHAIN).write_text("".join(f"{line}\n" for line in lines))


def edited(folder: Path, rng: random.Random, change: Callable[[list[dict[str, Any]], int], object]) -> Where:
    """A file with one row treated by ``change``; the file and the row's number."""
    path = folder / rng.choice(seals(folder)).file
    table = pq.read_table(path).to_pylist()
    at = rng.randrange(len(table))
    change(table, at)
    pq.write_table(pa.Table.from_pylist(table, schema=SCHEMA), path, compression="zstd")
    return path.name, at + 1


def rewrite(folder: Path, seal: Seal, rng: random.Random) -> None:
    path = folder / seal.file
    old = [AuditRow(*(row[name] for name in AuditRow._fields)) for row in pq.read_table(path).to_pylist()]
    at = rng.randrange(len(old))
    old[at] = old[at]._replace(value=decision(999))
    before = FIRST if not seal.sequence else bytes.fromhex(seals(folder)[seal.sequence - 1].last)
    with pq.ParquetWriter(path, SCHEMA) as writer:
        writer.write_batch(batch_of(old, before)[0])
    assert sha256_file(path) != seal.sha256


@pytest.mark.parametrize("value", [None, b"{", b'{"card_id": "\xff"}', b'{"more": ' + b"[" * 100_000])
def test_a_record_that_is_no_decision_is_kept_with_nothing_said_of_it(value: bytes | None) -> None:
    assert set(said(value)) == {None}
