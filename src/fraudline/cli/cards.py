"""``fraudline cards``: the list of blocked cards, and the trail of what people did to it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fraudline.cli.dlq import stream_params
from fraudline.cli.options import FiniteRange, bootstrap_option, by_option, json_option, params_option
from fraudline.core.clock import HOUR_US, from_us, now_us, to_us
from fraudline.core.words import counted, printable

if TYPE_CHECKING:
    from fraudline.stream.messages import BlockedCard, CardAction

_HOURS = 24.0
cards_argument = click.argument("cards", metavar="CARD...", nargs=-1, required=True)
why_option = click.option("--why", required=True, help="The reason, for the trail and for the card's decisions.")


@click.group()
def group() -> None:
    r"""Blocked cards: every transaction of a card on this list is blocked until its time is over.

    A worker with stream.block_hours puts the cards of its decisions `block` there, and takes note of what is done here
    within about a second.

    \b
    Try:
      fraudline cards block c-4711 --hours 48 --why "reported stolen"
      fraudline cards list
      fraudline cards unblock c-4711 --why "the holder called"
      fraudline cards log
    """


@group.command()
@cards_argument
@click.option(
    "--hours", type=FiniteRange(0, 87_600, min_open=True), help="Duration in hours; default: stream.block_hours or 24."
)
@click.option(
    "--until", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]), help="Until then, UTC."
)
@why_option
@by_option
@bootstrap_option
@params_option
@json_option
def block(
    cards: tuple[str, ...],
    hours: float | None,
    until: datetime | None,
    why: str,
    by: str,
    bootstrap: str | None,
    params_file: Path,
    as_json: bool,
) -> None:
    """Put cards on the list, or change the time of those that are there."""
    from fraudline.stream.card_topic import block_cards

    if hours is not None and until is not None:
        raise click.UsageError("Give --hours or --until, not both.")
    params = stream_params(params_file, bootstrap)
    end = now_us() + int((hours or params.block_hours or _HOURS) * HOUR_US)
    if until is not None:
        end = to_us(until.replace(tzinfo=UTC))
    block_cards(params, cards, end, by=by, why=why)
    if as_json:
        click.echo(json.dumps({"blocked": list(cards), "until": _when(end)}))
    else:
        click.echo(f"{len(cards)} blocked until {_when(end)}", err=True)


@group.command()
@cards_argument
@why_option
@by_option
@bootstrap_option
@params_option
@json_option
def unblock(cards: tuple[str, ...], why: str, by: str, bootstrap: str | None, params_file: Path, as_json: bool) -> None:
    """Take cards off the list."""
    from fraudline.stream.card_topic import unblock_cards

    unblock_cards(stream_params(params_file, bootstrap), cards, by=by, why=why)
    if as_json:
        click.echo(json.dumps({"unblocked": list(cards)}))
    else:
        click.echo(f"{len(cards)} unblocked", err=True)


@group.command("list")
@click.option("--expired", is_flag=True, help="Also those whose time is over.")
@bootstrap_option
@params_option
@json_option
def list_cards(expired: bool, bootstrap: str | None, params_file: Path, as_json: bool) -> None:
    """List the blocked cards: until when, who, why."""
    from fraudline.stream.card_topic import listed

    at = now_us()
    every = listed(stream_params(params_file, bootstrap))
    found = [entry for entry in every if expired or entry.until > at]
    if as_json:
        click.echo(json.dumps({"cards": [_described(entry) for entry in found]}))
        return
    for entry in found:
        said = " (over)" if entry.until <= at else ""
        click.echo(printable(f"{entry.card_id}  until {_when(entry.until)}{said}  by {entry.by}: {entry.why}"))
    over = len(every) - len(found)
    click.echo(counted(len(found), "cards") + (f"; {over:,} more are over (--expired)" if over else ""), err=True)


@group.command("log")
@click.option("--card", default="", help="Only this card's lines.")
@bootstrap_option
@params_option
@json_option
def log_actions(card: str, bootstrap: str | None, params_file: Path, as_json: bool) -> None:
    """Show the trail: who blocked or unblocked which card, when and why.

    What the worker blocked by itself stands in the topic `decisions`.
    """
    from fraudline.stream.card_topic import actions

    found = [line for line in actions(stream_params(params_file, bootstrap)) if card in ("", line.card_id)]
    if as_json:
        click.echo(json.dumps({"actions": [_line(action) for action in found]}))
        return
    for action in found:
        click.echo(printable(f"{_when(action.at)}  {action.action:<7}  {action.card_id}  {action.by}: {action.why}"))
    click.echo(f"{len(found):,} lines", err=True)


def _described(entry: "BlockedCard") -> dict[str, str]:
    return {
        "card_id": entry.card_id,
        "until": _when(entry.until),
        "blocked_at": _when(entry.blocked_at),
        "by": entry.by,
        "why": entry.why,
        "transaction_id": entry.transaction_id,
    }


def _line(action: "CardAction") -> dict[str, str]:
    until = {"until": _when(action.until)} if action.until else {}
    shared = {"action": action.action, "card_id": action.card_id, "at": _when(action.at), "by": action.by}
    return {**shared, "why": action.why, **until}


def _when(moment_us: int) -> str:
    return from_us(moment_us).isoformat(timespec="seconds")
