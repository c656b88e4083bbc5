"""``fraudline skew``: the stream's features against the offline ones."""

import json
from pathlib import Path

import click
from rich.table import Table

from fraudline.cli.options import json_option, load_params, metrics_options, output, params_option, publish, spoken
from fraudline.cli.serve import newest_artifact
from fraudline.core.errors import SkewFound
from fraudline.core.files import read_json
from fraudline.core.words import printable

path = click.Path(path_type=Path, exists=True)
folder = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("decisions", type=path)
@click.option("--transactions", required=True, type=path, help="What was decided on: a data set folder or a file.")
@click.option("--model", type=folder, help="Folder of the artifact; default: the newest packaged one.")
@click.option("--history", type=path, help="What the cards did before, as the worker was given it.")
@click.option("--profiles", type=folder, help="The worker's merchant profiles.")
@click.option("--report", default="build/skew", show_default=True, type=click.Path(path_type=Path, file_okay=False),
              help="Folder to write: skew.json and index.html.")  # fmt: skip
@metrics_options
@params_option
@json_option
def command(
    decisions: Path,
    transactions: Path,
    model: Path | None,
    history: Path | None,
    profiles: Path | None,
    report: Path,
    textfiles: Path | None,
    pushgateway: str,
    params_file: Path,
    as_json: bool,
) -> None:
    r"""Compare the features that the stream logged in DECISIONS with the same transactions offline, bit for bit.

    Says which feature differs, from which transaction on, by how much, and what would explain it.

    \b
    Exit codes: 0 all agree · 10 something differs.

    \b
    Try:
      fraudline skew decisions.jsonl --transactions data --history data --profiles build/profiles --model DIR
    """
    from fraudline.steps.skew import skew

    console = spoken()
    with console.status(f"comparing {decisions}"):
        result = skew(
            decisions=decisions,
            transactions=transactions,
            model=model or newest_artifact(),
            report=report,
            params=load_params(params_file),
            history=history,
            profiles=profiles,
        )
    document = read_json(report / "skew.json")
    publish("skew", lambda metrics: metrics.skew(document), textfiles=textfiles, pushgateway=pushgateway)
    if as_json:
        click.echo(json.dumps(result, sort_keys=True))
    else:
        table = Table("feature", "rows", "first transaction", "logged", "offline", "", box=None, pad_edge=False)
        for each in document["features"]:
            values = (f"{each['logged']:.6g}", f"{each['offline']:.6g}")
            table.add_row(
                each["feature"], f"{each['rows']:,}", printable(each["first"]["transaction_id"]), *values, each["hint"]
            )
        if document["features"]:
            output(markup=False).print(table)
        console.print(
            f"[bold]{result['differing']:,}[/] of {result['rows']:,} decisions differ  {report / 'index.html'}"
        )
    if result["differing"]:
        first = document["features"][0]
        problem = f"{result['differing']:,} decisions were made on other features: first {first['feature']}"
        raise SkewFound(f"{problem} of {first['first']['transaction_id']}.", f"Read {report / 'index.html'}.")
