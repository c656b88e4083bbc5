import json
from contextlib import nullcontext
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fraudline.cli import serve as serve_module
from fraudline.cli.main import cli
from fraudline.core.errors import ArtifactError, DataError, SchemaError, UsageError
from fraudline.core.files import write_json
from fraudline.data.store import read_transactions, write_dataset
from fraudline.ops import pipeline as pipeline_module
from fraudline.ops.pipeline import LocalRun
from fraudline.serve import main as serve_main
from fraudline.stream import alert_router as router_module
from fraudline.stream import card_topic, dead_letter_topic, topic_reader
from fraudline.stream import produce as produce_module
from fraudline.stream import topics as topics_module
from fraudline.stream import worker as worker_module
from fraudline.stream.dead_letter import DeadLetter
from fraudline.stream.messages import BlockedCard, CardAction
from tests.support.artifacts import tiny_artifact
from tests.support.datasets import small_dataset, small_tables

MD5 = "0123456789abcdef0123456789abcdef.dir"


def invoke(*arguments):
    return CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture
def seen(monkeypatch, tmp_path):
    """Run in an empty folder; what the command called with comes back in the dictionary."""
    monkeypatch.chdir(tmp_path)
    return {}


def test_score_writes_a_row_for_each_transaction(tmp_path):
    dataset = small_dataset(tmp_path)
    day = read_transactions(dataset).slice(0, 50)
    pq.write_table(day, tmp_path / "day.parquet")
    out = tmp_path / "out.csv"
    model = tiny_artifact(tmp_path / "model")
    result = invoke("score", tmp_path / "day.parquet", "--model", model, "-o", out, "--json")
    said = json.loads(result.stdout)
    assert said["rows"] == 50
    lines = out.read_text().splitlines()
    assert len(lines) == 51
    assert lines[0].replace('"', "").startswith("transaction_id,score,decision,threshold")


def test_score_takes_the_newest_packaged_artifact(seen, tmp_path):
    artifact = tiny_artifact(tmp_path / "artifacts" / "abc")
    pq.write_table(read_transactions(small_dataset(tmp_path)).slice(0, 5), tmp_path / "day.parquet")
    with pytest.raises(ArtifactError, match="There is no build/package"):
        invoke("score", tmp_path / "day.parquet", "-o", tmp_path / "out.csv")
    write_json(tmp_path / serve_module.PACKAGE, {"uri": artifact.as_uri(), "digest": "abc"})
    said = invoke("score", tmp_path / "day.parquet", "-o", tmp_path / "out.csv", "--json")
    assert json.loads(said.stdout)["rows"] == 5


def test_serve_takes_the_newest_packaged_artifact(monkeypatch, seen, tmp_path):
    monkeypatch.setattr(serve_main, "serve", lambda model, **options: seen.update(model=model, **options))
    artifact = tiny_artifact(tmp_path / "artifacts" / "abc")
    write_json(tmp_path / serve_module.PACKAGE, {"uri": artifact.as_uri(), "digest": "abc"})
    assert invoke("serve", "--port", "9000", "--grpc-port", "0").exit_code == 0
    assert seen == {
        "model": artifact,
        "name": "fraud",
        "http_port": 9000,
        "grpc_port": None,
        "expected_digest": None,
        "host": "127.0.0.1",
        "thresholds": None,
        "tls_certificate": None,
        "tls_key": None,
        "token_file": None,
        "public_key": None,
        "minimum_release": 0,
    }


@pytest.mark.usefixtures("seen")
def test_serve_says_what_to_do_when_nothing_is_packaged():
    with pytest.raises(ArtifactError, match="dvc repro"):
        invoke("serve")


@pytest.mark.usefixtures("seen")
def test_serve_says_what_to_do_when_the_packaged_artifact_is_gone(tmp_path):
    write_json(tmp_path / serve_module.PACKAGE, {"uri": (tmp_path / "artifacts" / "abc").as_uri(), "digest": "abc"})
    with pytest.raises(ArtifactError, match="--single-item package"):
        invoke("serve")


