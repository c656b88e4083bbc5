"""OpenLineage events: which job read and wrote which version of what. Off unless an address is set.

    lineage = open_lineage(LineageParams(url="http://marquez:5000"), os.environ)
    with lineage.run("train", inputs=[...]) as run:
        run.wrote(Thing("model", digest))

Things are named by what they are (``dataset``, ``features``, ``model``) and versioned by their digest, so that data,
run, model and service are one graph wherever each of them ran. An event that cannot be sent is a warning: lineage
never stops the work.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlparse

from fraudline import __version__
from fraudline.core.clock import now
from fraudline.core.errors import UsageError
from fraudline.core.log import get_logger
from fraudline.core.settings import Settings

log = get_logger(__name__)

ENVIRONMENT = "OPENLINEAGE_URL"
PRODUCER = f"urn:fraudline:{__version__}"
_TIMEOUT_S = 5.0


class LineageParams(Settings):
    """Where OpenLineage events go.

    Attributes:
        url: of Marquez, DataHub or another receiver (``http://marquez:5000``), or ``file:///path/events.jsonl``; empty
            for what ``OPENLINEAGE_URL`` says, and for none without it.
        namespace: of jobs and things.
    """

    url: str = ""
    namespace: str = "fraudline"


class Thing(NamedTuple):
    """A version of something that is read or written. ``namespace``: another than that of the jobs, a broker's say."""

    name: str
    version: str = ""
    uri: str = ""
    namespace: str = ""


@dataclass
class Run:
    """What one run reads and writes, said until it ends."""

    inputs: list[Thing] = field(default_factory=list)
    outputs: list[Thing] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    def read(self, *things: Thing) -> None:
        """Say what is read."""
        self.inputs += things

    def wrote(self, *things: Thing) -> None:
        """Say what is written."""
        self.outputs += things

    def tag(self, **tags: str) -> None:
        """Say more of the run; empty values are left out."""
        self.tags |= {name: value for name, value in tags.items() if value}


class NoLineage:
    """Says nothing."""

    @contextmanager
    def run(self, job: str, *, inputs: Iterable[Thing] = (), kind: str = "BATCH") -> Iterator[Run]:
        """A run that nobody hears of."""
        yield Run()


class Lineage:
    """Sends events.

    Args:
        params: ``url`` is set.

    Raises:
        UsageError: the client is not installed, or the address is of no kind that it knows.
    """

    def __init__(self, params: LineageParams) -> None:
        self._params = params
        self._client = _client(params.url)

    @contextmanager
    def run(self, job: str, *, inputs: Iterable[Thing] = (), kind: str = "BATCH") -> Iterator[Run]:
        """Say that a job starts, and how it ended: complete, failed, or aborted by hand.

        Args:
            job: its name.
            inputs: what it reads, as far as that is known before.
            kind: ``BATCH``, or ``STREAMING`` for a service.
        """
        from openlineage.client.uuid import generate_new_uuid

        run, name = Run(list(inputs)), str(generate_new_uuid())
        self._say("START", job, name, run, kind)
        try:
            yield run
        except (KeyboardInterrupt, SystemExit):
            self._say("ABORT", job, name, run, kind)
            raise
        except BaseException as error:
            self._say("FAIL", job, name, run, kind, error)
            raise
        self._say("COMPLETE", job, name, run, kind)

    def _say(self, state: str, job: str, name: str, run: Run, kind: str, error: BaseException | None = None) -> None:
        try:
            self._client.emit(self._event(state, job, name, run, kind, error))
        except Exception as problem:  # whatever a receiver does, the work goes on
            log.warning("lineage.not_sent", job=job, state=state, problem=f"{type(problem).__name__}: {problem}")

    def _event(self, state: str, job: str, name: str, run: Run, kind: str, error: BaseException | None) -> Any:
        from openlineage.client import event_v2 as events
        from openlineage.client.facet_v2 import error_message_run, job_type_job, processing_engine_run, tags_run

        facets: dict[str, Any] = {
            "processing_engine": processing_engine_run.ProcessingEngineRunFacet(__version__, "fraudline")
        }
        if run.tags:
            pairs = [tags_run.TagsRunFacetFields(key, value, "fraudline") for key, value in sorted(run.tags.items())]
            facets["tags"] = tags_run.TagsRunFacet(pairs)
        if error is not None:
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
                f"{type(error).__name__}: {error}", "Python"
            )
        job_type = job_type_job.JobTypeJobFacet(processingType=kind, integration="FRAUDLINE", jobType="JOB")
        return events.RunEvent(
            eventType=events.RunState[state],
            eventTime=now().isoformat(),
            run=events.Run(runId=name, facets=facets),
            job=events.Job(namespace=self._params.namespace, name=job, facets={"jobType": job_type}),
            inputs=[self._dataset(events.InputDataset, thing) for thing in dict.fromkeys(run.inputs)],
            outputs=[self._dataset(events.OutputDataset, thing) for thing in dict.fromkeys(run.outputs)],
            producer=PRODUCER,
        )

    def _dataset(self, kind: Any, thing: Thing) -> Any:
        from openlineage.client.facet_v2 import dataset_version_dataset, datasource_dataset

        facets: dict[str, Any] = {}
        if thing.version:
            facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=thing.version)
        if thing.uri:
            facets["dataSource"] = datasource_dataset.DatasourceDatasetFacet(name=thing.name, uri=thing.uri)
        return kind(namespace=thing.namespace or self._params.namespace, name=thing.name, facets=facets)


def open_lineage(params: LineageParams, environment: Mapping[str, str]) -> Lineage | NoLineage:
    """The sender that the settings or ``OPENLINEAGE_URL`` name; one that says nothing without either.

    Raises:
        UsageError: the client is not installed, or the address is of no kind that it knows.
    """
    url = params.url or environment.get(ENVIRONMENT, "")
    return Lineage(params.model_copy(update={"url": url})) if url else NoLineage()


def kafka_topic(bootstrap: str, topic: str) -> Thing:
    """A topic, by OpenLineage's naming of datasets."""
    return Thing(topic, namespace=f"kafka://{bootstrap.split(',', maxsplit=1)[0]}")


def model_thing(folder: Path, digest: str) -> Thing:
    """A model: the same thing wherever its artifact lies."""
    return Thing("model", digest, folder.resolve().as_uri())


def _client(url: str) -> Any:
    try:
        from openlineage.client import OpenLineageClient
        from openlineage.client.facet_v2 import set_producer
        from openlineage.client.transport.file import FileConfig, FileTransport
        from openlineage.client.transport.http import HttpConfig, HttpTransport
    except ImportError as error:
        raise UsageError("Lineage needs the OpenLineage client.", "Install the extra: fraudline[lineage].") from error
    set_producer(PRODUCER)
    parts = urlparse(url)
    if parts.scheme in ("http", "https"):
        return OpenLineageClient(transport=HttpTransport(HttpConfig(url=url, timeout=_TIMEOUT_S, retry={"total": 0})))
    if parts.scheme == "file":
        return OpenLineageClient(transport=FileTransport(FileConfig(log_file_path=parts.path, append=True)))
    raise UsageError(f"{url} takes no lineage events.", "Give an http:// or a file:/// address.")
