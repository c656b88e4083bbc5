"""Lineage of steps and services: events that a real receiver on loopback hears, from data to service in one graph."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from fraudline.cli.main import cli
from fraudline.core.errors import DataError, GateFailed, UsageError
from fraudline.core.lineage import (
    ENVIRONMENT,
    Lineage,
    LineageParams,
    NoLineage,
    Thing,
    kafka_topic,
    model_thing,
    open_lineage,
)
from fraudline.model.artifact import load_artifact
from fraudline.steps import STEPS, component
from fraudline.steps.lineage import WRITES
from fraudline.steps.params import Params
from tests.support.artifacts import tiny_artifact
from tests.support.json_server import Answer, JsonServer

ROOT = Path(__file__).parents[3]


class Receiver(JsonServer):
    """What Marquez offers."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []
        self.status = 201

    def reply(self, method: str, path: str, query: dict[str, str], headers: Any, body: dict[str, Any]) -> Answer:
        assert (method, path) == ("POST", "/api/v1/lineage")
        self.events.append(body)
        return self.status, {}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def is_event(event: dict[str, Any]) -> None:
    """What OpenLineage 1 requires of a run event and of its facets."""
    assert event["eventType"] in {"START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*(Z|[+-]\d\d:\d\d)", event["eventTime"])
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", event["run"]["runId"])
    assert event["producer"].startswith("urn:fraudline:")
    assert event["schemaURL"].startswith("https://openlineage.io/spec/")
    named = [event["job"], *event["inputs"], *event["outputs"]]
    assert all(thing["namespace"] and thing["name"] for thing in named)
    for holder in (*named, event["run"]):
        for facet in (holder.get("facets") or {}).values():
            assert facet["_producer"].startswith("urn:fraudline:")
            assert "#/$defs/" in facet["_schemaURL"]


def things(event: dict[str, Any], side: str) -> dict[str, str]:
    return {t["name"]: t["facets"].get("version", {}).get("datasetVersion", "") for t in event[side]}


def run_step(*arguments: object) -> Any:
    return CliRunner().invoke(cli, ["step", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A data set folder as step fetch leaves it, but empty."""
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "fetch.json").write_text(json.dumps({"md5": "e" * 32}))
    return tmp_path


def test_data_run_model_and_service_are_one_graph(receiver: Receiver, tmp_path: Path) -> None:
    model = tiny_artifact(tmp_path / "model")
    digest = load_artifact(model).digest
    lineage = Lineage(LineageParams(url=receiver.url))
    with lineage.run("train", inputs=[Thing("dataset", "e" * 32)]) as run:
        run.tag(mlflow_run_id="d028", empty="")
        run.wrote(model_thing(model, digest))
    with lineage.run(
        "worker", inputs=[model_thing(model, digest), kafka_topic("b:9092,c:9092", "transactions")]
    ) as run:
        run.wrote(kafka_topic("b:9092", "decisions"))
    for event in receiver.events:
        is_event(event)
    trained, served = receiver.events[1], receiver.events[2]
    assert [event["eventType"] for event in receiver.events] == ["START", "COMPLETE", "START", "COMPLETE"]
    assert things(trained, "inputs") == {"dataset": "e" * 32}
    made, used = trained["outputs"][0], served["inputs"][0]
    assert [made[k] for k in ("namespace", "name", "facets")] == [used[k] for k in ("namespace", "name", "facets")]
    assert things(trained, "outputs") == {"model": digest}
    assert served["inputs"][1]["namespace"] == "kafka://b:9092"
    tags = {
        tag["key"]: tag["value"] for tag in trained["run"]["facets"]["tags"]["tags"] if tag["source"] == "fraudline"
    }
    assert tags == {"mlflow_run_id": "d028"}
    assert receiver.events[0]["run"]["runId"] == trained["run"]["runId"] != served["run"]["runId"]


def test_a_step_of_the_command_line_says_what_it_read_and_how_it_failed(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT, receiver.url)
    model = tiny_artifact(tmp_path / "model")
    given = [
        ("--" + name, tmp_path / name) for name in ("model", "evaluation", "blessing", "infra", "package", "store")
    ]
    with pytest.raises(DataError, match="is missing"):
        run_step("package", *(word for pair in given for word in pair))
    start, failed = receiver.events
    assert [start["eventType"], failed["eventType"]] == ["START", "FAIL"]
    assert failed["job"]["name"] == "package"
    assert things(start, "inputs") == {
        "model": load_artifact(model).digest,
        "evaluation": "",
        "blessing": "",
        "infra": "",
    }
    assert "blessing.json is missing" in failed["run"]["facets"]["errorMessage"]["message"]
    is_event(failed)


def test_a_kubeflow_component_says_the_same(receiver: Receiver, prepared: Path) -> None:
    class Artifact:
        def __init__(self, name: str) -> None:
            self.path = str(prepared / name)

    arguments = {"dataset": Artifact("dataset"), "report": Artifact("out"), "page": Artifact("page"), "params": {}}
    with component.running("validate", {ENVIRONMENT: receiver.url}, arguments):
        pass
    done = receiver.events[-1]
    assert done["eventType"] == "COMPLETE"
    assert things(done, "inputs") == {"dataset": "e" * 32}
    assert things(done, "outputs") == {"validate.report": ""}
    with component.running("gate", {ENVIRONMENT: receiver.url}, {"params": {}}, refusals=True):
        raise GateFailed("no", "train again")
    assert receiver.events[-1]["eventType"] == "FAIL"


@pytest.mark.parametrize(
    ("ends", "said"), [(KeyboardInterrupt(), "ABORT"), (SystemExit(143), "ABORT"), (DataError("wrong."), "FAIL")]
)
def test_what_is_stopped_by_hand_is_aborted_and_not_complete(
    receiver: Receiver, ends: BaseException, said: str
) -> None:
    with pytest.raises(type(ends)), Lineage(LineageParams(url=receiver.url)).run("worker"):
        raise ends
    assert [event["eventType"] for event in receiver.events] == ["START", said]


def test_a_receiver_that_is_away_or_refuses_stops_nothing(receiver: Receiver) -> None:
    receiver.status = 500
    for url in (receiver.url, "http://127.0.0.1:1"):
        with Lineage(LineageParams(url=url)).run("train"):
            done = True
    assert done


def test_a_file_takes_events_and_without_a_setting_nothing_is_said(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    with open_lineage(LineageParams(), {ENVIRONMENT: events.as_uri()}).run("train"):
        pass
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert [line["eventType"] for line in lines] == ["START", "COMPLETE"]
    assert isinstance(open_lineage(Params().lineage, {}), NoLineage)
    with pytest.raises(UsageError, match="takes no lineage"):
        open_lineage(LineageParams(url="ftp://x"), {})


def test_what_steps_write_is_what_their_dvc_stages_write() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert set(STEPS) <= set(WRITES)
    for name, stage in stages.items():
        words = stage["cmd"].split()
        flags = {flag[2:].replace("-", "_"): value for flag, value in zip(words[3::2], words[4::2], strict=True)}
        outs = {next(iter(out)) if isinstance(out, dict) else out for out in stage["outs"]}
        assert outs <= {value for flag, value in flags.items() if flag in WRITES[name]}, name
