"""``fraudline explain``: why one transaction got its score."""

from pathlib import Path
from typing import Any

import click
from rich.table import Table

from fraudline.cli.options import json_option, load_params, output, params_option, present, spoken
from fraudline.cli.serve import newest_artifact
from fraudline.core.words import printable

folder = click.Path(path_type=Path, exists=True, file_okay=False)
file = click.Path(path_type=Path, exists=True, dir_okay=False)
_ROWS = 10


@click.command()
@click.argument("transaction_id")
@click.option("--model", type=folder, help="Folder of the artifact; default: the newest packaged one.")
@click.option(
    "--data", "dataset", type=folder, help="Data set with the transaction and what came before; default: data."
)
@click.option("--decisions", type=file, help="JSON lines of the topic decisions or parquet, instead of a data set.")
@click.option("--profiles", type=folder, help="Merchant profiles; default: build/profiles when it is there.")
@click.option("--thresholds", type=file, help="A thresholds file, instead of the model's own thresholds.")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write an HTML page with a plot.")
@params_option
@json_option
def command(
    transaction_id: str,
    model: Path | None,
    dataset: Path | None,
    decisions: Path | None,
    profiles: Path | None,
    thresholds: Path | None,
    out: Path | None,
    params_file: Path,
    as_json: bool,
) -> None:
    r"""Explain the score of TRANSACTION_ID: each feature's share, what was expected, and the card's past.

    The features are made again by the kernel from everything before the transaction, or taken from its decision. The
    shares come from the model's graph and sum to the score.

    \b
    Try:
      fraudline explain t0000123 --data data -o why.html
      fraudline explain t0000123 --decisions decisions.jsonl --json
    """
    from fraudline.steps.explain import explain

    if decisions is None and dataset is None:
        dataset = Path("data")
    if profiles is None and decisions is None and Path("build/profiles").is_dir():
        profiles = Path("build/profiles")
    console = spoken()
    with console.status(f"explaining {transaction_id}"):
        document = explain(
            transaction_id=transaction_id,
            model=model or newest_artifact(),
            params=load_params(params_file),
            dataset=dataset,
            decisions=decisions,
            profiles=profiles,
            thresholds=thresholds,
            page=out,
        )
    present(document, as_json, _print, out)


def _print(document: dict[str, Any]) -> None:
    console = output()
    held, colour = document["thresholds"], {"allow": "green", "review": "yellow", "block": "red"}[document["decision"]]
    rank = "" if document["rank"] is None else f", above {document['rank']:.2%} of the validation scores"
    console.print(
        f"[bold {colour}]{document['decision']}[/]  score {document['score']:.3f}{rank}; reviewed from "
        f"{held['review']:.3f}, blocked from {held['block']:.3f}; model {document['model_version']}",
        soft_wrap=True,
    )
    for text in document["reasons"]:
        console.print(f"  - {printable(text)}", soft_wrap=True, markup=False)
    table = Table("feature", "value", "expected", "contribution", "share", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for entry in document["features"][:_ROWS]:
        shares = (f"{entry['contribution']:+.3f}", f"{entry['share']:.1%}")
        table.add_row(entry["feature"], entry["said"], entry["said_expected"], *shares)
    others = document["features"][_ROWS:]
    if others:
        rest = sum(entry["contribution"] for entry in others)
        table.add_row(f"{len(others)} others", "", "", f"{rest:+.3f}", f"{sum(e['share'] for e in others):.1%}")
    console.print(table)
