"""``fraudline alerts dead-letters``: look at the alerts that a sink did not take, and send them again."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fraudline.cli.dlq import stream_params
from fraudline.cli.letters import gathered, place_of, show_counts, show_replayed, written_at
from fraudline.cli.options import bootstrap_option, json_option, params_option
from fraudline.core.errors import UnavailableError
from fraudline.core.words import printable

if TYPE_CHECKING:
    from fraudline.stream.alert_letters import AlertLetter

_LISTED = "fraudline alerts dead-letters list"


@click.group("dead-letters")
def group() -> None:
    r"""Alerts that a sink did not take, with what it answered.

    \b
    Try:
      fraudline alerts dead-letters list --sink soc
      fraudline alerts dead-letters show 0:17
      fraudline alerts dead-letters replay alerts.yaml --dry-run
    """


@group.command("list")
@click.option("--sink", default="", help="Only letters to this sink.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Newest letters to show.")
@bootstrap_option
@params_option
@json_option
def list_letters(sink: str, limit: int, bootstrap: str | None, params_file: Path, as_json: bool) -> None:
    """List the letters, the newest last, and count them by sink."""
    from fraudline.stream.alert_letters import read_alert_letters

    found = (
        letter for letter in read_alert_letters(stream_params(params_file, bootstrap)) if sink in ("", letter.sink)
    )
    counts, kept = gathered(found, limit, lambda letter: letter.sink)
    if as_json:
        letters = [_described(letter) for letter in kept]
        click.echo(json.dumps({"total": counts.total(), "sinks": dict(counts), "letters": letters}))
        return
    for letter in kept:
        subject = f"{letter.sink}  {_subject(letter)}  {letter.reason}"
        click.echo(printable(f"{letter.place:>8}  {written_at(letter)}  {subject}"))
    show_counts(counts, "letters")


@group.command()
@click.argument("place", metavar="PARTITION:OFFSET")
@bootstrap_option
@params_option
@json_option
def show(place: str, bootstrap: str | None, params_file: Path, as_json: bool) -> None:
    """Show one letter whole."""
    from fraudline.stream.alert_letters import read_alert_letter

    letter = read_alert_letter(stream_params(params_file, bootstrap), *place_of(place, _LISTED))
    if as_json:
        click.echo(json.dumps({**_described(letter), "event": letter.event}))
        return
    for name, text in _described(letter).items():
        click.echo(printable(f"{name:>15}  {text}"))
    click.echo(json.dumps(letter.event, indent=1))


@group.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--letter", metavar="PARTITION:OFFSET", default="", help="Only this one, also when it was sent before.")
@click.option("--limit", type=click.IntRange(1), help="Letters at most.")
@click.option("--dry-run", is_flag=True, help="Say how many letters there are, and send nothing.")
@bootstrap_option
@params_option
@json_option
def replay(
    file: Path, letter: str, limit: int | None, dry_run: bool, bootstrap: str | None, params_file: Path, as_json: bool
) -> None:
    """Send letters to their sinks again, as the routing FILE describes these now.

    Without --letter: every one since the last replay, one try each, at the sink's rate and under the idempotency key
    that it had. What is still not taken becomes a new letter.
    """
    from rich.progress import Progress

    from fraudline.stream import alert_letters as letters
    from fraudline.stream.alert_router import Routing
    from fraudline.stream.dead_letter_topic import Replayed

    params, routing = stream_params(params_file, bootstrap), Routing.load(file)
    if dry_run:
        result = Replayed(0, letters.waiting(params))
    elif letter:
        found = letters.read_alert_letter(params, *place_of(letter, _LISTED))
        letters.replay_alert_letter(params, routing, found)
        result = Replayed(1, 0)
    else:
        with Progress(transient=True) as progress:
            task = progress.add_task("replaying", total=limit or letters.waiting(params))
            result = letters.replay_alert_letters(
                params, routing, limit=limit, on_progress=lambda done: progress.update(task, completed=done)
            )
    show_replayed(result, as_json)
    if result.left and not dry_run:
        raise UnavailableError(f"{result.left:,} letters were not taken.", f"See why: `{_LISTED}`; then replay again.")


def _described(letter: "AlertLetter") -> dict[str, Any]:
    return {
        "letter": letter.place,
        "sink": letter.sink,
        "reason": letter.reason,
        "idempotency_key": letter.idempotency_key,
        "written": written_at(letter),
        "type": letter.event.get("type", ""),
        "subject": _subject(letter),
    }


def _subject(letter: "AlertLetter") -> str:
    return str(letter.event.get("subject", ""))
