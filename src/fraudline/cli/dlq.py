"""``fraudline dlq``: look at dead letters, and send them again."""

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fraudline.cli.letters import gathered, place_of, show_counts, show_replayed, written_at
from fraudline.cli.options import bootstrap_option, json_option, load_params, params_option
from fraudline.core.words import printable

if TYPE_CHECKING:
    from fraudline.stream.dead_letter import DeadLetter
    from fraudline.stream.params import StreamParams

_LISTED = "fraudline dlq list"


@click.group()
def group() -> None:
    r"""Dead letters: records that hold no transaction, with the reason and their original bytes.

    \b
    Try:
      fraudline dlq list --reason currency
      fraudline dlq show 0:17
      fraudline dlq replay --dry-run
    """


@group.command("list")
@click.option("--reason", default="", help="Only letters whose reason contains this text.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Newest letters to show.")
@bootstrap_option
@params_option
@json_option
def list_letters(reason: str, limit: int, bootstrap: str | None, params_file: Path, as_json: bool) -> None:
    """List dead letters, the newest last, and count them by reason."""
    from fraudline.stream.dead_letter_topic import read_letters

    params = stream_params(params_file, bootstrap)
    found = (letter for letter in read_letters(params) if reason in letter.reason)
    counts, kept = gathered(found, limit, lambda letter: _kind(letter.reason))
    if as_json:
        letters = [_described(letter) for letter in kept]
        click.echo(json.dumps({"total": counts.total(), "reasons": dict(counts), "letters": letters}))
        return
    for letter in kept:
        source = f"{letter.topic} {letter.source_partition}:{letter.source_offset}"
        line = f"{letter.place:>8}  {written_at(letter)}  {source}  {_size(letter):>9} B  {letter.reason}"
        click.echo(printable(line))
    show_counts(counts, "dead letters")


@group.command()
@click.argument("place", metavar="PARTITION:OFFSET")
@click.option("--raw", is_flag=True, help="Write the original bytes, and nothing else, to standard output.")
@bootstrap_option
@params_option
@json_option
def show(place: str, raw: bool, bootstrap: str | None, params_file: Path, as_json: bool) -> None:
    """Show one dead letter whole. In JSON its key and value are base64."""
    from fraudline.stream.dead_letter_topic import read_letter

    letter = read_letter(stream_params(params_file, bootstrap), *place_of(place, _LISTED))
    if raw:
        click.echo(letter.value or b"", nl=False)
    elif as_json:
        click.echo(json.dumps({**_described(letter), "key": _base64(letter.key), "value": _base64(letter.value)}))
    else:
        for name, text in _described(letter).items():
            click.echo(printable(f"{name:>10}  {text}"))
        click.echo(printable((letter.value or b"").decode("utf-8", errors="backslashreplace"), kept="\t\n"))


@group.command()
@click.option("--letter", metavar="PARTITION:OFFSET", default="", help="Only this one, also when it was sent before.")
@click.option("--limit", type=click.IntRange(1), help="Letters at most.")
@click.option("--dry-run", is_flag=True, help="Say how many letters there are, and send nothing.")
@bootstrap_option
@params_option
@json_option
def replay(
    letter: str, limit: int | None, dry_run: bool, bootstrap: str | None, params_file: Path, as_json: bool
) -> None:
    """Send dead letters back to the topic they came from.

    Without --letter: every one since the last replay, each exactly once, also when a replay is interrupted and run
    again. What is still wrong becomes a new dead letter. A letter whose value was cut is left.
    """
    from rich.progress import Progress

    from fraudline.stream import dead_letter_topic as topic

    params = stream_params(params_file, bootstrap)
    if dry_run:
        result = topic.Replayed(0, topic.waiting(params))
    elif letter:
        topic.replay_letter(params, topic.read_letter(params, *place_of(letter, _LISTED)))
        result = topic.Replayed(1, 0)
    else:
        with Progress(transient=True) as progress:
            task = progress.add_task("replaying", total=limit or topic.waiting(params))
            result = topic.replay_letters(
                params, limit=limit, on_progress=lambda sent: progress.update(task, completed=sent)
            )
    show_replayed(result, as_json)


def stream_params(params_file: Path, bootstrap: str | None) -> "StreamParams":
    """The section ``stream``, at another broker where one is given."""
    return load_params(params_file).with_bootstrap(bootstrap).stream


def _described(letter: "DeadLetter") -> dict[str, Any]:
    return {
        "letter": letter.place,
        "reason": letter.reason,
        "topic": letter.topic,
        "partition": letter.source_partition,
        "offset": letter.source_offset,
        "written": written_at(letter),
        "bytes": _size(letter),
        "whole": letter.cut_from is None,
        "masked": letter.masked,
    }


def _size(letter: "DeadLetter") -> int:
    return len(letter.value or b"") if letter.cut_from is None else letter.cut_from


def _kind(reason: str) -> str:
    """The reason's field: what letters of one cause have in common."""
    return reason.split(":", 1)[0]


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()
