"""``fraudline retrain``: train again when something asks for it, and propose what comes of it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from fraudline.cli.options import json_option, load_params, output, params_option, spoken, with_environment
from fraudline.cli.promote import key_option, repo_option, to_option
from fraudline.core.clock import now
from fraudline.core.errors import GateFailed, UsageError
from fraudline.core.files import local_path

if TYPE_CHECKING:
    from fraudline.ops.reproduce import ServerTrainer
    from fraudline.steps.params import Params

folder = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.option("--if-needed", is_flag=True, help="Let the triggers and limits of the section renew decide.")
@click.option("--why", default="", help="Train whatever the triggers say; the reason stands in the journal.")
@click.option(
    "--history", is_flag=True, help="Print the journal, looks that waited for one reason in a line, and do nothing."
)
@click.option("--journal", type=folder, default=Path("renewal"), show_default=True,
              help="Folder of the journal: the memory of what was decided, begun and proposed.")  # fmt: skip
@click.option("--drift", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="Report of `fraudline drift` on the champion's decisions (with --labels: performance).")  # fmt: skip
@click.option("--prometheus", envvar="FRAUDLINE_PROMETHEUS", show_envvar=True, default="",
              help="Prometheus whose alerts Drift and PerformanceWorse are signs, too.")  # fmt: skip
@click.option("--data-dvc", type=click.Path(path_type=Path, dir_okay=False), default=Path("data.dvc"),
              show_default=True, help="The data set's .dvc file.")  # fmt: skip
@click.option(
    "--host",
    envvar="KF_PIPELINES_ENDPOINT",
    show_envvar=True,
    default="",
    help="Train on this Kubeflow Pipelines server.",
)
@click.option(
    "--kfp-token",
    envvar="FRAUDLINE_KFP_TOKEN",
    show_envvar=True,
    default="",
    help="Its bearer token; better by the variable.",
)
@click.option("--namespace", default="", help="Namespace there, where it has many users.")
@click.option("--data-repo", default="", help="Git address that the cluster clones the .dvc file from, with --host.")
@click.option("--revision", default="main", show_default=True, help="Git revision of the data, with --data-repo.")
@click.option("--remote", envvar="FRAUDLINE_REMOTE", show_envvar=True, default="",
              help="Instead of --data-repo: the repository whose branch main has data, parameters and pipeline, with "
                   "--host.")  # fmt: skip
@click.option("--compiled", type=click.Path(path_type=Path), default=Path("pipelines/training.yaml"),
              show_default=True, help="The compiled pipeline, with --host.")  # fmt: skip
@click.option("--store", default="/mnt/store", show_default=True, help="Artifact store there, with --host.")
@to_option
@key_option
@click.option("--token", envvar="FRAUDLINE_FORGE_TOKEN", show_envvar=True, default="",
              help="Token that may open pull requests; better by the variable.")  # fmt: skip
@repo_option
@params_option
@json_option
def command(
    if_needed: bool,
    why: str,
    history: bool,
    journal: Path,
    drift: Path | None,
    prometheus: str,
    data_dvc: Path,
    host: str,
    kfp_token: str,
    namespace: str,
    data_repo: str,
    revision: str,
    remote: str,
    compiled: Path,
    store: str,
    to: str,
    key: Path | None,
    token: str,
    repo: Path,
    params_file: Path,
    as_json: bool,
) -> None:
    r"""Look at drift, matured labels, new data and the calendar; train, gate and propose where they ask for it.

    \b
    Try:
      fraudline retrain --if-needed --drift build/drift --key ~/.fraudline/promotion.key     `dvc repro`, here
      fraudline retrain --if-needed --host http://ml-pipeline:8888 --remote GIT_ADDRESS      a Kubeflow run
      fraudline retrain --why "new merchant categories"
      fraudline retrain --history

    Made to be run every few minutes. The same data and parameters are trained once and proposed once, also when two
    looks come at once or one is killed: the next look goes on. Without --key a blessed model stays in the registry.

    \b
    Exit codes: 0 done, or nothing to do · 4 the data or the model was refused · 8 a service does not answer
    """
    if history:
        _history(journal, as_json)
        return
    if if_needed == bool(why):
        raise UsageError("Either the triggers decide or you do.", "Give --if-needed, or --why with your reason.")
    if remote and not host:
        raise UsageError(
            "What a remote holds is trained on a cluster.", "Give --host, or leave out --remote (FRAUDLINE_REMOTE)."
        )
    from fraudline.ops.reproduce import DvcTrainer
    from fraudline.steps.promote import promote
    from fraudline.steps.retrain import retrain
    from fraudline.steps.retrain_signs import look

    def propose(noted: Mapping[str, Any]) -> Mapping[str, Any]:
        if key is None:
            raise UsageError("A promotion is signed.", "Name the key with --key or FRAUDLINE_SIGNING_KEY.")
        stored = local_path(noted["uri"])
        return promote(to=to, key=key, params=params, repo=repo, token=token, artifact=stored)

    with ExitStack() as stack:
        stack.enter_context(spoken().status("looking"))
        if remote:
            place = stack.enter_context(_main_of(remote, token, data_dvc, compiled))
        else:
            place = Place(load_params(params_file), Path(), data_repo, revision)
        params = place.params
        trainer: DvcTrainer | ServerTrainer = DvcTrainer(Path(), journal)
        if host:
            trainer = _on_a_server(place, host, kfp_token, namespace, compiled, data_dvc, store, to)
        result = retrain(
            folder=journal,
            signs=look(params=params, data_dvc=place.folder / data_dvc, drift=drift, prometheus=prometheus),
            params=params.renew,
            now=now(),
            trainer=trainer,
            propose=None if host or key is None else propose,
            asked=why,
        )
    if as_json:
        click.echo(json.dumps(result, sort_keys=True))
    else:
        _say(result)
    if result["action"] == "refused":
        raise GateFailed(result["problem"], "What was refused is not trained again: bring other data.")


@dataclass(frozen=True, slots=True)
class Place:
    """Where parameters, the .dvc file and the compiled pipeline are, and where a cluster finds the data.

    Attributes:
        params: that hold there.
        folder: of the two files.
        repo: Git address of the data; "" for none.
        revision: of the data.
    """

    params: "Params"
    folder: Path
    repo: str
    revision: str


@contextmanager
def _main_of(remote: str, token: str, *files: Path) -> Iterator[Place]:
    """The branch main of a remote, at one revision for everything."""
    from fraudline.core.files import write_text
    from fraudline.ops.gitops.repository import Clone
    from fraudline.steps.promote import params_in

    with Clone.of(remote, "main", token) as clone:
        for file in files:
            if text := clone.read(file.as_posix()):
                write_text(clone.folder / file, text)
        yield Place(with_environment(params_in(clone)), clone.folder, remote, clone.base)


def _on_a_server(
    place: Place, host: str, token: str, namespace: str, compiled: Path, data_dvc: Path, store: str, to: str
) -> "ServerTrainer":
    from fraudline.ops.pipeline import arguments_of
    from fraudline.ops.pipeline_server import PipelineServer
    from fraudline.ops.reproduce import ServerTrainer
    from fraudline.steps.dvc_files import parse_dvc_file, read_dvc_file
    from fraudline.steps.promote import with_address

    if not place.repo:
        raise UsageError(
            "The cluster needs to know where the data's .dvc file is.", "Give --remote or --data-repo GIT_ADDRESS."
        )
    md5 = parse_dvc_file(read_dvc_file(place.folder / data_dvc), str(data_dvc)).md5

    def make() -> dict[str, Any]:
        return arguments_of(
            with_address(place.params, place.folder),
            data_dvc=data_dvc.as_posix(),
            repo=place.repo,
            revision=place.revision,
            md5=md5,
            store=store,
            promote_to=to,
        )

    return ServerTrainer(PipelineServer(host, token=token, namespace=namespace), place.folder / compiled, make)


def _say(result: Mapping[str, Any]) -> None:
    did = "served already, nothing to propose" if result["action"] == "served" else result["action"]
    words = [did, result["run"], result.get("digest", "")[:12], result.get("url") or result.get("branch")]
    shown = "  ".join(word for word in words if word)
    spoken().print(f"[bold]{shown}[/]  {result['reason']}", soft_wrap=True)


def _said(numbered: tuple[int, Mapping[str, Any]]) -> Any:
    """The same for looks that waited for the same reason; every other line of the journal stands for itself."""
    number, line = numbered
    return line["reason"] if line.get("decision") == "wait" else number


def _history(journal: Path, as_json: bool) -> None:
    from fraudline.steps.retrain_journal import JOURNAL, read_journal

    lines = read_journal(journal / JOURNAL)
    if as_json:
        click.echo(json.dumps({"journal": lines}, sort_keys=True))
        return
    table = Table("at", "run", "what", "why", box=None, pad_edge=False)
    for _, same in groupby(enumerate(lines), key=_said):
        line, *again = [each for _, each in same]
        what = line.get("state", line.get("decision", ""))
        if again:
            what = f"{what}, {len(again) + 1:,} times up to {again[-1]['at']}"
        table.add_row(line["at"], line.get("run", ""), what, line.get("reason") or line.get("problem") or
                      line.get("url") or line.get("branch") or line.get("digest", "")[:12])  # fmt: skip
    output(markup=False).print(table)
