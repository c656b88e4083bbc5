"""Decisions of a real worker on a real broker: exported, checked, and traced back to where they came from."""

import json
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraudline.core.clock import now
from fraudline.core.errors import DataError, StateError, UsageError
from fraudline.ops.local.kafka import LocalKafka
from fraudline.steps import audit
from fraudline.steps.params import Params
from fraudline.stream.params import StreamParams
from fraudline.stream.topics import ensure_topics
from fraudline.stream.transport import Output, open_sender
from tests.support.broker import own_params, read_all
from tests.support.decided import Decided

pytestmark = pytest.mark.integration


def send_decisions(stream: StreamParams, begin: int, count: int) -> None:
    with closing(open_sender("kafka-python", stream.bootstrap)) as sender:
        for number in range(begin, begin + count):
            value = {"transaction_id": f"t{number}", "card_id": f"c{number % 9}", "score": 0.5, "decision": "allow"}
            sender.send(Output(stream.topics.decisions, b"c%d" % (number % 9), json.dumps(value).encode()))


def test_an_export_holds_what_the_topic_holds_and_goes_on_where_it_ended(kafka: LocalKafka, tmp_path: Path) -> None:
    stream = own_params(tmp_path, kafka.bootstrap)
    ensure_topics(stream)
    params, out = Params(stream=stream), tmp_path / "trail"
    send_decisions(stream, 0, 700)
    assert audit.export(out=out, params=params, until=now() - timedelta(days=1))["files"] == 0  # the day is not over
    first = audit.export(out=out, params=params, until=now() + timedelta(days=1))
    send_decisions(stream, 700, 50)
    second = audit.export(out=out, params=params, until=now() + timedelta(days=1))
    again = audit.export(out=out, params=params, until=now() + timedelta(days=1))
    assert (first["rows"], second["rows"], second["total"], again["files"]) == (700, 50, 750, 0)
    whole = audit.verify(folder=out, params=params, head=first["head"], topic=True)
    assert whole["whole"]
    assert whole["retention_days"] == 400
    rows = [row for path in sorted(out.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    log = {
        (r.partition, r.offset): (r.key, r.value, r.timestamp)
        for r in read_all(stream.bootstrap, stream.topics.decisions)
    }
    assert {(r["partition"], r["offset"]): (r["key"], r["value"], r["appended_ms"]) for r in rows} == log
    other = audit.export(out=tmp_path / "other", params=params, until=now() + timedelta(days=1))
    assert other["rows"] == 750
    another = own_params(tmp_path, kafka.bootstrap)
    ensure_topics(another)
    with pytest.raises(UsageError, match="ends before"):
        audit.export(out=out, params=Params(stream=another))


def test_a_topic_that_forgets_within_a_year_is_a_finding(kafka: LocalKafka, tmp_path: Path) -> None:
    from kafka import KafkaAdminClient

    stream = own_params(tmp_path, kafka.bootstrap)
    with closing(KafkaAdminClient(bootstrap_servers=stream.bootstrap)) as admin:
        week = {"retention.ms": str(7 * 86_400_000)}
        admin.create_topics({stream.topics.decisions: {"num_partitions": 1, "replication_factor": 1, "configs": week}})
        admin.wait_for_topics([stream.topics.decisions])
    send_decisions(stream, 0, 5)
    audit.export(out=tmp_path / "trail", params=Params(stream=stream), until=now() + timedelta(days=1))
    document = audit.verify(folder=tmp_path / "trail", params=Params(stream=stream), topic=True)
    assert [finding["problem"] for finding in document["findings"]] == [
        "its records are deleted after 7 days, an audit trail needs 365"
    ]


def test_an_alert_leads_back_to_model_run_revision_data_and_gate(decided: Decided) -> None:
    out = decided.folder / "exported"
    head = decided.cli("audit", "export", "-o", out, "--now").stdout.strip()
    page = decided.folder / "alert.html"
    name = decided.alert["transaction_id"]
    shown = decided.cli(
        "audit", "show", name, "--from", out, "--store", decided.folder / "artifacts", "-o", page, "--json"
    )
    document = json.loads(shown.stdout)
    assert document["decision"] == decided.alert
    assert document["model"]["digest"] == decided.artifact.digest
    assert document["run"]["run_id"] == "d028cb19"
    assert document["code"]["revision"] == "1" * 40
    assert document["data"]["md5"] == decided.artifact.meta.data_md5
    assert document["data"]["trained_on"]["start"] == "2025-01-01"
    assert document["gate"]["blessed"]
    assert document["thresholds"]["set_by"].startswith("packaged with the model")
    assert document["score"]["same"]
    assert document["score"]["reasons"] == [reason["text"] for reason in decided.alert["reasons"]]
    assert document["record"]["hash"]
    html = page.read_text()
    for text in (name, "1" * 12, "d028cb19", decided.artifact.digest, decided.alert["reasons"][0]["feature"]):
        assert text in html
    assert "http" not in html.replace("file://", "").replace("http://www.w3.org/2000/svg", "")  # opens offline
    text = decided.cli("audit", "show", name, "--from", out, "--store", decided.folder / "artifacts").stdout
    assert "the recorded score is that of the artifact" in text
    assert decided.cli("audit", "verify", out, "--head", head).exit_code == 0


def test_the_topic_and_a_file_of_decisions_tell_the_same_story(decided: Decided) -> None:
    name, store = decided.alert["transaction_id"], decided.folder / "artifacts"
    lines = decided.folder / "decisions.jsonl"
    lines.write_text(json.dumps({"transaction_id": "another", "note": name}) + "\n" + json.dumps(decided.alert) + "\n")
    from_topic = audit.show(transaction_id=name, params=decided.params, store=store)
    from_file = audit.show(transaction_id=name, params=decided.params, store=store, source=lines)
    assert from_file["record"] == {"file": str(lines), "row": 2}
    assert from_topic["record"]["topic"] == decided.params.stream.topics.decisions
    different = {"record"}
    assert {k: v for k, v in from_topic.items() if k not in different} == {
        k: v for k, v in from_file.items() if k not in different
    }
    with pytest.raises(DataError, match="no decision on nobody"):
        audit.show(transaction_id="nobody", params=decided.params, store=store)


def test_a_score_that_the_artifact_does_not_give_and_a_model_that_is_gone_are_said(decided: Decided) -> None:
    lines = decided.folder / "forged.jsonl"
    lines.write_text(json.dumps(decided.alert | {"score": decided.alert["score"] + 0.1}) + "\n")
    name = decided.alert["transaction_id"]
    shown = decided.cli("audit", "show", name, "--from", lines, "--store", decided.folder / "artifacts").stdout
    assert "is NOT that of the artifact" in shown
    nowhere = json.loads(
        decided.cli("audit", "show", name, "--from", lines, "--store", decided.folder / "none", "--json").stdout
    )
    assert "has no models" in nowhere["model"]["missing"]
    assert nowhere["decision"]["reasons"] == decided.alert["reasons"]


def test_the_worker_says_which_model_it_used_on_which_topics(decided: Decided) -> None:
    begun, ended = (json.loads(line) for line in (decided.folder / "lineage.jsonl").read_text().splitlines())
    assert [begun["eventType"], ended["eventType"]] == ["START", "COMPLETE"]
    topics, broker = decided.params.stream.topics, f"kafka://{decided.params.stream.bootstrap}"
    model, source = ended["inputs"]
    assert (model["name"], model["facets"]["version"]["datasetVersion"]) == ("model", decided.artifact.digest)
    assert (source["namespace"], source["name"]) == (broker, topics.transactions)
    written = [thing["name"] for thing in ended["outputs"]]
    assert written == [topics.decisions, topics.alerts, topics.dead_letters]


def test_a_row_that_was_changed_ends_verify_with_its_place(decided: Decided) -> None:
    out = decided.folder / "tampered"
    decided.cli("audit", "export", "-o", out, "--now")
    path = next(out.glob("*.parquet"))
    rows = pq.read_table(path).to_pylist()
    rows[7]["value"] = rows[7]["value"].replace(b'"allow"', b'"block"')
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)
    with pytest.raises(StateError, match="row 8") as caught:
        decided.cli("audit", "verify", out)
    assert rows[7]["transaction_id"] in caught.value.problem
