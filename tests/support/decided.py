"""A stream that a real worker decided on a real broker, once a session: what audit and replay look back on."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from fraudline.cli.main import cli
from fraudline.core.lineage import Lineage, LineageParams
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.ops.local.kafka import LocalKafka
from fraudline.steps.params import Params
from fraudline.stream.topics import ensure_topics
from fraudline.stream.worker import run_worker
from tests.support.broker import own_params, read_all
from tests.support.datasets import small_tables
from tests.support.stop import StopAfter
from tests.support.stored import stored_artifact
from tests.support.workers import send_table

ROWS = 1_500


@dataclass(frozen=True)
class Decided:
    """A stream that was decided by one model."""

    params: Params
    folder: Path
    artifact: Artifact
    entry: Path
    alert: dict[str, Any]

    def cli(self, *arguments: object) -> Result:
        given = [*map(str, arguments), "--params", str(self.folder / "params.yaml")]
        return CliRunner().invoke(cli, given, catch_exceptions=False)


@pytest.fixture(scope="session")
def decided(kafka: LocalKafka, tmp_path_factory: pytest.TempPathFactory) -> Decided:
    folder = tmp_path_factory.mktemp("audited")
    stream = own_params(folder, kafka.bootstrap)
    ensure_topics(stream)
    entry = stored_artifact(folder)
    table = small_tables()[0].slice(5_000, ROWS)
    send_table(stream, table)
    stop = StopAfter(ROWS)
    lineage = Lineage(LineageParams(url=(folder / "lineage.jsonl").as_uri()))
    run_worker(stream, model_dir=entry, stop=stop.event, on_batch=stop, lineage=lineage)
    (folder / "params.yaml").write_text(yaml.safe_dump({"stream": stream.model_dump(mode="json")}))
    found = [json.loads(record.value) for record in read_all(stream.bootstrap, stream.topics.decisions)]
    alert = next(decision for decision in found if decision["decision"] == "block")
    return Decided(Params(stream=stream), folder, load_artifact(entry), entry, alert)
