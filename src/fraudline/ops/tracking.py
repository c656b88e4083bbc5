"""One MLflow run from train to register, joined by the artifact's digest.

Train starts the run and tags it with the digest of what it made; every later step finds it by that digest::

    with step_run("train", params.registry) as run:
        run.params({"seed": 7})
        run.metric("loss", 0.12, step=3)
        run.tag(DIGEST_TAG, digest)

    with step_run("evaluate", params.registry, digest=digest) as run:
        run.metrics({"ap": 0.71})

A run id in the parameters (a launcher's ``MLFLOW_RUN_ID``) is joined instead, and not ended by a step.
Without a tracking address every call does nothing.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from fraudline.core.clock import now_us
from fraudline.core.log import get_logger
from fraudline.core.masking import mask_text
from fraudline.ops import provenance
from fraudline.ops.mlflow_client import artifact_root, connect, translated
from fraudline.ops.params import RegistryParams

log = get_logger(__name__)

DIGEST_TAG = "fraudline.digest"
BLESSED_TAG = "fraudline.blessed"
DATA_TAG = "fraudline.data_md5"
PARENT_TAG = "mlflow.parentRunId"
"""What MLflow nests runs by."""

_BATCH = 500  # MLflow takes 1,000 metrics a call at most
_PARAMS_BATCH = 100  # and 100 parameters
_VALUE_LIMIT = 6_000  # characters of a parameter's value
_DIGEST_LIMIT = 36  # and of a data set's digest: an md5 of DVC's, with its ending
_DATASET = "transactions"


class StepRun(Protocol):
    """What a step may record about itself."""

    @property
    def run_id(self) -> str:
        """The run's id; empty when nothing is tracked."""

    def params(self, values: Mapping[str, Any]) -> None:
        """Record parameters; nested mappings become dotted names."""

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        """Record one figure, at an epoch where one is given."""

    def metrics(self, values: Mapping[str, float]) -> None:
        """Record several figures."""

    def tag(self, name: str, value: str) -> None:
        """Mark the run."""

    def data(self, md5: str) -> None:
        """Name the version of the data set that the run learns from."""

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Keep a file or a folder with the run."""


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
        run_id, started = _find_or_start(client, step, settings, digest)
    run = MlflowRun(client, run_id, settings.tracking_uri)
    begun = time.monotonic()
    with _recording(client, run, settings, ends=started):
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
    """A run below ``parent``: one trial of a search.

    Args:
        parent: the run that it belongs to; nothing is recorded when that one records nothing.
        name: the child's name.
        settings: where to track.

    Yields:
        A recorder.

    Raises:
        UnavailableError: the tracking store does not answer.
    """
    if not parent.run_id:
        yield NoRun()
        return
    client = connect(settings.tracking_uri)
    with translated(settings.tracking_uri):
        experiment = client.get_run(parent.run_id).info.experiment_id
        created = client.create_run(experiment, run_name=name, tags={PARENT_TAG: parent.run_id})
    run = MlflowRun(client, str(created.info.run_id), settings.tracking_uri)
    with _recording(client, run, settings, ends=True):
        yield run


@contextmanager
def _recording(client: Any, run: "MlflowRun", settings: RegistryParams, *, ends: bool) -> Iterator[None]:
    """Send what ``run`` recorded when the block ends, and end the run with it where it is ours."""
    status = "FAILED"
    try:
        yield
        run.flush()
        status = "FINISHED"
    finally:
        try:
            run.flush()  # of a block that failed
        finally:  # a run whose figures were refused is over, too
            if ends:
                with translated(settings.tracking_uri):
                    client.set_terminated(run.run_id, status=status)
        log.debug("tracking.recorded", run_id=run.run_id, status=status)


class NoRun:
    """Records nothing."""

    run_id = ""

    def params(self, values: Mapping[str, Any]) -> None:
        """Do nothing."""

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        """Do nothing."""

    def metrics(self, values: Mapping[str, float]) -> None:
        """Do nothing."""

    def tag(self, name: str, value: str) -> None:
        """Do nothing."""

    def data(self, md5: str) -> None:
        """Do nothing."""

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Do nothing."""


class MlflowRun:
    """Records to one MLflow run; figures wait in a batch until :meth:`flush`."""

    def __init__(self, client: Any, run_id: str, uri: str) -> None:
        self._client = client
        self._uri = uri
        self._waiting: list[Any] = []
        self.run_id = run_id

    def params(self, values: Mapping[str, Any]) -> None:
        """Record parameters; nested mappings become dotted names."""
        from mlflow.entities import Param

        entries = [Param(name, mask_text(str(value))[:_VALUE_LIMIT]) for name, value in flatten(values).items()]
        with translated(self._uri):
            for first in range(0, len(entries), _PARAMS_BATCH):
                self._client.log_batch(self.run_id, params=entries[first : first + _PARAMS_BATCH])

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        """Record one figure, at an epoch where one is given."""
        from mlflow.entities import Metric

        self._waiting.append(Metric(name, float(value), now_us() // 1000, step or 0))
        if len(self._waiting) >= _BATCH:
            self.flush()

    def metrics(self, values: Mapping[str, float]) -> None:
        """Record several figures; what is not a number is left out, nested mappings become dotted names."""
        for name, value in flatten(values).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                self.metric(name, value)

    def tag(self, name: str, value: str) -> None:
        """Mark the run."""
        with translated(self._uri):
            self._client.set_tag(self.run_id, name, mask_text(value))

    def data(self, md5: str) -> None:
        """Name the version of the data set that the run learns from: its input, and a tag to search by."""
        from mlflow.entities import Dataset, DatasetInput

        known = Dataset(_DATASET, md5[:_DIGEST_LIMIT], source_type="dvc", source=json.dumps({"md5": md5}))
        self.tag(DATA_TAG, md5)
        with translated(self._uri):
            self._client.log_inputs(self.run_id, [DatasetInput(known)])

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Keep a file or a folder with the run."""
        keep = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        with translated(self._uri):
            keep(self.run_id, str(path), folder)

    def flush(self) -> None:
        """Send the figures that wait."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            with translated(self._uri):
                self._client.log_batch(self.run_id, metrics=waiting)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted names.

    >>> flatten({"a": {"b": 1}, "c": 2})
    {'a.b': 1, 'c': 2}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _find_or_start(client: Any, step: str, settings: RegistryParams, digest: str) -> tuple[str, bool]:
    if settings.run_id:
        return str(client.get_run(settings.run_id).info.run_id), False
    experiment = _experiment(client, settings)
    found = find_run(client, experiment, digest) if digest else ""
    if found:
        return found, False
    tags = _code() | ({DIGEST_TAG: digest} if digest else {})
    return str(client.create_run(experiment, run_name=step, tags=tags).info.run_id), True


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
