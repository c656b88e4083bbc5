"""``fraudline produce``: transactions onto the topic, at a given rate."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fraudline.cli.options import FiniteRange, bootstrap_option, json_option, load_params, params_option
from fraudline.cli.traced import traced, tracing_option
from fraudline.core.words import counted

if TYPE_CHECKING:
    import pyarrow as pa


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True), required=False)
@click.option(
    "--generate-minutes",
    type=FiniteRange(min=0, min_open=True),
    help="Generate this much traffic after the default set instead.",
)
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), help="First day of the data set to send.")
@click.option("--end", type=click.DateTime(["%Y-%m-%d"]), help="Day after the last one.")
@bootstrap_option
@click.option("--transport", type=click.Choice(["kafka-python", "confluent"]), help="The Kafka client.")
@click.option("--rate", type=FiniteRange(min=0), default=0.0, help="Transactions a second; 0 for as fast as it goes.")
@tracing_option
@click.option("--limit", type=click.IntRange(1), help="Transactions at most.")
@params_option
@json_option
def command(
    source: Path | None,
    generate_minutes: float | None,
    start: datetime | None,
    end: datetime | None,
    bootstrap: str | None,
    transport: str | None,
    rate: float,
    tracing: str | None,
    limit: int | None,
    params_file: Path,
    as_json: bool,
) -> None:
    r"""Send the transactions of SOURCE, keyed by card: a data set folder in time order, or a CSV or parquet file.

    \b
    Try:
      fraudline produce data --rate 500
      fraudline produce --generate-minutes 60        one campaign of each fraud kind in an hour
    """
    from rich.progress import Progress

    from fraudline.core.errors import UsageError
    from fraudline.data.generate import generate_live
    from fraudline.stream.produce import produce

    if (source is None) == (generate_minutes is None):
        raise UsageError("Give a data set folder, a file or --generate-minutes.", "See `fraudline produce --help`.")
    params = load_params(params_file)
    if source is not None:
        tables, total = _file(source) if source.is_file() else _days(source, start, end)
    else:
        table, _ = generate_live(params.data, minutes=generate_minutes or 0.0)
        tables, total = iter([table]), table.num_rows
    settings = (
        params.stream.tracing if tracing is None else params.stream.tracing.model_copy(update={"endpoint": tracing})
    )
    with Progress(transient=True) as progress, traced(settings, "fraudline-produce") as spans:
        task = progress.add_task("sending", total=min(total, limit or total))
        result = produce(
            tables,
            bootstrap=bootstrap or params.stream.bootstrap,
            topic=params.stream.topics.transactions,
            transport=transport or params.stream.transport,
            tls=params.stream.tls,
            timeout_s=params.stream.timeout_s,
            tracing=spans,
            rate=rate,
            limit=limit,
            on_progress=lambda sent: progress.update(task, completed=sent),
        )
    if as_json:
        click.echo(json.dumps({"transactions": result.transactions, "seconds": result.seconds}))
    else:
        click.echo(f"{counted(result.transactions, 'transactions')} in {result.seconds:.1f} s", err=True)


def _file(source: Path) -> "tuple[Iterator[pa.Table], int]":
    """The rows of a file of transactions, checked before the first is sent."""
    from fraudline.steps.score_rows import all_transactions

    table = all_transactions(source)
    return iter([table]), table.num_rows


def _days(dataset: Path, start: datetime | None, end: datetime | None) -> "tuple[Iterator[pa.Table], int]":
    """The tables of the chosen days, each read when it is its turn, and how many rows they hold at most."""
    from fraudline.data.store import days, read_meta, read_transactions

    first = start.date() if start else None
    last = end.date() if end else None
    chosen = [d for d in days(dataset) if (first is None or d >= first) and (last is None or d < last)]
    tables = (read_transactions(dataset, day, day + timedelta(days=1)) for day in chosen)
    return tables, int(read_meta(dataset)["transactions"])
