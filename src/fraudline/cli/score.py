"""``fraudline score``: a file, offline."""

import json
import os
from pathlib import Path

import click

from fraudline.cli import progress
from fraudline.cli.options import json_option, load_params, params_option, spoken
from fraudline.cli.serve import newest_artifact
from fraudline.core.errors import UsageError
from fraudline.core.words import counted

path = click.Path(path_type=Path, exists=True)


@click.command()
@click.argument("file", type=path)
@click.option("--model", type=path, help="Folder of the artifact; default: the newest packaged one.")
@click.option("--history", type=path, help="What the cards did before: a data set folder or a file of transactions.")
@click.option("--checkpoint", type=path, help="A worker's checkpoint folder, instead of --history.")
@click.option("--profiles", type=path, help="Merchant profiles (`fraudline step profiles`).")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="CSV or parquet, by its suffix.")
@click.option("--thresholds", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Thresholds file (`fraudline threshold`) instead of the model's own thresholds.")  # fmt: skip
@click.option("--with-features", is_flag=True, help="Add the feature columns.")
@click.option("--jobs", type=click.IntRange(1), default=lambda: len(os.sched_getaffinity(0)),
              help="Threads of the model. Default: as many as there are cores.")  # fmt: skip
@params_option
@json_option
def command(
    file: Path,
    model: Path | None,
    history: Path | None,
    checkpoint: Path | None,
    profiles: Path | None,
    out: Path,
    thresholds: Path | None,
    with_features: bool,
    jobs: int,
    params_file: Path,
    as_json: bool,
) -> None:
    r"""Score FILE, a parquet or CSV of transactions or of feature rows, or a data set folder.

    The answers are those that the stream gives for the same rows; a row whose transaction_id came before is scored
    again. Columns of another system are imported first (`fraudline data import table`); the folder is then FILE.

    \b
    Try:
      fraudline score newdata --history data --profiles build/profiles -o out.csv
      fraudline score day.parquet --history data --profiles build/profiles -o out.csv
    """
    from fraudline.steps.score import score

    if (out.exists() and out.samefile(file)) or out.resolve().is_relative_to(file.resolve()):
        raise UsageError(f"{out} is what is to be scored, or in it.", "Name another file with -o.")
    params = load_params(params_file)
    if thresholds is not None:
        params = params.model_copy(update={"stream": params.stream.model_copy(update={"thresholds": str(thresholds)})})
    console = spoken()
    with progress.rows(console, f"scoring {file}"):
        result = score(
            file=file,
            model=model or newest_artifact(),
            out=out,
            params=params,
            history=history,
            checkpoint=checkpoint,
            profiles=profiles,
            with_features=with_features,
            jobs=jobs,
        )
    if as_json:
        click.echo(json.dumps(result, sort_keys=True))
    else:
        console.print(
            f"[bold green]{out}[/]  {counted(result['rows'], 'rows')}, {result['reviews']:,} to review, "
            f"{result['blocks']:,} to block, model {result['model_version']}"
        )