@pytest.mark.usefixtures("seen")
def test_the_demo_refuses_another_data_set_before_it_trains_on_it(tmp_path):
    tables = small_tables()
    write_dataset(tmp_path / "data", *tables, {"name": "bank", "currency": "EUR", "generator": None})
    with pytest.raises(UsageError, match="after a generated data set"):
        invoke("demo")


@pytest.mark.usefixtures("seen")
def test_pipeline_submit_without_a_dvc_file_is_a_usage_error():
    with pytest.raises(UsageError, match=r"data\.dvc cannot be read"):
        invoke("pipeline", "submit", "--host", "http://kfp", "--repo", "r", "--revision", "abc")


def test_stream_takes_options_over_the_parameter_file(monkeypatch, seen, tmp_path):
    monkeypatch.setattr(worker_module, "run_worker", lambda params, **rest: seen.update(params=params, **rest))
    (tmp_path / "p.yaml").write_text("stream: {group: from-file, max_batch: 7}\n")
    model = tiny_artifact(tmp_path / "model")
    options = ["--group", "from-option", "--bootstrap", "b:1", "--endpoint", "http://e", "--metrics-port", "0"]
    assert invoke("stream", "--params", tmp_path / "p.yaml", "--model", model, *options).exit_code == 0
    params = seen["params"]
    assert (params.group, params.max_batch, params.bootstrap, params.endpoint) == ("from-option", 7, "b:1", "http://e")
    assert seen["model_dir"] == model
    assert seen["history_dir"] is None
    assert not seen["stop"].is_set()


@pytest.mark.usefixtures("seen")
def test_produce_needs_one_source():
    with pytest.raises(UsageError, match="--generate-minutes"):
        invoke("produce")


def test_the_alert_router_makes_the_topics_of_its_sinks(monkeypatch, seen, tmp_path):
    monkeypatch.setattr(topics_module, "ensure_topics", lambda _, wanted: seen.update(wanted))
    monkeypatch.setattr(router_module, "run_router", lambda *_, **__: None)
    routing = {
        "sinks": {"cases": {"kind": "topic", "topic": "alerts.cases"}},
        "routes": [{"name": "a", "sinks": ["cases"]}],
    }
    (tmp_path / "alerts.yaml").write_text(json.dumps(routing))
    assert invoke("alerts", "run", tmp_path / "alerts.yaml", "--create-topics").exit_code == 0
    assert seen["alerts.cases"] == seen["alerts.dlq"] == {"max.message.bytes": str(4 << 20)}
    assert "alerts" in seen


def test_the_list_of_cards_says_how_many_blocks_are_over(monkeypatch, tmp_path):
    entries = [BlockedCard(f"c-{until}", until, 1, "worker", "the score") for until in (2, 2**52)]
    monkeypatch.setattr(card_topic, "listed", lambda _: entries)
    monkeypatch.chdir(tmp_path)
    assert invoke("cards", "list").stderr == "1 card; 1 more are over (--expired)\n"
    assert invoke("cards", "list", "--expired").stderr == "2 cards\n"


def test_what_a_stranger_wrote_commands_no_terminal_and_forges_no_line(seen, monkeypatch):
    card = "c-1\x1b]0;owned\x07\nc-2  until 2099"
    entry = BlockedCard(card, 2**52, 1, "worker", "the score\r")
    action = CardAction("block", card, 1, "ada", "stolen")
    letter = DeadLetter(0, 17, 0, f"{card}: expected JSON", "transactions", 3, 4, b"c-1", b'{"a":\n"\x1b[2J\xff"}')
    monkeypatch.setattr(card_topic, "listed", lambda _: [entry])
    monkeypatch.setattr(card_topic, "actions", lambda _: [action])
    monkeypatch.setattr(dead_letter_topic, "read_letter", lambda *_: letter)
    monkeypatch.setattr(dead_letter_topic, "read_letters", lambda _: [letter])
    for command in (("cards", "list"), ("cards", "log"), ("dlq", "list")):
        (line,) = invoke(*command).stdout.splitlines()
        assert r"c-1\x1b]0;owned\x07\nc-2  until 2099" in line
    shown = invoke("dlq", "show", "0:17").stdout
    assert shown.endswith('{"a":\n"\\x1b[2J\\xff"}\n')
    assert "\x1b" not in shown + invoke("dlq", "list").stderr


