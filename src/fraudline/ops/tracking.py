"""One MLflow run from train to register, joined by the artifact's digest.

Train starts the run and tags it with the digest of what it made; every later step finds it by that digest::

    with step_run("train", params.registry) as run:
        run.params({"seed": 7})
        run.metric("loss", 0.12, step=3)
        run.made(digest)

    with step_run("evaluate", params.registry, digest=digest) as run:
        run.metrics({"ap": 0.71})

A run id in the parameters (a launcher's ``MLFLOW_RUN_ID``) is joined instead, and not ended by a step.
A run that a step fails in is failed, and tagged with that step, until the step succeeds.
A server that is away when a step begins ends the step; after ``run.outlast()``, or once the step has failed by itself,
what it does not take is left out with a warning.
Without a tracking address every call does nothing.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from fraudline.core.clock import now
from fraudline.core.errors import UnavailableError
from fraudline.core.log import get_logger
from fraudline.ops import provenance
from fraudline.ops.mlflow_client import artifact_root, connect, translated
from fraudline.ops.params import RegistryParams
from fraudline.ops.recorders import DIGEST_TAG, MlflowRun, NoRun, StepRun

log = get_logger(__name__)

BLESSED_TAG = "fraudline.blessed"
FAILED_TAG = "fraudline.failed_step"
"""The step that failed last; empty again when it is run again and succeeds."""
PARENT_TAG = "mlflow.parentRunId"
"""What MLflow nests runs by."""


@contextmanager
def step_run(step: str, settings: RegistryParams, *, digest: str = "") -> Iterator[StepRun]:
    """The run that ``step`` records to.

    Args:
        step: the step's name: names a run that is started, and tags the run with the time it took.
        settings: where to track; ``run_id`` names a run to join.
        digest: join the newest run tagged with this artifact digest, when there is one.

    Yields:
        A recorder; figures are sent in batches and when the block ends.

    Raises:
        UnavailableError: the tracking store does not answer.
    """
    if not settings.tracking_uri:
        yield NoRun()
        return
    client = connect(settings.tracking_uri)
    with translated(settings.tracking_uri):
        run_id, name = _find_or_start(client, step, settings, digest)
    run = MlflowRun(client, run_id, settings.tracking_uri, name)
    begun = time.monotonic()
    with _recording(client, run, step, ends=bool(name), launched=bool(settings.run_id)):
        try:
            yield run
        finally:
            run.metric(f"seconds/{step}", time.monotonic() - begun)


def open_run(settings: RegistryParams, name: str) -> str:
    """Start a run that the steps of a pipeline then join, and give its id; :func:`end_run` ends it.

    Raises:
        UnavailableError: the tracking store does not answer.
    """
    client = connect(settings.tracking_uri)
    with translated(settings.tracking_uri):
        return str(client.create_run(_experiment(client, settings), run_name=name, tags=_code()).info.run_id)


def end_run(settings: RegistryParams, *, succeeded: bool) -> None:
    """End the run that the steps of a pipeline joined; does nothing where none was injected.

    Raises:
        UnavailableError: the tracking store does not answer.
    """
    if not (settings.tracking_uri and settings.run_id):
        return
    client = connect(settings.tracking_uri)
    with translated(settings.tracking_uri):
        client.set_terminated(settings.run_id, status="FINISHED" if succeeded else "FAILED")


@contextmanager
def child_run(parent: StepRun, name: str, settings: RegistryParams) -> Iterator[StepRun]:
    """A run below ``parent``: one trial of a search, which is worth more than its figures.

    What the server does not take, the run itself too, is left out with a warning.

    Args:
        parent: the run that it belongs to; nothing is recorded when that one records nothing.
        name: the child's name.
        settings: where to track.

    Yields:
        A recorder.
    """
    begun = _begun_below(parent, name, settings.tracking_uri)
    if begun is None:
        yield NoRun()
        return
    client, run_id = begun
    run = MlflowRun(client, run_id, settings.tracking_uri)
    run.outlast()
    with _recording(client, run, "", ends=True, launched=False):
        yield run


def _begun_below(parent: StepRun, name: str, uri: str) -> tuple[Any, str] | None:
    """A client, and the id of a new run; None where nothing is recorded, or the server does not take it."""
    if not parent.run_id:
        return None
    try:
        client = connect(uri)
        with translated(uri):
            experiment = client.get_run(parent.run_id).info.experiment_id
            created = client.create_run(experiment, run_name=name, tags={PARENT_TAG: parent.run_id})
    except UnavailableError as error:
        log.warning("tracking.not_recorded", run_id=parent.run_id, child=name, problem=error.problem)
        return None
    return client, str(created.info.run_id)


@contextmanager
def _recording(client: Any, run: MlflowRun, step: str, *, ends: bool, launched: bool) -> Iterator[None]:
    """Send what ``run`` recorded when the block ends, and end the run with it where it is ours.

    A run is failed from the step that fails until that step succeeds, whoever began it; a launcher ends its own. What
    the block raised is heard of, whatever the server says then.
    """
    status = "FAILED"
    try:
        yield
        run.flush()
        status = "FINISHED"
    except BaseException:
        run.outlast()
        run.flush()
        raise
    finally:
        if ends:
            run.call(partial(client.set_terminated, run.run_id, status=status))
        if step:
            run.call(partial(_mark, client, run.run_id, step, status, launched=launched))
        run.settle()
        log.debug("tracking.recorded", run_id=run.run_id, status=status)


def _mark(client: Any, run_id: str, step: str, status: str, *, launched: bool) -> None:
    """Tag the run with the step that failed; one that succeeds takes its own tag away."""
    failed = status == "FAILED"
    if failed or client.get_run(run_id).data.tags.get(FAILED_TAG) == step:
        client.set_tag(run_id, FAILED_TAG, step if failed else "")
        if not launched:
            client.set_terminated(run_id, status=status)


def _find_or_start(client: Any, step: str, settings: RegistryParams, digest: str) -> tuple[str, str]:
    """Id of the run to record to, and its name where it is started here; empty where it is joined."""
    if settings.run_id:
        return str(client.get_run(settings.run_id).info.run_id), ""
    experiment = _experiment(client, settings)
    found = find_run(client, experiment, digest) if digest else ""
    if found:
        return found, ""
    tags = _code() | ({DIGEST_TAG: digest} if digest else {})
    name = f"{step} {now():%Y-%m-%d %H:%M}"
    return str(client.create_run(experiment, run_name=name, tags=tags).info.run_id), name


def _code() -> dict[str, str]:
    """Tags that say which code ran; MLflow shows the revision beside a source's name, and nowhere without one."""
    code = provenance.git_state()
    source = {"name": "fraudline", "type": "LOCAL", "git.commit": code.revision}
    return {f"mlflow.source.{name}": value for name, value in source.items()} | {
        "fraudline.dirty": str(code.dirty).lower()
    }


def _experiment(client: Any, settings: RegistryParams) -> str:
    found = client.get_experiment_by_name(settings.experiment)
    if found is not None:
        return str(found.experiment_id)
    return str(client.create_experiment(settings.experiment, artifact_location=artifact_root(settings.tracking_uri)))


def find_run(client: Any, experiment: str, digest: str) -> str:
    """Id of the newest run that made the artifact ``digest``; empty when there is none."""
    runs = client.search_runs(
        [experiment],
        filter_string=f"tags.`{DIGEST_TAG}` = '{digest}'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return str(runs[0].info.run_id) if runs else ""
