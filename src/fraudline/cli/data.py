"""``fraudline data``: make or bring the transactions of ``data/``."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from fraudline.cli.options import FiniteRange, bootstrap_option, json_option, load_params, params_option, spoken
from fraudline.core.files import check_own


def _own(context: click.Context, parameter: click.Parameter, folder: Path) -> Path:
    """A folder that is replaced as a whole must be a data set, or empty, or new."""
    check_own(folder, "dataset.json", "a data set")
    return folder


folder_option = click.option(
    "-o", "--out", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path("data"), show_default=True,
    callback=_own,
    help="Data set folder; an earlier one is replaced as a whole, or stays as it was when something is wrong.",
)  # fmt: skip
source_argument = click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))


@click.group()
def group() -> None:
    r"""Make or bring the transactions that everything else works on.

    \b
    After a change:
      dvc add data && dvc push && git add data.dvc .dvc-store && git commit
      dvc repro
    """


@group.command("generate")
@folder_option
@click.option("--days", type=click.IntRange(1), help="Length of the set in days.")
@click.option("--cards", type=click.IntRange(50), help="Cards in the population.")
@click.option("--seed", type=click.IntRange(0), help="The same seed gives the same bytes.")
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), help="First day, UTC.")
@params_option
@json_option
def generate_command(
    folder: Path,
    days: int | None,
    cards: int | None,
    seed: int | None,
    start: datetime | None,
    params_file: Path,
    as_json: bool,
) -> None:
    """Generate transactions with five kinds of fraud, and the labels that arrive days later."""
    from fraudline.data.generate import generate
    from fraudline.data.params import GenerateParams
    from fraudline.data.store import write_dataset

    chosen = {"days": days, "cards": cards, "seed": seed, "start": start.date() if start else None}
    settings = {**load_params(params_file).data.model_dump(), **{k: v for k, v in chosen.items() if v is not None}}
    params = GenerateParams.parse(settings, "fraudline data generate")
    with spoken().status(f"generating {params.days} days of {params.cards} cards"):
        transactions, labels = generate(params)
        meta = {"name": "generated", "currency": params.currency, "generator": params.model_dump(mode="json")}
        summary = write_dataset(folder, transactions, labels, meta)
    _report(summary, folder, as_json)


@group.command("tokenize")
@source_argument
@click.option(
    "--column", "columns", multiple=True, required=True, help="A column of card numbers; give it once a column."
)
@click.option("--key-file", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Lines of `KEYID HEX`, 32 bytes; the first is used.")  # fmt: skip
@click.option("--key-id", default="", help="Use another key of the file.")
@click.option("--allow", multiple=True, help="A column whose digits may look like card numbers.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File to write.")
@json_option
def tokenize_command(
    source: Path,
    columns: tuple[str, ...],
    key_file: Path,
    key_id: str,
    allow: tuple[str, ...],
    out: Path,
    as_json: bool,
) -> None:
    r"""Replace card numbers by keyed tokens: the only form in which cards come in.

    A token is the key's id and 128 bits of HMAC-SHA256; the same number has the same token as long as the key stays.
    A card number left in another column is an error with its row, and nothing is written.

    \b
    Example:
      (umask 077; echo "k1 $(openssl rand -hex 32)" > card.key)
      fraudline data tokenize bank.csv --column pan --key-file card.key -o tokens.csv
      fraudline data import table tokens.csv --mapping bank.yaml
    """
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from fraudline.core.keyfile import read_keys
    from fraudline.core.tokens import Tokenizer
    from fraudline.data.tokenize import tokenize_file

    tokenizer = Tokenizer(read_keys(key_file), key_id)
    console = spoken()
    shown = (TextColumn("{task.description}  {task.completed:,.0f} rows"), TimeElapsedColumn())
    with Progress(*shown, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"tokens for {source.name}", total=None)
        done = tokenize_file(
            source, out, columns, tokenizer, allow=allow, progress=lambda rows: progress.advance(task, rows)
        )
    found = {"rows": done.rows, "replaced": done.replaced, "key_id": tokenizer.key_id, "out": str(out)}
    text = f"[bold green]{out}[/]  {done.replaced:,} of {done.rows:,} rows' numbers replaced, key {tokenizer.key_id}"
    click.echo(json.dumps(found)) if as_json else console.print(text)


@group.group("import")
def import_group() -> None:
    """Bring transactions from elsewhere: the file is checked first, and nothing is written when a row is wrong."""


@import_group.command("handbook")
@source_argument
@folder_option
@click.option("--label-delay-days", type=FiniteRange(0, 3_650), default=7.0, show_default=True,
              help="Days until a fraud is known.")  # fmt: skip
@json_option
def handbook_command(source: Path, folder: Path, label_delay_days: float, as_json: bool) -> None:
    """The Fraud Detection Handbook's columns (CSV or parquet), or their compact form."""
    from fraudline.data.importers.handbook import import_handbook

    _report(import_handbook(source, folder, label_delay_days=label_delay_days), folder, as_json)


