"""What a step may record about itself: to an MLflow run, or to nothing."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from fraudline.core.clock import now_us
from fraudline.core.errors import UnavailableError
from fraudline.core.log import get_logger
from fraudline.core.masking import mask_text
from fraudline.ops.mlflow_client import refused, translated

log = get_logger(__name__)

DIGEST_TAG = "fraudline.digest"
DATA_TAG = "fraudline.data_md5"

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

    def made(self, digest: str) -> None:
        """Say which artifact the run made: later steps find the run by it, and people by its name."""

    def data(self, md5: str) -> None:
        """Name the version of the data set that the run learns from."""

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Keep a file or a folder with the run."""

    def outlast(self) -> None:
        """From here on the work is worth more than its figures: what the server does not take ends nothing."""


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

    def made(self, digest: str) -> None:
        """Do nothing."""

    def data(self, md5: str) -> None:
        """Do nothing."""

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Do nothing."""

    def outlast(self) -> None:
        """Do nothing."""


class MlflowRun:
    """Records to one MLflow run; figures wait in a batch until :meth:`flush`."""

    def __init__(self, client: Any, run_id: str, uri: str, name: str = "") -> None:
        self._client = client
        self._name = name  # empty: another gave it one
        self._uri = uri
        self._waiting: list[Any] = []
        self._calls: list[Callable[[], object]] = []
        self._outlasts = self._away = False
        self.run_id = run_id

    def params(self, values: Mapping[str, Any]) -> None:
        """Record parameters; nested mappings become dotted names."""
        from mlflow.entities import Param

        entries = [Param(name, mask_text(str(value))[:_VALUE_LIMIT]) for name, value in flatten(values).items()]
        for first in range(0, len(entries), _PARAMS_BATCH):
            batch = entries[first : first + _PARAMS_BATCH]
            self.call(partial(self._client.log_batch, self.run_id, params=batch))

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
        self.call(partial(self._client.set_tag, self.run_id, name, mask_text(value)))

    def made(self, digest: str) -> None:
        """Say which artifact the run made: later steps find the run by it, and people by its name."""
        self.tag(DIGEST_TAG, digest)
        self._named(f"model {digest[:12]}")

    def data(self, md5: str) -> None:
        """Name the version of the data set that the run learns from: its input, and a tag to search by."""
        from mlflow.entities import Dataset, DatasetInput

        known = Dataset(_DATASET, md5[:_DIGEST_LIMIT], source_type="dvc", source=json.dumps({"md5": md5}))
        self.tag(DATA_TAG, md5)
        self.call(partial(self._client.log_inputs, self.run_id, [DatasetInput(known)]))
        self._named(f"data {md5[:8]}")

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Keep a file or a folder with the run."""
        keep = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        self.call(partial(keep, self.run_id, str(path), folder))

    def outlast(self) -> None:
        """From here on what the server does not take waits for :meth:`settle`, and is then left out with a warning."""
        self._outlasts = True

    def _named(self, part: str) -> None:
        """Add to the name of a run that is ours what tells it from others."""
        if self._name and part not in self._name:
            self._name += f", {part}"
            self.call(partial(self._client.update_run, self.run_id, name=self._name))

    def flush(self) -> None:
        """Send the figures that wait."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            self.call(partial(self._client.log_batch, self.run_id, metrics=waiting))

    def call(self, call: Callable[[], object]) -> None:
        """Make a call of the server.

        Raises:
            UnavailableError: it does not answer, or refuses; not after :meth:`outlast`.
        """
        if not self._outlasts:
            with translated(self._uri):
                call()
            return
        self._calls.append(call)
        if not self._away:  # a server that is away costs minutes a call
            self.settle()

    def settle(self) -> None:
        """Make the calls that wait, in their order, up to the first that finds no server; a refused one is left out."""
        self._away = False
        while self._calls and not self._away:
            try:
                with translated(self._uri):
                    self._calls[0]()
            except UnavailableError as error:
                self._away = not refused(error)
                lost = len(self._calls) if self._away else 1
                log.warning("tracking.not_recorded", run_id=self.run_id, calls=lost, problem=error.problem)
            if not self._away:
                del self._calls[0]


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
