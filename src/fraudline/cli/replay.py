"""``fraudline replay``: the past decided again."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from fraudline.cli.options import bootstrap_option, json_option, load_params, output, params_option, present, spoken
from fraudline.cli.serve import newest_artifact
from fraudline.core.errors import UsageError
from fraudline.core.words import counted

file = click.Path(path_type=Path, exists=True, dir_okay=False)
folder = click.Path(path_type=Path, exists=True, file_okay=False)
moment = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
_EXAMPLES = 5


@click.command()
@click.option("--from", "begin", required=True, type=moment, help="First event time (UTC).")
@click.option("--to", "end", required=True, type=moment, help="Event time after the last (UTC).")
@click.option("--model", type=folder, help="The artifact that decides now; default: the newest packaged one.")
@click.option(
    "--thresholds", default="", help="7.8, 7.8:9.5, a thresholds file or a model's folder; default: --model's."
)
@click.option("--rules", type=file, help="A rule file (`fraudline rules`) beside the model.")
@click.option("--data", "dataset", type=folder,
              help="Data set with the transactions and labels; with --topic: what came before it.")  # fmt: skip
@click.option("--topic", is_flag=True, help="Take the transactions from the topic instead.")
@click.option("--decisions", type=click.Path(path_type=Path, exists=True),
              help="What was decided then: a trail, JSON lines or parquet; with --topic: the topic.")  # fmt: skip
@click.option("--against", type=folder, help="Compare with this artifact on the same features.")
@click.option("--profiles", type=folder, help="Merchant profiles; with --data alone by default build/profiles.")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("build/replay.parquet"),
              show_default=True, help="Parquet of both decisions on each transaction.")  # fmt: skip
@click.option("--side-topic", default="", help="Write the new decisions to this topic, too.")
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False), help="Write an HTML page.")
@bootstrap_option
@params_option
@json_option
def command(
    begin: datetime,
    end: datetime,
    model: Path | None,
    thresholds: str,
    rules: Path | None,
    dataset: Path | None,
    topic: bool,
    decisions: Path | None,
    against: Path | None,
    profiles: Path | None,
    out: Path,
    side_topic: str,
    page: Path | None,
    bootstrap: str | None,
    params_file: Path,
    as_json: bool,
) -> None:
    r"""Decide the past again with another model or other thresholds: what would have changed, in alerts and in money.

    The state is warmed by everything before --from. Then stands beside now: as it was recorded, or --against another
    model. Intervals come from resampling whole cards.

    \b
    Try:
      fraudline replay --from 2026-06-01 --to 2026-07-01 --data data --thresholds 7.5 --page what-if.html
      fraudline replay --from 2026-07-05 --to 2026-07-12 --topic --data data --profiles build/profiles
    """
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from fraudline.steps.replay import RECORDED, replay

    if decisions is not None and against is not None:
        raise UsageError("--decisions and --against exclude each other.", "Give what to compare with once.")
    if dataset is None and not topic:
        dataset = Path("data")
    recorded = decisions is not None or (topic and against is None)
    if profiles is None and not topic and Path("build/profiles").is_dir():
        profiles = Path("build/profiles")
    columns = (SpinnerColumn(), TextColumn("{task.completed:,} transactions"))
    console = spoken()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("replaying", total=None)
        document = replay(
            begin=begin.replace(tzinfo=UTC),
            end=end.replace(tzinfo=UTC),
            model=model or newest_artifact(),
            out=out,
            params=load_params(params_file).with_bootstrap(bootstrap),
            thresholds=thresholds,
            rules=rules,
            dataset=dataset,
            topic=topic,
            before=RECORDED if recorded else against or newest_artifact(),
            decisions=decisions,
            profiles=profiles,
            side_topic=side_topic,
            page=page,
            on_progress=lambda seen: progress.update(task, completed=seen),
        )
    present(document, as_json, _print, out, page)


def _print(document: dict[str, Any]) -> None:
    from fraudline.cli.threshold import comparison
    from fraudline.data.money import money

    console = output()
    console.print(comparison(document))
    moved = {name: count for name, count in document["transitions"].items() if count and len({*name.split(" -> ")}) > 1}
    console.print("changed: " + (", ".join(f"{count:,} {name}" for name, count in moved.items()) or "nothing"))
    if document["unmatched"]:
        console.print(f"{counted(document['unmatched'], 'transactions')} had no decision then and are left out")
    if document["profiles"]["then"]:
        profiles = document["profiles"]
        then = ", ".join(version or "none" for version in profiles["then"])
        console.print(f"[yellow]merchant tables differ: then {then}, now {profiles['now'] or 'none'} (--profiles)[/]")
    for row in document["examples"][:_EXAMPLES]:
        amount = money(row["amount_minor"], row["currency"])
        console.print(
            f"  {row['transaction_id']:20} {row['before_decision']} -> {row['decision']}  {amount:>16}  {row['label']}",
            markup=False,
        )
