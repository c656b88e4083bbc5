"""``fraudline audit``: one decision traced back, and the trail of all of them outside Kafka."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from fraudline.cli.options import (
    bootstrap_option,
    by_option,
    json_option,
    load_params,
    output,
    params_option,
    present,
    spoken,
)
from fraudline.core.clock import now
from fraudline.core.errors import StateError, UsageError
from fraudline.core.words import counted, printable

file = click.Path(path_type=Path, exists=True, dir_okay=False)
folder = click.Path(path_type=Path, exists=True, file_okay=False)
_SHOWN = ("card", "record", "times", "model", "thresholds", "data", "code", "run", "gate")


@click.group()
def group() -> None:
    r"""Show where a decision came from; keep the decisions where a change is found.

    \b
    Try:
      fraudline audit show t0000123 -o t0000123.html
      fraudline audit export -o audit
      fraudline audit verify audit --head "$(cat head-kept-elsewhere)" --topic
    """


@group.command()
@click.argument("transaction_id")
@click.option("--from", "source", type=click.Path(path_type=Path, exists=True),
              help="Folder of an export, or JSON lines or parquet of decisions; default: the topic.")  # fmt: skip
@click.option("--store", type=click.Path(path_type=Path, file_okay=False), default=Path("artifacts"),
              show_default=True, help="Folder of artifacts by digest.")  # fmt: skip
@click.option("--thresholds", type=file, help="Thresholds file; default: thresholds.jsonl when it is there.")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write an HTML page.")
@bootstrap_option
@params_option
@json_option
def show(
    transaction_id: str,
    source: Path | None,
    store: Path,
    thresholds: Path | None,
    out: Path | None,
    bootstrap: str | None,
    params_file: Path,
    as_json: bool,
) -> None:
    """Trace the decision on TRANSACTION_ID back: reasons, thresholds, model, gate, MLflow run, revision, data.

    The artifact is verified by its digest and computes the score again from the features on the decision.
    """
    from fraudline.steps.audit import show as step

    default = Path("thresholds.jsonl")
    console = spoken()
    with console.status(f"tracing {transaction_id}"):
        document = step(
            transaction_id=transaction_id,
            params=load_params(params_file).with_bootstrap(bootstrap),
            store=store,
            source=source,
            thresholds=thresholds or (default if default.is_file() else None),
            page=out,
        )
    present(document, as_json, _print, out)


@group.command()
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the trail."
)
@click.option("--until", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
              help="Decisions appended before this moment (UTC); default: today's midnight.")  # fmt: skip
@click.option("--now", "today", is_flag=True, help="Up to the topic's end: today gets more than one file.")
@bootstrap_option
@params_option
@json_option
def export(
    out: Path, until: datetime | None, today: bool, bootstrap: str | None, params_file: Path, as_json: bool
) -> None:
    """Write the topic decisions into parquet files, one a UTC day, chained by hashes; goes on where it ended.

    What it prints as head (and writes into the file head) is to be kept elsewhere: `audit verify --head` then finds
    also an end that was cut off, or a trail that was made anew.
    """
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from fraudline.steps.audit import export as step

    if today and until:
        raise UsageError("--until and --now exclude each other.", "Give one of them.")
    moment = now() if today else until.replace(tzinfo=UTC) if until else None
    columns = (SpinnerColumn(), TextColumn("{task.completed:,} decisions"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("exporting", total=None)
        seen: Callable[[int], None] = lambda rows: progress.update(task, completed=rows)  # noqa: E731
        result = step(
            out=out, params=load_params(params_file).with_bootstrap(bootstrap), until=moment, on_progress=seen
        )
    if as_json:
        click.echo(json.dumps(result, sort_keys=True))
        return
    click.echo(
        f"{counted(result['rows'], 'decisions')} in {counted(result['files'], 'files')}, {result['total']:,} in all",
        err=True,
    )
    click.echo(result["head"])


@group.command()
@click.argument("trail", type=folder)
@click.option("--head", default="", help="A seal kept elsewhere; the chain must contain it.")
@click.option("--topic", is_flag=True, help="Ask the broker, too, whether the topic keeps 365 days.")
@bootstrap_option
@params_option
@json_option
def verify(trail: Path, head: str, topic: bool, bootstrap: str | None, params_file: Path, as_json: bool) -> None:
    """Check an exported TRAIL row by row; exit 6 when something was removed, changed, inserted or moved."""
    from fraudline.steps.audit import verify as step

    with spoken().status(f"verifying {trail}"):
        document = step(
            folder=trail, params=load_params(params_file).with_bootstrap(bootstrap), head=head.strip(), topic=topic
        )
    if as_json:
        click.echo(json.dumps(document, sort_keys=True))
    else:
        days = " to ".join(dict.fromkeys(document["days"]))
        click.echo(
            f"{counted(document['rows'], 'rows')} in {counted(document['files'], 'files')}, {days}; "
            f"head {document['head']}",
            err=True,
        )
        if document["expired"]:
            click.echo(f"{document['expired']:,} offsets were deleted by Kafka before they were exported", err=True)
        for finding in document["findings"]:
            click.echo(finding["text"])
    if not document["whole"]:
        raise StateError(
            f"{trail} is not what was exported: {document['findings'][0]['text']}.",
            "Find out who changed it; export the topic again into another folder to compare.",
        )


@group.command()
@click.option("--card", required=True, help="The card's identifier; - reads it from standard input.")
@click.option("--why", required=True, help="The reason; stands in the store of keys.")
@by_option
@bootstrap_option
@params_option
@json_option
def erase(card: str, why: str, by: str, bootstrap: str | None, params_file: Path, as_json: bool) -> None:
    """Erase a card (GDPR, article 17): destroy its key, and let every worker forget its state.

    Decisions, exports and dead letters of it cannot be read any more, and the chain of an export still verifies.
    """
    from fraudline.steps.audit import erase as step

    name = sys.stdin.readline().strip() if card == "-" else card
    result = step(card=name, params=load_params(params_file).with_bootstrap(bootstrap), by=by, why=why)
    if as_json:
        click.echo(json.dumps(result, sort_keys=True))
        return
    said = f"its key is destroyed ({result['pseudonym']})" if result["key_destroyed"] else "it had no key"
    click.echo(f"{said}; workers forget it at the record written to {', '.join(result['topics'])}", err=True)


@group.command()
@click.option("--master", required=True, type=file, help="The new master key's file: openssl rand -hex 32 > FILE.")
@params_option
@json_option
def rewrap(master: Path, params_file: Path, as_json: bool) -> None:
    """Change the master key of the cards' keys: wrap them under another one.

    Cards keep their keys and pseudonyms. A worker that still has the old master key ends (exit 6) before it writes
    anything under it: name the new one in stream.card_keys_master and start the workers again.
    """
    from fraudline.steps.audit import rewrap as step

    result = step(master=master, params=load_params(params_file))
    if as_json:
        click.echo(json.dumps(result, sort_keys=True))
        return
    click.echo(
        f"the keys of {counted(result['cards'], 'cards')} are wrapped under {master}: "
        "name it in stream.card_keys_master, and start the workers again",
        err=True,
    )


def _print(document: dict[str, Any]) -> None:
    from fraudline.steps.audit_page import lead, lines

    console = output()
    decision, score = document["decision"], document["score"]
    console.print(f"[bold]{decision.get('decision')}[/]  {lead(document)}", soft_wrap=True)
    reasons = score["reasons"] if "reasons" in score else [reason["text"] for reason in decision.get("reasons", [])]
    for reason in reasons:
        console.print(f"  · {printable(reason)}", soft_wrap=True, markup=False)
    if "same" in score:
        said = "is that of the artifact" if score["same"] else "is NOT that of the artifact"
        console.print(f"the recorded score {said} (difference {score['difference']:.2g})")
    for part in _SHOWN:
        console.print(f"[bold]{part}[/]")
        for name, value in lines(document[part]):
            console.print(f"  {name:28} {printable(value)}", soft_wrap=True, markup=False)
