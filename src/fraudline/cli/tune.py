"""``fraudline tune``: search training parameters on the validation days."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fraudline.cli.options import FiniteRange, json_option, load_params, params_option, spoken

if TYPE_CHECKING:
    from fraudline.steps.tune import Heard

path = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--features", type=click.Path(path_type=Path, file_okay=False), default=Path("build/features"),
              show_default=True, help="Folder of step featurize.")  # fmt: skip
@click.option("--trials", type=click.IntRange(1), default=40, show_default=True,
              help="Finished trials of the study, those of earlier calls included.")  # fmt: skip
@click.option("--timeout", type=FiniteRange(min=0, min_open=True), help="Seconds after which no trial begins.")
@click.option("--study", default="tune", show_default=True, help="Name of the study; the same name goes on with it.")
@click.option("--space", type=path, help="YAML of the search space instead of the packaged one.")
@click.option("--max-rows", type=click.IntRange(100), help="Train on at most this many rows: quicker and coarser.")
@click.option("-o", "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("build/tune"),
              show_default=True, help="Folder of study.db, index.html, trials.json and best.yaml.")  # fmt: skip
@click.option("--write", type=path, help="Write what is better as a fragment of params.yaml to this file.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE",
              help="Measure this one point instead of searching, and print validation_ap=...; repeat it.")  # fmt: skip
@click.option("--katib", is_flag=True, help="Print the same search as a Katib experiment, and stop.")
@params_option
@json_option
def command(
    features: Path,
    trials: int,
    timeout: float | None,
    study: str,
    space: Path | None,
    max_rows: int | None,
    out: Path,
    write: Path | None,
    settings: tuple[str, ...],
    katib: bool,
    params_file: Path,
    as_json: bool,
) -> None:
    r"""Search better training parameters; judged on the later validation days, never on the test.

    A trial that is below the median of the others on a part of the rows is given up there. The study lies in a sqlite
    file: stop it with Ctrl-C and call it again to go on. Every trial is a run of MLflow below the one of the study.

    \b
    Try:
      fraudline tune --trials 40 --write best.yaml
      fraudline tune --trials 8 --max-rows 20000 --study quick
      fraudline tune --set train.epochs=12 --set train.hidden=[64,32]
      fraudline tune --katib | kubectl apply -f -
    """
    from fraudline.model.search import load_space, parse_point

    searched = load_space(space)
    if katib:
        from fraudline.ops.katib import manifest

        click.echo(manifest(searched, trials=trials), nl=False)
        return
    params = load_params(params_file)
    if max_rows is not None:
        params = params.model_copy(update={"train": params.train.model_copy(update={"max_rows": max_rows})})
    if settings:
        from fraudline.steps.tune_point import measure_point

        figures = measure_point(features=features, params=params, point=parse_point(settings))
        lines = "\n".join(f"{name}={value:.6f}" for name, value in figures.items())
        click.echo(json.dumps(figures, sort_keys=True) if as_json else lines)
        return
    from fraudline.core.files import write_text
    from fraudline.steps.tune import tune

    console = spoken()
    with _bar(console, study) as listener:
        result = tune(
            features=features,
            out=out,
            params=params,
            space=searched,
            trials=trials,
            study=study,
            timeout_s=timeout,
            listener=listener,
        )
    if write is not None and result["fragment"]:
        write_text(write, result["fragment"])
    if as_json:
        click.echo(json.dumps(result, sort_keys=True))
        return
    _said(console, result, out)
    click.echo(result["fragment"], nl=False)


@contextmanager
def _bar(console: Console, study: str) -> Iterator[Callable[["Heard"], None]]:
    """A progress bar of finished trials; without a terminal a line a trial."""
    columns = (TextColumn(f"study {study}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[said]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task("trials", total=None, said="")

        def heard(trial: "Heard") -> None:
            best = "" if trial.best is None else f"best AP {trial.best:.4f}"
            bars.update(task, completed=trial.finished, total=trial.of, said=best)
            if not console.is_terminal and trial.value is not None:
                state = "given up early" if trial.pruned else "finished"
                console.print(f"  trial {trial.finished} of {trial.of} {state} at AP {trial.value:.4f}, {best}")

        yield heard


def _said(console: Console, result: dict[str, Any], out: Path) -> None:
    best = result["best"]
    if best is None:
        console.print(f"[bold yellow]tune[/]  no trial was finished; see {out / 'index.html'}", soft_wrap=True)
        return
    console.print(
        f"[bold green]tune[/]  validation AP {best['value']:.4f} in trial {best['trial']}, "
        f"{result['default']:.4f} with params.yaml as it is; {result['trials']} trials, {result['pruned']} given up "
        f"early; report in {out / 'index.html'}",
        soft_wrap=True,
    )
    if not result["fragment"]:
        console.print("  no trial is better than params.yaml as it is: nothing to change", soft_wrap=True)
    important = sorted(result["importance"].items(), key=lambda entry: -entry[1])[:3]
    if important:
        console.print("  matters most: " + ", ".join(f"{name} {share:.0%}" for name, share in important))
