"""Alerts on their whole way out: a real broker, a real HTTP receiver, a real mail server, a real Alertmanager."""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from fraudline.cli.main import cli
from fraudline.core.errors import UnavailableError, UsageError
from fraudline.ops.local.kafka import LocalKafka
from fraudline.ops.local.process import free_port
from fraudline.stream.alert_metrics import AlertMetrics
from fraudline.stream.alert_router import run_router
from fraudline.stream.interface import asyncapi
from fraudline.stream.messages import Alert, ReasonMessage, encode
from fraudline.stream.params import StreamParams
from fraudline.stream.topics import alert_topics, ensure_topics
from fraudline.stream.transport import Output
from tests.support.broker import CACHE, need_java, own_params, read_all
from tests.support.certificates import Authority
from tests.support.prometheus import alertmanager
from tests.support.receivers import Hook, hook, mail_server, signed
from tests.support.workers import http, send, wait_for

pytestmark = pytest.mark.integration

SECRET = "not a real key"  # noqa: S105
NOW = time.time_ns() // 1000
ALERT = Alert(
    transaction_id="t-0", card_id="c-0", event_time=NOW, score=7.5, decision="review", threshold=5.0,
    reasons=[ReasonMessage("amount", 0.9, 900.0, 20.0, "the amount is far above the card's mean")], model_version="m1",
    threshold_version="th1", profile_version="p1", spec_version="s1", partition=0, offset=0, decided_at=NOW,
    merchant_id="m-0", amount_minor=90_000, currency="EUR", rule_version="r1",
)  # fmt: skip


def alerts(count: int, **changes: Any) -> list[Alert]:
    return [
        msgspec.structs.replace(
            ALERT,
            **{"transaction_id": f"t-{i}", "card_id": f"c-{i % 97}", "score": 5 + i / count, "offset": i, **changes},
        )
        for i in range(count)
    ]