@import_group.command("creditcard")
@source_argument
@folder_option
@json_option
def creditcard_command(source: Path, folder: Path, as_json: bool) -> None:
    """The ULB creditcard.csv (Time, V1..V28, Amount, Class)."""
    from fraudline.data.importers.creditcard import import_creditcard

    _report(import_creditcard(source, folder), folder, as_json)


@import_group.command("table")
@source_argument
@folder_option
@click.option("--mapping", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="YAML: column by column.")  # fmt: skip
@json_option
def table_command(source: Path, folder: Path, mapping: Path, as_json: bool) -> None:
    """Any CSV or parquet, with a YAML mapping of its columns."""
    from fraudline.data.importers.table import import_table

    _report(import_table(source, folder, mapping=mapping), folder, as_json)


@import_group.command("matrix")
@source_argument
@click.option("-o", "--out", "folder", type=click.Path(path_type=Path, file_okay=False), required=True,
              help="Folder to write, replaced as a whole: features/, dataset/, spec.yaml and params.yaml.")  # fmt: skip
@click.option("--spec", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="YAML: kind, tail and encoding of each column, and the label.")  # fmt: skip
@click.option("--test", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Rows of the test period; without it a share of the rows, --test-share, is used.")  # fmt: skip
@click.option("--test-share", type=FiniteRange(0, 1, min_open=True, max_open=True), default=0.3, show_default=True,
              help="Share of the rows, drawn at random, that is the test period.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Order in which rows get days.")
@json_option
def matrix_command(
    source: Path, folder: Path, spec: Path, test: Path | None, test_share: float, seed: int, as_json: bool
) -> None:
    r"""Any table of another domain as features: no cards, no merchants, the same steps from train on.

    \b
    Then, with the folder that was written:
      fraudline step train --features OUT/features --dataset OUT/dataset --model OUT/model --params OUT/params.yaml
      fraudline step evaluate --features OUT/features --dataset OUT/dataset --model OUT/model \
        --evaluation OUT/evaluation --params OUT/params.yaml
    """
    from fraudline.features.matrix import import_matrix

    check_own(folder, "spec.yaml", "an imported matrix")
    summary = import_matrix(source, folder, spec=spec, test=test, test_share=test_share, seed=seed)
    if as_json:
        click.echo(json.dumps(summary, sort_keys=True))
        return
    spoken().print(
        f"[bold green]{folder}[/]  {summary['rows']:,} rows, {summary['anomalies']:,} anomalies, "
        f"{summary['features']} features; next: fraudline step train --params {summary['params']} ..."
    )


def _report(summary: dict[str, Any], folder: Path, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(summary, sort_keys=True, default=str))
        return
    spoken().print(
        f"[bold green]{folder}[/]  {summary['transactions']:,} transactions, {summary['frauds']:,} frauds, "
        f"{summary['days']} days from {summary['start']}"
    )


@group.command("collect")
@click.option("--data-dvc", default="data.dvc", show_default=True, help="The data set's .dvc file in the repository.")
@bootstrap_option
@click.option("--token", envvar="FRAUDLINE_FORGE_TOKEN", show_envvar=True, default="",
              help="Token that may open pull requests; better by the variable.")  # fmt: skip
@click.option("--repo", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path(),
              show_default=True, help="A repository that knows the remote; its files are not touched.")  # fmt: skip
@click.option("--onto-generated", is_flag=True,
              help="Also onto a generated data set: what the stream holds is generated, too.")  # fmt: skip
@params_option
@json_option
def collect_command(
    data_dvc: str,
    bootstrap: str | None,
    token: str,
    repo: Path,
    onto_generated: bool,
    params_file: Path,
    as_json: bool,
) -> None:
    r"""Turn matured days of the stream into the data set's next version, on a branch.

    \b
    Topics decisions, transactions and labels are joined; days older than label_delay_days are taken, the newest
    renew.window_weeks kept. The data is validated and screened against poisoning, then `dvc add`ed, pushed to its store
    and committed; the pull request says what changed. The same topics on the same day make one branch. A generated
    data set, as a clone of fraudline has, is refused: real transactions do not belong among made-up ones.

    \b
    Exit codes: 0 proposed, or nothing new · 2 the data set is a generated one · 3 the data is wrong ·
    4 it looks poisoned: cards and days are named
    """
    from fraudline.core.clock import now
    from fraudline.steps.collect import collect

    params = load_params(params_file).with_bootstrap(bootstrap)
    with spoken().status("collecting"):
        result = collect(
            params=params, repo=repo, now=now(), data_dvc=data_dvc, token=token, onto_generated=onto_generated
        )
    if as_json:
        click.echo(json.dumps(result, sort_keys=True))
        return
    said = result["url"] or result["branch"] or "nothing new"
    spoken().print(f"[bold green]{result['action']}[/]  {said}  {result['new']:,} new transactions", soft_wrap=True)
