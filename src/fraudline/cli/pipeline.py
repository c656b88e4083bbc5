"""``fraudline pipeline``: the Kubeflow pipelines, here and on a cluster."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fraudline.cli.options import json_option, load_params, output, params_option, spoken

if TYPE_CHECKING:
    from fraudline.steps.params import Params

compiled_option = click.option(
    "--compiled", type=click.Path(path_type=Path), default=Path("pipelines/training.yaml"), show_default=True,
    help="The compiled pipeline (`python -m pipelines.training`).",
)  # fmt: skip
data_option = click.option("--data-dvc", default="data.dvc", show_default=True, help="The data set's .dvc file.")
store_option = click.option("--store", default="artifacts", show_default=True, help="Artifact store.")
cluster_store_option = click.option(
    "--store", default="/mnt/store", show_default=True, help="Artifact store: below the volume that package mounts."
)
host_option = click.option(
    "--host", envvar="KF_PIPELINES_ENDPOINT", show_envvar=True, required=True,
    help="Address of the Kubeflow Pipelines API, for example http://localhost:8888.",
)  # fmt: skip
token_option = click.option(
    "--token", envvar="FRAUDLINE_KFP_TOKEN", show_envvar=True, default="", help="Bearer token, where one is asked for."
)
namespace_option = click.option("--namespace", default="", help="Namespace, where the server has many users.")
experiment_option = click.option(
    "--experiment", default="fraudline", show_default=True, help="Experiment that the runs belong to."
)
repo_option = click.option(
    "--repo", required=True, help="Git address that the cluster clones the data's .dvc file from."
)
promote_option = click.option(
    "--promote-to", default="", metavar="ENVIRONMENT",
    help="End in a pull request that proposes the model there (`production`); default: none.",
)  # fmt: skip

_Command = TypeVar("_Command", bound=Callable[..., Any])


def server_options(command: _Command) -> _Command:
    """The options of every command that asks a server."""
    for option in (json_option, namespace_option, token_option, host_option):
        command = option(command)
    return command


def pipeline_options(command: _Command) -> _Command:
    """The options of every command that sends the pipeline to a server."""
    for option in (
        *(params_option, promote_option, cluster_store_option, data_option),
        *(compiled_option, experiment_option, repo_option),
    ):
        command = option(command)
    return command


@click.group()
def group() -> None:
    r"""Run the training pipeline here, or submit and schedule it on Kubeflow Pipelines.

    \b
    Try:
      fraudline pipeline run                                     here, each step a process
      kubectl -n kubeflow port-forward svc/ml-pipeline 8888 &
      fraudline pipeline submit --host http://localhost:8888 --repo GIT_ADDRESS --revision main
      fraudline pipeline status --host http://localhost:8888 RUN_ID
    """


@group.command("run")
@compiled_option
@data_option
@store_option
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/pipeline"), show_default=True,
              help="Folder of the run's outputs.")  # fmt: skip
@click.option("--containers", is_flag=True, help="Each step in its image (make images), read-only and without root.")
@params_option
@json_option
def run_command(
    compiled: Path, data_dvc: str, store: str, out: Path, containers: bool, params_file: Path, as_json: bool
) -> None:
    """Run the compiled pipeline on this machine: each step a process, or a container as on a cluster."""
    from fraudline.ops.pipeline import Containers, arguments_of, run_local

    console = spoken()
    colours = {"started": "dim", "SUCCESS": "green", "FAILURE": "red"}
    arguments = arguments_of(load_params(params_file), data_dvc=data_dvc, store=store)

    def notice(task: str, state: str) -> None:
        console.print(f"  [{colours.get(state, 'dim')}]{state.lower():8}[/] {task}")

    run = run_local(compiled, arguments, out, notice, containers=Containers((Path.cwd(),)) if containers else None)
    if as_json:
        click.echo(json.dumps({"folder": str(run.folder)}))
    else:
        console.print(f"[bold green]pipeline[/]  every step succeeded; outputs in {run.folder}", soft_wrap=True)


@group.command("submit")
@server_options
@pipeline_options
@click.option("--revision", required=True, help="Git revision of the data.")
@click.option("--md5", default="", help="md5 of the data, a part of the cache key; default: read from --data-dvc here.")
def submit_command(
    host: str,
    token: str,
    namespace: str,
    as_json: bool,
    experiment: str,
    repo: str,
    revision: str,
    md5: str,
    compiled: Path,
    data_dvc: str,
    store: str,
    promote_to: str,
    params_file: Path,
) -> None:
    """Submit the compiled pipeline to a Kubeflow Pipelines server.

    The run is named by pipeline, revision and time. With an MLflow server in params.yaml (registry.tracking_uri) every
    step records to one MLflow run.
    """
    from fraudline.core.clock import now
    from fraudline.ops.pipeline import arguments_of
    from fraudline.ops.pipeline_server import PipelineServer
    from fraudline.ops.tracking import end_run, open_run
    from fraudline.steps.dvc_files import parse_dvc_file, read_dvc_file

    data_md5 = md5 or parse_dvc_file(read_dvc_file(Path(data_dvc)), data_dvc).md5
    params = _for_pods(load_params(params_file), promote_to)
    registry = params.registry
    server = PipelineServer(host, token=token, namespace=namespace)
    with ExitStack() as undo:
        if registry.tracking_uri.startswith("http") and not registry.run_id:
            registry = registry.model_copy(update={"run_id": open_run(registry, f"pipeline {revision[:12]}")})
            undo.callback(end_run, registry, succeeded=False)
        arguments = arguments_of(
            params.model_copy(update={"registry": registry}),
            data_dvc=data_dvc,
            repo=repo,
            revision=revision,
            md5=data_md5,
            store=store,
            promote_to=promote_to,
        )
        name = f"{compiled.stem} {revision[:12]} {now():%Y-%m-%d %H:%M:%S}"
        run = server.submit(compiled, arguments, experiment=experiment, name=name)
        undo.pop_all()
    if as_json:
        click.echo(json.dumps({"run_id": run.run_id, "url": run.url, "mlflow_run_id": registry.run_id}))
    else:
        click.echo(run.url)


@group.command("schedule")
@server_options
@pipeline_options
@click.option("--revision", default="main", show_default=True, help="Git branch whose newest data each run takes.")
@click.option("--cron", default="0 0 6 * * 1", show_default=True, help="When, in UTC; six fields, seconds first.")
@click.option("--train-days", type=click.IntRange(1), help="Train on the newest so many days: a rolling window.")
@click.option("--name", default="fraudline-training", show_default=True, help="Name of the schedule.")
def schedule_command(
    host: str,
    token: str,
    namespace: str,
    as_json: bool,
    experiment: str,
    repo: str,
    revision: str,
    cron: str,
    train_days: int | None,
    name: str,
    compiled: Path,
    data_dvc: str,
    store: str,
    promote_to: str,
    params_file: Path,
) -> None:
    """Run the pipeline every week on the data that its branch then has.

    There is one schedule of a name: asked for again it stays, changed it is replaced.
    The data's md5 is not known beforehand: the first step of each run reads it, and hands it to the others' cache keys.
    """
    from fraudline.ops.pipeline import arguments_of
    from fraudline.ops.pipeline_server import PipelineServer

    params = _for_pods(load_params(params_file), promote_to)
    if train_days is not None:
        params = params.model_copy(update={"split": params.split.model_copy(update={"train_days": train_days})})
    arguments = arguments_of(
        params, data_dvc=data_dvc, repo=repo, revision=revision, store=store, promote_to=promote_to
    )
    server = PipelineServer(host, token=token, namespace=namespace)
    made = server.schedule(compiled, arguments, experiment=experiment, name=name, cron=cron)
    click.echo(json.dumps(asdict(made)) if as_json else made.url)


def _for_pods(params: "Params", promote_to: str) -> "Params":
    from fraudline.steps.promote import with_address

    return with_address(params, Path()) if promote_to else params


@group.command("status")
@server_options
@click.argument("run_id")
def status_command(host: str, token: str, namespace: str, as_json: bool, run_id: str) -> None:
    """Tell how a run is doing, task by task.

    Exit code 0 while it runs and when it succeeded, 1 when it failed or was cancelled.
    """
    from rich.table import Table

    from fraudline.ops.pipeline_server import PipelineServer

    status = PipelineServer(host, token=token, namespace=namespace).status(run_id)
    if as_json:
        click.echo(json.dumps(asdict(status)))
    else:
        table = Table(
            *("task", "state", "seconds", "error"),
            title=f"{status.name}: {status.state or 'not begun'} {status.error}".strip(),
        )
        for task in status.tasks:
            table.add_row(task.name, task.state, "" if task.seconds is None else f"{task.seconds:.0f}", task.error)
        output(markup=False).print(table)
        click.echo(status.url)
    if status.state in ("FAILED", "CANCELED"):
        raise click.exceptions.Exit(1)