@pytest.fixture
def params(kafka: LocalKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StreamParams:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    params = own_params(tmp_path, kafka.bootstrap)
    ensure_topics(params, alert_topics(params))
    return params


def written(folder: Path, sinks: dict[str, Any], *routes: dict[str, Any]) -> Path:
    file = folder / "alerts.yaml"
    file.write_text(yaml.safe_dump({"sinks": sinks, "routes": list(routes)}))
    return file


def webhook(kept: Hook, **changes: Any) -> dict[str, Any]:
    shared = {"kind": "webhook", "url": kept.url, "secret": {"env": "HOOK_SECRET"}, "first_wait_s": 0.01}
    return {**shared, **changes}


def sent(params: StreamParams, found: list[Alert], **headers: bytes) -> None:
    send(
        params,
        [Output(params.topics.alerts, a.card_id.encode(), encode(a), tuple(headers.items())) for a in found],
    )


@contextmanager
def routing(params: StreamParams, file: Path, port: int = 0) -> Iterator[AlertMetrics]:
    stop, metrics = threading.Event(), AlertMetrics()
    thread = threading.Thread(
        target=run_router, args=(params, file), kwargs={"stop": stop, "metrics": metrics, "port": port}
    )
    thread.start()
    try:
        yield metrics
    finally:
        stop.set()
        thread.join(300)
        assert not thread.is_alive()


def counted(metrics: AlertMetrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


def committed(params: StreamParams) -> bool:
    """Whether the router's group has committed all alerts."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=params.bootstrap, group_id=f"{params.group}-alerts")
    try:
        places = [TopicPartition(params.topics.alerts, partition) for partition in range(params.topics.partitions)]
        ends = consumer.end_offsets(places)
        return all((consumer.committed(place) or 0) == ends[place] for place in places)
    finally:
        consumer.close()


def test_ten_thousand_alerts_of_one_merchant_are_one_event_that_names_them_all(
    params: StreamParams, tmp_path: Path
) -> None:
    with hook() as kept:
        file = written(
            tmp_path,
            {"soc": webhook(kept)},
            {"name": "storm", "sinks": ["soc"], "group_by": ["merchant_id"], "quiet_s": 2, "most_s": 60},
        )
        storm = alerts(10_000, merchant_id="m-bad")
        with routing(params, file) as metrics:
            sent(params, storm)
            sent(params, alerts(1, merchant_id="m-other", transaction_id="t-other"))
            wait_for(lambda: len(kept.taken) >= 2, "two events")
            wait_for(lambda: committed(params), "all committed")
            assert counted(metrics, "fraudline_alerts_read_total") == 10_001
        events = {event["type"]: event for event in kept.taken}
        assert len(kept.taken) == 2
        group = events["fraudline.alert-group.v1"]["data"]
        assert group["count"] == 10_000
        assert set(group["transaction_ids"]) == {alert.transaction_id for alert in storm}
        assert (group["group"], group["cards"]) == ({"merchant_id": "m-bad"}, 97)
        assert group["amounts_minor"] == {"EUR": 900_000_000}
        assert group["examples"][0]["transaction_id"] == "t-9999"
        assert "10,000 alerts" in group["summary"]
        alone = events["fraudline.alert.v1"]
        assert {"specversion", "id", "source", "time"} <= alone.keys()
        said = alone["data"]
        assert (said["score"], said["threshold"], said["rule_version"]) == (5.0, 5.0, "r1")
        assert (said["model_version"], said["threshold_version"]) == ("m1", "th1")
        assert "far above the card's mean" in said["summary"]
        assert all(signed(headers, body, SECRET.encode()) for headers, body, _ in kept.requests)
        assert not signed(kept.requests[0][0], kept.requests[0][1] + b" ", SECRET.encode())


def test_what_a_rate_does_not_allow_waits_and_comes_as_one_event_that_counts_them_all(
    params: StreamParams, tmp_path: Path
) -> None:
    with hook() as kept:
        slow = webhook(kept, rate={"per_minute": 20, "burst": 2})
        file = written(tmp_path, {"soc": slow}, {"name": "each", "sinks": ["soc"], "quiet_s": 0})
        with routing(params, file):
            sent(params, alerts(30))
            wait_for(lambda: committed(params), "all committed")
        said = [event["data"] for event in kept.taken]
        alone, together = said[:2], said[2:]
        assert [len(data.get("transaction_ids", [])) for data in alone] == [0, 0]
        ids = {data["transaction_id"] for data in alone} | {
            name for data in together for name in data["transaction_ids"]
        }
        assert ids == {f"t-{number}" for number in range(30)}
        assert len(said) <= 4
        assert sum(data["count"] for data in together) == 28


def test_a_webhook_is_tried_again_under_one_key_and_what_it_never_takes_is_a_dead_letter(
    params: StreamParams, tmp_path: Path
) -> None:
    with hook() as kept:
        kept.answers = [500, 503, 204, 400, 503, 503, 503, 302]
        file = written(tmp_path, {"soc": webhook(kept, attempts=3)}, {"name": "each", "sinks": ["soc"], "quiet_s": 0})
        with routing(params, file) as metrics:
            for alert in alerts(4):
                sent(params, [alert])
                done = float(alert.transaction_id[2:]) + 1

                def ended(done: float = done) -> bool:
                    names = ("fraudline_alert_events_sent_total", "fraudline_alert_dead_letters_total")
                    return sum(counted(metrics, name, sink="soc") for name in names) >= done

                wait_for(ended, "an end", interval=0.05)
            wait_for(lambda: committed(params), "all committed")
        first = [headers["idempotency-key"] for headers, _, _ in kept.requests[:3]]
        assert len(set(first)) == 1
        assert [event["data"]["transaction_id"] for event in kept.taken] == ["t-0"]
        letters = read_all(params.bootstrap, params.topics.alert_dead_letters)
        found = {json.loads(letter.value)["data"]["transaction_id"]: dict(letter.headers) for letter in letters}
        assert sorted(found) == ["t-1", "t-2", "t-3"]
        assert b"400" in found["t-1"]["reason"]
        assert b"503" in found["t-2"]["reason"]
        assert b"302" in found["t-3"]["reason"], "a signed event must not follow a redirection"
        assert {headers["sink"] for headers in found.values()} == {b"soc"}
        documented = Draft202012Validator(asyncapi(params)["components"]["messages"]["alertDeadLetter"]["headers"])
        for headers in found.values():
            assert not list(documented.iter_errors({name: value.decode() for name, value in headers.items()}))


def test_what_a_sink_did_not_take_is_listed_and_sent_again_under_its_key(params: StreamParams, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"stream": params.model_dump(mode="json")}))

    def letters(*arguments: str) -> tuple[dict[str, Any], BaseException | None]:
        given = ["alerts", "dead-letters", *arguments, "--params", str(tmp_path / "params.yaml"), "--json"]
        result = CliRunner().invoke(cli, given)
        return json.loads(result.stdout or "{}"), result.exception

    with hook() as kept, hook() as other:
        kept.answers, other.answers = [400, 503, 400], [400]
        sinks = {"soc": webhook(kept, attempts=1), "desk": webhook(other, attempts=1)}
        last = {"name": "last", "match": {"merchant_id": ["m-last"]}, "sinks": ["desk"], "quiet_s": 0}
        file = written(tmp_path, sinks, last, {"name": "each", "sinks": ["soc"], "quiet_s": 0})
        with routing(params, file):
            sent(params, [*alerts(3), *alerts(1, merchant_id="m-last", transaction_id="t-last")])
            wait_for(lambda: committed(params), "all kept as dead letters")
        refused = {headers["idempotency-key"]: json.loads(body) for headers, body, _ in kept.requests}
        found, _ = letters("list", "--sink", "soc")
        assert (found["total"], found["sinks"]) == (3, {"soc": 3})
        assert {letter["idempotency_key"] for letter in found["letters"]} == set(refused)
        shown, _ = letters("show", found["letters"][0]["letter"])
        assert shown["event"] == refused[shown["idempotency_key"]]
        assert letters("replay", str(file), "--dry-run") == ({"sent": 0, "left": 4}, None)

        kept.answers = [503]
        said, problem = letters("replay", str(file))
        assert (said, type(problem)) == ({"sent": 1, "left": 3}, UnavailableError)
        assert [event["data"]["transaction_id"] for event in other.taken] == ["t-last"]
        assert len(kept.requests) == 4, "a sink that is away is asked once"
        assert letters("replay", str(written(tmp_path, {"desk": sinks["desk"]}, last)))[0] == {"sent": 0, "left": 3}
        file = written(tmp_path, sinks, last)
        assert letters("replay", str(file), "--limit", "1") == ({"sent": 1, "left": 0}, None)
        assert letters("replay", str(file)) == ({"sent": 2, "left": 0}, None)
        assert {headers["idempotency-key"]: json.loads(body) for headers, body, _ in kept.requests[4:]} == refused
        assert all(signed(headers, body, SECRET.encode()) for headers, body, _ in kept.requests)
        assert letters("replay", str(file)) == ({"sent": 0, "left": 0}, None)
        assert letters("replay", str(file), "--letter", shown["letter"]) == ({"sent": 1, "left": 0}, None)
        assert kept.requests[-1][0]["idempotency-key"] == shown["idempotency_key"]
        assert isinstance(letters("show", "0:99999")[1], UsageError)


def test_every_kind_of_sink_takes_an_alert_and_none_waits_for_one_that_is_gone(
    params: StreamParams, tmp_path: Path
) -> None:
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "password").write_text("smtp password\n")
    (tmp_path / "am").mkdir()
    config = {"route": {"receiver": "none"}, "receivers": [{"name": "none"}]}
    ensure_topics(params, {"alerts.routed": {}})
    with (
        mail_server(*authority.write_server(tmp_path), "router", "smtp password") as (port, mails),
        alertmanager(tmp_path / "am", config) as manager,
    ):
        sinks = {
            "mail": {
                "kind": "email", "host": "localhost", "port": port, "ca": str(tmp_path / "ca.pem"), "user": "router",
                "password": {"file": str(tmp_path / "password")}, "sender": "fraudline@example.com",
                "to": ["fraud@example.com"],
            },
            "am": {"kind": "alertmanager", "url": manager.url},
            "topic": {"kind": "topic", "topic": "alerts.routed"},
            "gone": {"kind": "webhook", "url": f"http://127.0.0.1:{free_port()}/x", "secret": {"env": "HOOK_SECRET"}},
        }  # fmt: skip
        blocks = {"name": "blocks", "match": {"decision": ["block"]}, "sinks": list(sinks), "quiet_s": 0}
        file = written(tmp_path, sinks, blocks)
        with routing(params, file) as metrics:
            sent(params, alerts(1, decision="block", merchant_id="m-1\nBcc: x@example.com"))
            sent(params, alerts(1, decision="block", mode="shadow", transaction_id="t-shadow"))
            for sink in ("mail", "am", "topic"):
                wait_for(lambda s=sink: counted(metrics, "fraudline_alert_events_sent_total", sink=s), sink)
            wait_for(lambda: counted(metrics, "fraudline_alerts_unrouted_total"), "shadow alert unrouted")
            assert not committed(params)
        (mail,) = mails
        assert mail["Subject"].startswith("[fraudline] block")
        assert mail["Bcc"] is None
        attached = json.loads(next(mail.iter_attachments()).get_content())
        assert attached["data"]["transaction_id"] == "t-0"
        (shown,) = httpx.get(f"{manager.url}/api/v2/alerts").json()
        assert shown["labels"]["alertname"] == "FraudAlert"
        assert shown["labels"]["decision"] == "block"
        (routed,) = read_all(params.bootstrap, "alerts.routed")
        assert json.loads(routed.value)["id"] == attached["id"]


def test_records_that_are_no_alerts_stop_none_that_comes_after_them(params: StreamParams, tmp_path: Path) -> None:
    foreign = [b"{}", b'{"transaction_id": "\xff"}', b'{"more": ' + b"[" * 100_000]
    with hook() as kept:
        file = written(tmp_path, {"soc": webhook(kept)}, {"name": "each", "sinks": ["soc"], "quiet_s": 0})
        with routing(params, file) as metrics:
            send(params, [Output(params.topics.alerts, b"c", value) for value in foreign])
            sent(params, alerts(1, card_id="c"))
            wait_for(lambda: kept.taken, "the alert")
            assert counted(metrics, "fraudline_alerts_unreadable_total") == len(foreign)


def test_alerts_of_a_log_that_was_cut_and_grew_again_are_not_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an unclean election: the leader's copy is set back while it is down, and records come after it."""
    need_java()
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    with LocalKafka(tmp_path / "kafka", cache=CACHE) as broker, hook() as kept:
        params = own_params(tmp_path, broker.bootstrap, partitions=1)
        ensure_topics(params, alert_topics(params))
        file = written(tmp_path, {"soc": webhook(kept)}, {"name": "each", "sinks": ["soc"], "quiet_s": 0})
        sent(params, alerts(10))
        broker.stop()
        log, copy = broker.folder / "data" / f"{params.topics.alerts}-0", tmp_path / "copy"
        shutil.copytree(log, copy)
        broker.start()
        sent(params, alerts(10))
        with routing(params, file):
            wait_for(lambda: committed(params), "all are committed")
        broker.stop()
        shutil.rmtree(log)
        copy.rename(log)
        broker.start()
        sent(params, alerts(30))
        with routing(params, file) as metrics:
            wait_for(lambda: committed(params), "all are committed again")
            assert counted(metrics, "fraudline_alerts_read_total") == 30


def test_a_router_whose_topic_is_not_there_says_which(params: StreamParams, tmp_path: Path) -> None:
    file = written(tmp_path, {"cases": {"kind": "topic", "topic": "cases"}}, {"name": "all", "sinks": ["cases"]})
    for field in ("alerts", "alert_dead_letters"):
        topics = params.topics.model_copy(update={field: "not-there"})
        with pytest.raises(UnavailableError, match="There is no topic not-there") as caught:
            run_router(params.model_copy(update={"topics": topics}), file, stop=threading.Event())
        assert "--create-topics" in caught.value.action


def test_the_trace_of_an_alert_goes_on_to_whoever_takes_it(params: StreamParams, tmp_path: Path) -> None:
    recorded, unrecorded = (f"00-{n:032x}-{n:016x}-{n % 2:02x}" for n in (1, 2))
    routed = f"routed-{params.group}"
    ensure_topics(params, {routed: {}})
    with hook() as kept, hook() as refusing:
        refusing.answers = [400] * 4
        sinks = {"soc": webhook(kept), "no": webhook(refusing), "topic": {"kind": "topic", "topic": routed}}
        together = {"name": "storm", "match": {"merchant_id": ["m-bad"]}, "sinks": ["soc"], "quiet_s": 2, "most_s": 60}
        file = written(tmp_path, sinks, together, {"name": "each", "sinks": list(sinks), "quiet_s": 0})
        with routing(params, file):
            sent(params, alerts(1, transaction_id="t-recorded"), traceparent=recorded.encode())
            sent(params, alerts(1, transaction_id="t-unrecorded"), traceparent=unrecorded.encode())
            sent(params, alerts(1, transaction_id="t-without"))
            sent(params, alerts(1, transaction_id="t-wrong"), traceparent=b"00-1\r\nx: y")
            sent(params, alerts(3, merchant_id="m-bad"), traceparent=unrecorded.encode())
            sent(params, alerts(3, merchant_id="m-bad"), traceparent=recorded.encode())
            wait_for(lambda: len(kept.taken) == 5, "four alone and one group")
            wait_for(lambda: committed(params), "all committed")
    of_group = "fraudline.alert-group.v1"
    expected = {"t-recorded": recorded, "t-unrecorded": unrecorded, "t-without": None, "t-wrong": None}
    posted = [(json.loads(body), headers) for headers, body, _ in kept.requests]
    said = {of_group if e["type"] == of_group else e["data"]["transaction_id"]: e.get("traceparent") for e, _ in posted}
    assert said == {**expected, of_group: recorded}
    assert all(headers.get("traceparent") == event.get("traceparent") for event, headers in posted)
    for topic in (routed, params.topics.alert_dead_letters):
        records = [(json.loads(record.value), dict(record.headers)) for record in read_all(params.bootstrap, topic)]
        assert {event["data"]["transaction_id"]: event.get("traceparent") for event, _ in records} == expected
        assert all(h.get("traceparent", b"").decode() == event.get("traceparent", "") for event, h in records)


def test_a_changed_routing_file_holds_without_a_restart_and_a_wrong_one_changes_nothing(
    params: StreamParams, tmp_path: Path
) -> None:
    port = free_port()
    with hook() as first, hook() as second:
        route = {"name": "each", "sinks": ["soc"], "quiet_s": 0}
        file = written(tmp_path, {"soc": webhook(first)}, route)
        with routing(params, file, port) as metrics:
            wait_for(lambda: http(f"http://127.0.0.1:{port}/readyz")[0] == 200, "ready")
            sent(params, alerts(1))
            wait_for(lambda: first.taken, "the first")
            no_ca = {"soc": webhook(second, ca=str(tmp_path / "nowhere.pem"))}, route
            no_sink = {"soc": webhook(second)}, {**route, "sinks": ["sock"]}
            for wrong, right in ((no_ca, first), (no_sink, second)):
                before = len(first.taken)
                written(tmp_path, *wrong)
                wait_for(lambda: counted(metrics, "fraudline_alert_routing_refused"), "refused")
                sent(params, alerts(1, transaction_id=f"t-{before}"))
                wait_for(lambda n=before: len(first.taken) > n, "still the first")
                written(tmp_path, {"soc": webhook(right)}, route)
                wait_for(lambda: not counted(metrics, "fraudline_alert_routing_refused"), "taken")
            kept = file.read_bytes()
            file.unlink()
            wait_for(lambda: counted(metrics, "fraudline_alert_routing_refused"), "missed")
            file.write_bytes(kept)
            wait_for(lambda: not counted(metrics, "fraudline_alert_routing_refused"), "back, unchanged")
            written(tmp_path, {"soc": webhook(second, ca=str(tmp_path / "late.pem"))}, route)
            wait_for(lambda: counted(metrics, "fraudline_alert_routing_refused"), "no certificates yet")
            (tmp_path / "late.pem").write_bytes(Authority().pem)
            wait_for(lambda: not counted(metrics, "fraudline_alert_routing_refused"), "looked at again")
            sent(params, alerts(1, transaction_id="t-last"))
            wait_for(lambda: second.taken, "the second")
        assert len(first.taken) == 3


def test_a_router_that_ends_before_a_delivery_leaves_the_alert_to_the_next(
    params: StreamParams, tmp_path: Path
) -> None:
    with hook() as kept:
        file = written(tmp_path, {"soc": webhook(kept)}, {"name": "late", "sinks": ["soc"], "quiet_s": 60})
        with routing(params, file) as metrics:
            sent(params, alerts(3))
            wait_for(lambda: counted(metrics, "fraudline_alerts_read_total") == 3, "read")
            time.sleep(1.5)
        assert kept.requests == []
        file = written(tmp_path, {"soc": webhook(kept)}, {"name": "each", "sinks": ["soc"], "quiet_s": 0})
        with routing(params, file):
            wait_for(lambda: len(kept.taken) == 3, "all three")


def test_an_alert_whose_partition_leaves_and_comes_back_is_counted_once(params: StreamParams, tmp_path: Path) -> None:
    def read(metrics: AlertMetrics) -> float:
        return counted(metrics, "fraudline_alerts_read_total")

    with hook() as kept:
        sinks, late = {"soc": webhook(kept)}, {"name": "late", "sinks": ["soc"], "quiet_s": 600, "most_s": 600}
        file = written(tmp_path, sinks, late)
        with routing(params, file) as metrics:
            sent(params, alerts(40))
            wait_for(lambda: read(metrics) == 40, "all read")
            with routing(params, file) as others:
                wait_for(lambda: read(others), "some read by another router")
            sent(
                params, [msgspec.structs.replace(alert, transaction_id=f"u-{n}") for n, alert in enumerate(alerts(40))]
            )
            wait_for(lambda: read(metrics) >= 80, "all partitions back")
            written(tmp_path, sinks, {**late, "name": "other"})  # a changed route sends what is open
            wait_for(lambda: kept.taken, "the group")
            wait_for(lambda: committed(params), "what was passed over is committed, too")
    (said,) = [event["data"] for event in kept.taken]
    assert said["count"] == 80
    assert sorted(said["transaction_ids"]) == sorted(f"{letter}-{n}" for letter in "tu" for n in range(40))


def test_the_command_line_checks_a_routing_file_and_tries_its_sinks(params: StreamParams, tmp_path: Path) -> None:
    with hook() as kept:
        file = written(tmp_path, {"soc": webhook(kept)}, {"name": "each", "sinks": ["soc"], "quiet_s": 0})
        shown = CliRunner().invoke(cli, ["alerts", "check", str(file)])
        assert "each: all alerts -> soc, each by itself" in shown.output
        tried = CliRunner().invoke(cli, ["alerts", "test", str(file), "--json"])
        assert json.loads(tried.output) == {"soc": "sent"}
        assert "this is a test" in kept.taken[0]["data"]["summary"]
    file.write_text(file.read_text().replace("webhook", "pigeon"))
    wrong = CliRunner().invoke(cli, ["alerts", "check", str(file)])
    assert isinstance(wrong.exception, UsageError)
    assert "pigeon" in wrong.exception.problem


def test_a_whole_storm_of_long_ids_that_no_sink_takes_is_kept_as_one_dead_letter(
    params: StreamParams, tmp_path: Path
) -> None:
    with hook() as kept:
        kept.answers = [400]
        file = written(tmp_path, {"soc": webhook(kept)}, {"name": "storm", "sinks": ["soc"], "quiet_s": 2})
        with routing(params, file):
            storm = [msgspec.structs.replace(each, transaction_id=f"{each.offset:0128}") for each in alerts(10_000)]
            sent(params, storm)
            wait_for(lambda: committed(params), "all committed")
    (letter,) = read_all(params.bootstrap, params.topics.alert_dead_letters)
    assert len(json.loads(letter.value)["data"]["transaction_ids"]) == 10_000
