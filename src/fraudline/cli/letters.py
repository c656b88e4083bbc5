"""What the commands of dead letters share, those of records and those of alerts."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import click

from fraudline.core.errors import UsageError
from fraudline.core.words import printable

if TYPE_CHECKING:
    from fraudline.stream.alert_letters import AlertLetter
    from fraudline.stream.dead_letter import DeadLetter
    from fraudline.stream.dead_letter_topic import Replayed

_PLACE = re.compile(r"(\d+):(\d+)")
Letter = TypeVar("Letter", "DeadLetter", "AlertLetter")


def place_of(text: str, listed: str) -> tuple[int, int]:
    """Partition and offset of a letter that somebody names as the command ``listed`` shows it.

    Raises:
        UsageError: it names none.
    """
    found = _PLACE.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} names no dead letter.", f"Give PARTITION:OFFSET, as `{listed}` shows it.")
    return int(found[1]), int(found[2])


def gathered(letters: Iterable[Letter], limit: int, kind: Callable[[Letter], str]) -> tuple[Counter[str], list[Letter]]:
    """How many letters of each kind there are, and the newest ``limit``, the newest last; few others are held."""
    counts: Counter[str] = Counter()
    kept: list[Letter] = []
    for letter in letters:
        counts[kind(letter)] += 1
        kept.append(letter)
        if len(kept) >= 4 * limit:
            kept = _newest(kept, limit)
    return counts, _newest(kept, limit)


def written_at(letter: "DeadLetter | AlertLetter") -> str:
    """When a letter was written, UTC."""
    return datetime.fromtimestamp(letter.written_ms / 1000, UTC).isoformat(timespec="seconds")


def show_counts(counts: Counter[str], noun: str) -> None:
    """How many letters there are, on standard error."""
    parts = "".join(f"\n  {count:>8,}  {printable(kind)}" for kind, count in counts.most_common())
    click.echo(f"{counts.total():,} {noun}{parts}", err=True)


def show_replayed(result: "Replayed", as_json: bool) -> None:
    """What a replay did."""
    if as_json:
        click.echo(json.dumps({"sent": result.sent, "left": result.left}))
    else:
        click.echo(f"{result.sent:,} sent again, {result.left:,} left", err=True)


def _newest(letters: list[Letter], limit: int) -> list[Letter]:
    return sorted(letters, key=lambda letter: (letter.written_ms, letter.partition, letter.offset))[-limit:]
