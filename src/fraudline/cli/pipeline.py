"""``fraudline pipeline``: the Kubeflow pipelines, here and on a cluster."""

import json
from pathlib import Path

import click
from rich.console import Console

from fraudline.cli.options import json_option, load_params, params_option

compiled_option = click.option(
    "--compiled", type=click.Path(path_type=Path), default=Path("pipelines/training.yaml"), show_default=True,
    help="The compiled pipeline (`python -m pipelines.training`).",
)  # fmt: skip
data_option = click.option("--data-dvc", default="data.dvc", show_default=True, help="The data set's .dvc file.")
store_option = click.option("--store", default="artifacts", show_default=True, help="Artifact store.")


@click.group()
def group() -> None:
    """Run the training pipeline under kfp's local runner, or submit it to Kubeflow Pipelines."""


@group.command("run")
@compiled_option
@data_option
@store_option
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/pipeline"), show_default=True)
@params_option
@json_option
def run_command(compiled: Path, data_dvc: str, store: str, out: Path, params_file: Path, as_json: bool) -> None:
    """Run the compiled pipeline on this machine, each step a process, as kfp's SubprocessRunner does it."""
    from fraudline.ops.pipeline import arguments_of, run_local

    console = Console(stderr=True, highlight=False)
    colours = {"started": "dim", "SUCCESS": "green", "FAILURE": "red"}
    arguments = arguments_of(load_params(params_file), data_dvc=data_dvc, store=store)

    def notice(task: str, state: str) -> None:
        console.print(f"  [{colours.get(state, 'dim')}]{state.lower():8}[/] {task}")

    run = run_local(compiled, arguments, out, notice)
    if as_json:
        click.echo(json.dumps({"folder": str(run.folder)}))
    else:
        console.print(f"[bold green]pipeline[/]  every step succeeded; outputs in {run.folder}", soft_wrap=True)


@group.command("submit")
@click.option("--host", required=True, help="Address of the Kubeflow Pipelines API, for example http://localhost:8888.")
@click.option("--experiment", default="fraudline", show_default=True, help="Experiment that the run belongs to.")
@click.option("--repo", required=True, help="Git address that the cluster clones the data's .dvc file from.")
@click.option("--revision", required=True, help="Git revision of the data.")
@click.option("--md5", default="", help="md5 of the data, a part of the cache key; default: read from --data-dvc here.")
@compiled_option
@data_option
@store_option
@params_option
@json_option
def submit_command(
    host: str,
    experiment: str,
    repo: str,
    revision: str,
    md5: str,
    compiled: Path,
    data_dvc: str,
    store: str,
    params_file: Path,
    as_json: bool,
) -> None:
    """Submit the compiled pipeline to a Kubeflow Pipelines server."""
    from fraudline.ops.pipeline import arguments_of, submit
    from fraudline.steps.fetch import parse_dvc_file, read_dvc_file

    arguments = arguments_of(
        load_params(params_file),
        data_dvc=data_dvc,
        repo=repo,
        revision=revision,
        md5=md5 or parse_dvc_file(read_dvc_file(Path(data_dvc)), data_dvc).md5,
        store=store,
    )
    run = submit(host, compiled, arguments, experiment=experiment)
    if as_json:
        click.echo(json.dumps({"run_id": run.run_id, "url": run.url}))
    else:
        click.echo(run.url)
