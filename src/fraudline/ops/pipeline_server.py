"""A Kubeflow Pipelines server: submit a run, schedule a recurring one, ask how one is doing.

    server = PipelineServer("http://localhost:8888")
    run = server.submit(Path("pipelines/training.yaml"), arguments, experiment="fraudline")
    server.status(run.run_id).state

Caching is as the file was compiled: an option of the call would turn it on for steps with side effects, too.
Whoever may see a run sees its parameters: a password in MLflow's address is left out of them.
"""

import contextlib
import io
import json
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

from fraudline.core.digest import sha256_bytes
from fraudline.core.errors import UnavailableError, UsageError, without_passwords
from fraudline.core.log import get_logger

log = get_logger(__name__)

WEEKLY = "0 0 6 * * 1"
"""Mondays at 06:00 UTC, in the server's form: with seconds first."""

_CRON_FIELDS = 6
_REACH_IT = "Check the address and that you may reach it (kubectl port-forward), then try again."
_READ_IT = "Read what it said: it must be Kubeflow Pipelines 2.16 or newer, and the file take these arguments."
_BE_LET_IN = "Give a token that it knows and that has the right (FRAUDLINE_KFP_TOKEN)."
_ACTIONS = {400: _READ_IT, 401: _BE_LET_IN, 403: _BE_LET_IN, 409: _READ_IT, 500: _READ_IT, 501: _READ_IT}
_STACK_LINE = re.compile(r"\s*\S+/\S+")
_PAGE = 100
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class SubmittedRun:
    """A run that the server accepted."""

    run_id: str
    url: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """A recurring run that the server accepted."""

    schedule_id: str
    cron: str
    url: str


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """One task of a run; ``state`` in the server's words, ``seconds`` None until it ended."""

    name: str
    state: str
    seconds: float | None
    error: str


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How a run is doing.

    Attributes:
        state: PENDING, RUNNING, SUCCEEDED, FAILED, CANCELED or another word of the server; empty where it has none yet.
        tasks: in the order in which they began.
    """

    run_id: str
    name: str
    state: str
    error: str
    tasks: tuple[TaskStatus, ...]
    url: str


class PipelineServer:
    """A server of Kubeflow Pipelines 2.

    Args:
        host: its address, for example of ``kubectl port-forward``.
        token: a bearer token; empty for none.
        namespace: of the experiments, where the server has many users; empty for none.
    """

    def __init__(self, host: str, *, token: str = "", namespace: str = "") -> None:
        self.host = host.rstrip("/")
        self._token = token
        self._namespace = namespace or None

    def submit(
        self, compiled: Path, arguments: Mapping[str, Any], *, experiment: str, name: str | None = None
    ) -> SubmittedRun:
        """Start a run of a compiled pipeline.

        Args:
            compiled: the compiled YAML.
            arguments: the pipeline's arguments.
            experiment: the experiment that the run belongs to; made when missing.
            name: the run's name; None: the file's and the time.

        Raises:
            UsageError: there is no such file.
            UnavailableError: the server does not answer or refuses.
        """
        _check(compiled)
        given = _without_password(arguments)
        with self._client("take the run") as client:
            run = client.create_run_from_pipeline_package(
                str(compiled),
                arguments=given,
                run_name=name,
                experiment_name=experiment,
                namespace=self._namespace,
            )
        log.info("pipeline.submitted", host=self.host, run_id=run.run_id, experiment=experiment)
        return SubmittedRun(run.run_id, self._url("runs", run.run_id))

    def schedule(
        self, compiled: Path, arguments: Mapping[str, Any], *, experiment: str, name: str, cron: str = WEEKLY
    ) -> Schedule:
        """Start runs again and again; one that is due while another runs waits, one that was missed is left out.

        There is one schedule of a name in an experiment. Asked for again it stays as it is; with another pipeline,
        other arguments or another time a new one takes its place. The server cannot change a schedule, so the new one
        is made first: where that was cut short, two are there until the next call.

        Args:
            compiled: the compiled YAML.
            arguments: the pipeline's arguments, the same for each run.
            experiment: the experiment that the runs belong to; made when missing.
            name: the schedule's name.
            cron: when, in UTC: second, minute, hour, day of the month, month, day of the week.

        Raises:
            UsageError: there is no such file, or ``cron`` has not six fields.
            UnavailableError: the server does not answer or refuses.
        """
        _check(compiled)
        if len(cron.split()) != _CRON_FIELDS:
            raise UsageError(
                f"The schedule {cron!r} has not six fields.", f"Begin with seconds, for example {WEEKLY!r}."
            )
        given = _without_password(arguments)
        what = json.dumps([sha256_bytes(compiled.read_bytes()), given, cron], sort_keys=True)
        description = f"fraudline {sha256_bytes(what.encode())}"
        with self._client("take the schedule") as client:
            group = client.create_experiment(experiment, namespace=self._namespace).experiment_id
            answer = client.list_recurring_runs(experiment_id=group, filter=_named(name), page_size=_PAGE)
            there = [each for each in answer.recurring_runs or [] if each.display_name == name]
            held = next((each for each in there if each.description == description), None)
            kept = held or client.create_recurring_run(
                group,
                name,
                description=description,
                cron_expression=cron,
                max_concurrency=1,
                no_catchup=True,
                params=given,
                pipeline_package_path=str(compiled),
            )
            for each in there:
                if each.recurring_run_id != kept.recurring_run_id:
                    client.delete_recurring_run(each.recurring_run_id)
        schedule = str(kept.recurring_run_id)
        log.info("pipeline.scheduled", host=self.host, schedule_id=schedule, cron=cron, new=held is None)
        return Schedule(schedule, cron, self._url("recurringrun", schedule))

    def find(self, name: str) -> str | None:
        """The id of the run of that name, None where there is none.

        Raises:
            UnavailableError: the server does not answer or refuses.
        """
        with self._client(f"tell of {name}") as client:
            found = client.list_runs(filter=_named(name), namespace=self._namespace).runs or []
        return next((str(run.run_id) for run in found if run.display_name == name), None)

    def status(self, run_id: str) -> RunStatus:
        """How a run is doing, and each of its tasks.

        Raises:
            UsageError: the server knows no such run.
            UnavailableError: the server does not answer or refuses.
        """
        with self._client(f"tell of run {run_id}") as client:
            run = client.get_run(run_id)
        details = (run.run_details.task_details if run.run_details else None) or []
        named = sorted((detail for detail in details if detail.display_name), key=_when)
        return RunStatus(
            run.run_id,
            run.display_name,
            run.state or "",
            _message(run.error),
            tuple(map(_task, named)),
            self._url("runs", run.run_id),
        )

    def _url(self, kind: str, name: str) -> str:
        return f"{self.host}/#/{kind}/details/{name}"

    @contextlib.contextmanager
    def _client(self, what: str) -> Iterator[Any]:
        """A client whose errors are ours; what it prints for notebooks is dropped."""
        from kfp_server_api.exceptions import ApiException, OpenApiException  # type: ignore[import-untyped]
        from urllib3.exceptions import HTTPError

        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                import kfp

                yield kfp.Client(host=self.host, existing_token=self._token or None)
        except (HTTPError, OpenApiException, OSError) as error:
            status = error.status if isinstance(error, ApiException) else 0
            if status == _NOT_FOUND:
                raise UsageError(
                    f"The pipeline server at {self.host} cannot {what}: it knows no such thing.", "Check the id."
                ) from error
            raise UnavailableError(
                f"The pipeline server at {self.host} does not {what}: {_reason(error)}.",
                _ACTIONS.get(status, _REACH_IT),
            ) from error


def _named(name: str) -> str:
    """The server's filter for a name."""
    return json.dumps({"predicates": [{"operation": 1, "key": "display_name", "stringValue": name}]})