@pytest.mark.parametrize("masked", [True, False])
def test_a_dead_letter_says_whether_digits_of_card_numbers_were_masked(seen, monkeypatch, masked):
    letter = DeadLetter(0, 17, 0, "value: expected JSON", "transactions", 3, 4, b"c-1", b"*1111", masked=masked)
    monkeypatch.setattr(dead_letter_topic, "read_letter", lambda *_: letter)
    assert f"masked  {masked}" in invoke("dlq", "show", "0:17").stdout
    assert json.loads(invoke("dlq", "show", "0:17", "--json").stdout)["masked"] is masked


@pytest.mark.parametrize(
    "arguments",
    [
        ("produce", "--generate-minutes", "-5"),
        ("produce", "--generate-minutes", "0"),
        ("produce", ".", "--rate", "-1"),
        ("demo", "--seconds", "0"),
        ("demo", "--rate", "-1"),
        ("data", "import", "handbook", "--label-delay-days", "-1", __file__),
    ],
)
def test_a_number_that_means_nothing_is_refused_before_anything_is_done(arguments):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "is not in the range" in result.stderr


def test_pipeline_run_hands_the_parameters_to_the_compiled_pipeline(monkeypatch, seen, tmp_path):
    def run_local(compiled, arguments, root, notice, *, containers):
        seen.update(compiled=compiled, arguments=arguments, containers=containers)
        notice("train", "SUCCESS")
        return LocalRun(root)

    monkeypatch.setattr(pipeline_module, "run_local", run_local)
    (tmp_path / "p.yaml").write_text("seed: 11\n")
    result = invoke("pipeline", "run", "--params", tmp_path / "p.yaml", "--out", tmp_path / "out", "--json")
    assert json.loads(result.stdout) == {"folder": str(tmp_path / "out")}
    assert seen["arguments"]["params"]["seed"] == 11
    assert seen["containers"] is None
    assert invoke("pipeline", "run", "--out", tmp_path / "out", "--containers").exit_code == 0
    assert seen["containers"].folders == (tmp_path,)
    assert "success" in result.stderr


def test_produce_sends_the_rows_of_a_file_in_its_order(monkeypatch, seen, tmp_path):
    def produce(tables, **options):
        seen.update(rows=[row for table in tables for row in table["transaction_id"].to_pylist()], **options)
        return produce_module.Produced(len(seen["rows"]), 1.0)

    monkeypatch.setattr(produce_module, "produce", produce)
    rows = read_transactions(small_dataset(tmp_path)).slice(0, 20)
    pq.write_table(rows, tmp_path / "rows.parquet")
    result = invoke("produce", tmp_path / "rows.parquet", "--rate", "50", "--json")
    assert json.loads(result.stdout)["transactions"] == 20
    assert seen["rows"] == rows["transaction_id"].to_pylist()
    assert seen["rate"] == 50.0


@pytest.mark.usefixtures("seen")
def test_produce_names_the_wrong_row_before_anything_is_sent(tmp_path):
    (tmp_path / "bad.csv").write_text(
        "transaction_id,event_time,card_id,merchant_id,amount_minor,currency,channel\nt1,5,c,m,x,EUR,pos\n"
    )
    with pytest.raises(SchemaError, match="row 1.*amount_minor|amount_minor.*row 1"):
        invoke("produce", tmp_path / "bad.csv")


def test_alerts_check_shows_a_route_in_words(tmp_path):
    file = tmp_path / "alerts.yaml"
    file.write_text(
        "sinks: {cases: {kind: topic, topic: alerts.cases}}\n"
        "routes: [{name: blocks, match: {decision: [review, block], min_score: 7.5}, sinks: [cases]}]\n"
    )
    said = invoke("alerts", "check", str(file)).stdout
    assert "blocks: decision review or block, min_score 7.5 -> cases" in said
    assert "1 route, 1 sink" in said


