"""``fraudline threshold``: compare thresholds on past traffic, and change them with a trail."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from fraudline.cli.options import (
    INCONCLUSIVE,
    bootstrap_option,
    by_option,
    json_option,
    load_params,
    output,
    params_option,
    present,
    spoken,
)
from fraudline.cli.serve import newest_artifact
from fraudline.core.errors import UsageError
from fraudline.core.words import counted

file = click.Path(path_type=Path, exists=True, dir_okay=False)
folder = click.Path(path_type=Path, exists=True, file_okay=False)
decisions_option = click.option(
    "--decisions", required=True, type=file, help="Scored transactions: parquet, CSV or JSON lines."
)
model_option = click.option("--model", type=folder, help="Folder of the artifact; default: the newest packaged one.")


trail_option = click.option(
    "--thresholds", default="thresholds.jsonl", show_default=True, type=click.Path(path_type=Path, dir_okay=False),
    help="The thresholds file: the newest line holds, all lines are the audit trail.",
)  # fmt: skip


@click.group()
def group() -> None:
    r"""Compare thresholds on the same traffic, and change them with an audit trail.

    \b
    Try:
      fraudline threshold compare artifacts/<digest> cost:0.01 --decisions scored.parquet --data data --page ab.html
      fraudline threshold adjust --decisions scored.parquet --dry-run
      fraudline threshold log
    """


@group.command("compare")
@click.argument("a")
@click.argument("b")
@decisions_option
@click.option("--data", "dataset", type=folder, help="Data set with the amounts and labels of the transactions.")
@click.option("--choose-days", type=click.IntRange(1), help="First days, to choose policies on; default: half of them.")
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False), help="Write an HTML page with plots.")
@params_option
@json_option
def compare_command(
    a: str,
    b: str,
    decisions: Path,
    dataset: Path | None,
    choose_days: int | None,
    page: Path | None,
    params_file: Path,
    as_json: bool,
) -> None:
    r"""Replay decisions under A and B: alerts, frauds caught, money, and the interval of the difference.

    \b
    A and B are each one of
      7.8                      review from this score, block nothing
      7.8:9.5                  review and block from these scores
      alert_budget:0.01:0.002  a policy (alert_budget, quantile, cost) with its figures for review and block
      thresholds.jsonl         a thresholds file
      artifacts/<digest>       what a model was packaged with

    A policy is chosen on the first days and both sides are judged on the days after. What costs and saves how much is
    in the section evaluate.cost of params.yaml.
    """
    from fraudline.steps.threshold import compare_thresholds

    console = spoken()
    with console.status("replaying"):
        document = compare_thresholds(
            a=a,
            b=b,
            decisions=decisions,
            params=load_params(params_file),
            dataset=dataset,
            choose_days=choose_days,
            page=page,
        )
    present(document, as_json, lambda found: output().print(comparison(found)), page)


@group.command("adjust")
@click.option("--decisions", type=file, help="Scored transactions: parquet, CSV or JSON lines.")
@click.option("--topic", is_flag=True, help="Take the newest decisions of this model from Kafka instead of a file.")
@bootstrap_option
@trail_option
@model_option
@by_option
@click.option("--dry-run", is_flag=True, help="Say what would happen; write nothing.")
@params_option
@json_option
def adjust_command(
    decisions: Path | None,
    topic: bool,
    bootstrap: str | None,
    thresholds: Path,
    model: Path | None,
    by: str,
    dry_run: bool,
    params_file: Path,
    as_json: bool,
) -> None:
    """Let the thresholds follow the newest scores towards the alert budget: one step at most, never out of bounds.

    Budgets, window, step and bounds are in the section threshold of params.yaml; nothing is changed while
    threshold.dynamic.enabled is false.
    """
    from fraudline.steps.threshold import adjust_thresholds

    if topic == (decisions is not None):
        raise UsageError("Scores come from a file or from the topic of decisions.", "Give --decisions FILE or --topic.")
    params = load_params(params_file).with_bootstrap(bootstrap)
    result = adjust_thresholds(
        decisions=decisions,
        thresholds=thresholds,
        params=params,
        by=by,
        model=model or newest_artifact(),
        dry_run=dry_run,
    )
    if as_json:
        click.echo(json.dumps(result, sort_keys=True))
        return
    console = output()
    for name in ("review", "block"):
        move = result[name]
        console.print(
            f"{name:7} {move['old']:.4g} -> {move['new']:.4g}  {move['rate']:.3%} alerted of a budget of "
            f"{move['budget']:.3%}: {move['why']}"
        )
    said = f"written to {thresholds}" if result["written"] else "nothing written"
    spoken().print(f"[bold green]threshold[/]  {said}", soft_wrap=True)


@group.command("set")
@click.option("--review", type=float, help="The new review threshold.")
@click.option("--block", type=float, help="The new block threshold.")
@click.option("--why", required=True, help="The reason; stands in the trail.")
@trail_option
@model_option
@by_option
@params_option
@json_option
def set_command(
    review: float | None,
    block: float | None,
    why: str,
    thresholds: Path,
    model: Path | None,
    by: str,
    params_file: Path,
    as_json: bool,
) -> None:
    """Set thresholds by hand, within the bounds of threshold.dynamic."""
    from fraudline.steps.threshold import set_thresholds

    result = set_thresholds(
        thresholds=thresholds,
        params=load_params(params_file),
        by=by,
        why=why,
        model=model or newest_artifact(),
        review=review,
        block=block,
    )
    if as_json:
        click.echo(json.dumps(result, sort_keys=True))
        return
    after = result["after"]
    spoken().print(
        f"[bold green]{thresholds}[/]  review {after['review']:.4g}, block {after['block']:.4g}", soft_wrap=True
    )


@group.command("log")
@trail_option
@json_option
def log_command(thresholds: Path, as_json: bool) -> None:
    """Print the audit trail, checked line by line."""
    from fraudline.decide.threshold_log import ThresholdLog

    trail = ThresholdLog.read(thresholds)
    if as_json:
        changes = [change.model_dump(mode="json") for change in trail.changes]
        click.echo(json.dumps({"changes": changes}, sort_keys=True))
        return
    table = Table("at", "by", "review", "block", "version", "why", box=None, pad_edge=False)
    for change in trail.changes:
        held = change.thresholds
        table.add_row(change.at, change.by, f"{held.review:.4g}", f"{held.block:.4g}", held.version, change.why)
    output(markup=False).print(table)


def comparison(document: Mapping[str, Any]) -> Table:
    """Both sides of a comparison beside each other, with the interval of the difference."""
    from fraudline.decide.compare_page import TITLES, between, shown, title_of

    names, gaps, currency = document["names"], document["difference"], document["currency"]
    confidence = document["bootstrap"]["confidence"]
    title = (
        f"{counted(document['rows'], 'decisions')} on {counted(document['days'], 'days')}, "
        f"{document['known']:,} with a known label, {counted(document['frauds'], 'frauds')}"
    )
    table = Table("", names["a"], names["b"], "difference", f"{confidence:.0%} interval", title=title, box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    if "thresholds" in document["a"]:
        table.add_row("review from", *(f"{document[side]['thresholds']['review']:.4g}" for side in ("a", "b")), "", "")
    for name in TITLES:
        gap, low, high = (
            shown(name, each, currency, signed=True) for each in (gaps[name]["value"], *gaps[name]["interval"])
        )
        sides = [shown(name, document[side][name], currency) for side in ("a", "b")]
        table.add_row(title_of(name, currency), *sides, gap, between(low, high))
    return table


@group.command("ab")
@click.argument("a")
@click.argument("b")
@decisions_option
@click.option("--data", "dataset", type=folder, required=True, help="Data set with the amounts and labels.")
@params_option
@json_option
def ab_command(a: str, b: str, decisions: Path, dataset: Path, params_file: Path, as_json: bool) -> None:
    r"""Say which of the threshold versions A and B, which decide side by side, is worth more; or that it is too early.

    \b
    stream.thresholds and stream.thresholds_b name two files; a share of the cards, drawn anew each week, gets the
    second. Look as often as you like and stop when it says so: the interval holds at every look at once.

    \b
    Exit codes: 0 one is worth more · 9 too early to say, or not to be said
    """
    from fraudline.data.money import money
    from fraudline.steps.threshold_ab import threshold_ab

    result = threshold_ab(decisions=decisions, dataset=dataset, a=a, b=b, params=load_params(params_file))
    if as_json:
        click.echo(json.dumps(result, sort_keys=True))
    else:
        worth, low, high = (
            money(each, result["currency"], signed=True) for each in (result["money_a_unit"], *result["interval"])
        )
        output().print(
            f"B less A: {worth} a card and week ({low} to {high}), "
            f"{result['units']:,} of them in {counted(result['weeks'], 'weeks')}: {result['say']}"
        )
    if not result["stop"]:
        click.get_current_context().exit(INCONCLUSIVE)