def _without_password(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as they go to the server: the password in MLflow's address comes from a secret there."""
    params = arguments.get("params", {})
    registry = params.get("registry", {})
    bare = without_passwords(address := registry.get("tracking_uri", ""))
    if bare == address:
        return dict(arguments)
    log.warning(
        "pipeline.password_left_out",
        setting="registry.tracking_uri",
        action="The secret fraudline-services brings MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
    )
    return {**arguments, "params": {**params, "registry": {**registry, "tracking_uri": bare}}}


def _check(compiled: Path) -> None:
    if not compiled.is_file():
        raise UsageError(f"{compiled} is missing.", "Compile it: python -m pipelines.training")


def _when(detail: Any) -> tuple[float, str]:
    """Tasks in the order in which they began; those that did not, last."""
    begun = detail.start_time
    return begun.timestamp() if isinstance(begun, datetime) else math.inf, detail.display_name


def _task(detail: Any) -> TaskStatus:
    seconds = None
    if isinstance(detail.start_time, datetime) and isinstance(detail.end_time, datetime):
        seconds = max((detail.end_time - detail.start_time).total_seconds(), 0.0)
    return TaskStatus(detail.display_name, detail.state or "", seconds, _message(detail.error))


def _message(error: Any) -> str:
    return (error.message or "") if error is not None else ""


def _reason(error: Exception) -> str:
    """What the server said, in one line and without its stack; or what happened instead of an answer."""
    body = getattr(error, "body", "")
    said = str(body or f"{type(error).__name__}: {error}")
    with contextlib.suppress(ValueError, TypeError, KeyError):
        said = str(json.loads(body)["error"])
    lines = takewhile(lambda line: not _STACK_LINE.fullmatch(line), said.splitlines())
    return " ".join(" ".join(lines).split())[:300]