def test_alerts_check_warns_of_secrets_that_are_not_there(tmp_path):
    (tmp_path / "there").write_text("secret")
    sinks = {
        name: {"kind": "webhook", "url": "https://hooks.example", "secret": {"file": str(tmp_path / name)}}
        for name in ("there", "gone")
    }
    file = tmp_path / "alerts.yaml"
    file.write_text(json.dumps({"sinks": sinks, "routes": [{"name": "all", "sinks": ["there", "gone"]}]}))
    result = invoke("alerts", "check", str(file))
    assert result.exit_code == 0
    warned = f"warning: sink gone: The secret {tmp_path / 'gone'} is not there."
    assert [line.partition(" Mount")[0] for line in result.stderr.splitlines()] == [warned]


def test_rules_test_names_the_topic_whose_decisions_are_wrong(monkeypatch, tmp_path):
    (tmp_path / "rules.yaml").write_text("rules: [{id: high, verdict: review, when: score > 5.0, reason: high}]\n")
    asked = ("rules", "test", str(tmp_path / "rules.yaml"), "--topic")
    for records in ([], [SimpleNamespace(value=b"no JSON")]):
        monkeypatch.setattr(topic_reader, "read_topic", lambda *_, records=records: records)
        error = pytest.raises(DataError, invoke, *asked).value
        assert error.problem.startswith(("Topic decisions has no row", "Topic decisions cannot be read"))


@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
@pytest.mark.parametrize(
    "command", ["data import handbook README.md --label-delay-days", "cards block c-1 --why lost --hours"]
)
def test_a_number_that_is_none_or_lies_outside_its_range_is_a_usage_error(command, value):
    result = invoke(*command.split(), value)
    assert result.exit_code == 2
    assert "Invalid value for" in result.stderr


def test_keys_are_made_and_files_sealed_and_opened_with_one_object_of_json_each(tmp_path):
    master, text = tmp_path / "master.key", tmp_path / "text"
    master.write_text(f"m1 {'ab' * 32}\n")
    text.write_text("hello")
    pair = ("--private", tmp_path / "private.key", "--public", tmp_path / "public.pem")
    made = json.loads(invoke("promotion", "keygen", *pair, "--json").stdout)
    assert made == {"key": made["key"], "private": str(pair[1]), "public": str(pair[3])}
    assert len(made["key"]) == 16
    sealed, back, folder = tmp_path / "sealed", tmp_path / "back", tmp_path / "folder"
    given = ("--key-file", master, "--json", "-o")
    assert json.loads(invoke("seal", text, *given, sealed).stdout) == {"out": str(sealed), "kind": "file"}
    assert json.loads(invoke("unseal", sealed, *given, back).stdout) == {"out": str(back), "kind": "file"}
    folder.mkdir()
    invoke("seal", folder, *given, tmp_path / "folder.sealed")
    said = invoke("unseal", tmp_path / "folder.sealed", *given, tmp_path / "there").stdout
    assert json.loads(said) == {"out": str(tmp_path / "there"), "kind": "folder"}


def test_the_demo_of_a_rollout_says_its_commits_in_json(tmp_path, monkeypatch):
    state = SimpleNamespace(weights=lambda: {"d" * 64: 100})
    stage = SimpleNamespace(
        prometheus=SimpleNamespace(title="a scraper"), history=lambda: ["one"], follow=lambda: state
    )
    monkeypatch.setattr("fraudline.cli.demo.rollout.staged", lambda *_: nullcontext(stage))
    monkeypatch.setattr("fraudline.cli.demo.rollout.tell", lambda _, say: say("a line"))
    said = json.loads(invoke("rollout", "demo", "--model", tmp_path, "--json").stdout)
    assert (said["commits"], said["served"]) == (["one"], {"d" * 64: 100})
