"""``fraudline drift``: production against training."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from fraudline.cli.labelled import say_figures
from fraudline.cli.options import (
    INCONCLUSIVE,
    bootstrap_option,
    json_option,
    load_params,
    metrics_options,
    params_option,
    publish,
    spoken,
)
from fraudline.cli.serve import newest_artifact
from fraudline.core.errors import DriftFound, UsageError
from fraudline.core.files import read_json

folder = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("decisions", required=False, type=click.Path(path_type=Path, exists=True))
@click.option("--topic", is_flag=True, help="Take the newest decisions of this model from Kafka instead of a file.")
@click.option("--newest", type=click.IntRange(1_000), help="Decisions to read of the topic; monitor.topic_rows.")
@bootstrap_option
@click.option("--model", type=folder, help="Folder of the artifact; default: the newest packaged one.")
@click.option("--days", default=0, show_default=True, type=click.IntRange(0), help="The newest days only; 0 for all.")
@click.option("--report", default="build/drift", show_default=True, type=click.Path(path_type=Path, file_okay=False),
              help="Folder to write: drift.json and index.html.")  # fmt: skip
@click.option("--labels", type=folder, help="Data set with the labels that arrived: measures precision and recall.")
@click.option("--evaluation", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="metrics.json of step evaluate, to compare them with.")  # fmt: skip
@metrics_options
@params_option
@json_option
def command(
    decisions: Path | None,
    topic: bool,
    newest: int | None,
    bootstrap: str | None,
    model: Path | None,
    days: int,
    report: Path,
    labels: Path | None,
    evaluation: Path | None,
    textfiles: Path | None,
    pushgateway: str,
    params_file: Path,
    as_json: bool,
) -> None:
    r"""Compare a window of DECISIONS with the traffic that the model learned from.

    DECISIONS is a file or a folder: parquet or JSON lines with event_time and the features, as the topic `decisions`
    holds them or `fraudline score --with-features` writes them. With --topic the topic itself is read, committed
    records only, and no consumer group moves. Hours and weekdays are compared like with like.

    \b
    Exit codes: 0 no drift · 10 drift · 9 too few transactions to tell.

    \b
    Try:
      fraudline score week.parquet --model DIR --history data --with-features -o decisions.parquet
      fraudline drift decisions.parquet --model DIR --report build/drift
      fraudline drift --topic --bootstrap localhost:9092 --newest 100000 --days 1
    """
    from fraudline.steps.drift import drift

    if topic == (decisions is not None):
        raise UsageError("Decisions come from a file or from the topic.", "Give DECISIONS or --topic.")
    params = load_params(params_file).with_bootstrap(bootstrap)
    if newest:
        params = params.model_copy(update={"monitor": params.monitor.model_copy(update={"topic_rows": newest})})
    console = spoken()
    with console.status(f"comparing {decisions or params.stream.topics.decisions}"):
        result = drift(
            decisions=decisions,
            model=model or newest_artifact(),
            report=report,
            params=params,
            days=days,
            labels=labels,
            evaluation=evaluation,
        )
    document = read_json(report / "drift.json")
    publish("drift", lambda metrics: metrics.drift(document), textfiles=textfiles, pushgateway=pushgateway)
    if performance := document["performance"]:
        publish("labels", lambda metrics: metrics.labels(performance), textfiles=textfiles, pushgateway=pushgateway)
    if as_json:
        click.echo(json.dumps(result, sort_keys=True))
    else:
        _say(console, result, report)
        if performance:
            say_figures(performance, params.monitor.label_rows_min)
    page = f"Read {report / 'index.html'}."
    if result["worse"]:
        problem = f"Matured labels say that {' and '.join(result['worse'])} fell"
        raise DriftFound(f"{problem} below what the evaluation measured.", page)
    if result["verdict"] == "drift":
        raise DriftFound(f"The traffic drifted: {', '.join(result['drifted'][:5])}.", page)
    if result["verdict"] == "inconclusive":
        click.get_current_context().exit(INCONCLUSIVE)


def _say(console: Console, result: Mapping[str, Any], report: Path) -> None:
    console.print(
        f"[bold]{result['verdict']}[/]  {result['rows']:,} transactions  {report / 'index.html'}", soft_wrap=True
    )
