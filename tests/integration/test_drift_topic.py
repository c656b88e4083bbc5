"""``fraudline drift --topic``: a bounded window of a real broker's topic says what the same decisions in a file say."""

import json
from contextlib import closing
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from fraudline.cli.main import cli
from fraudline.core.errors import SchemaError, UsageError
from fraudline.stream.topics import ensure_topics
from fraudline.stream.transport import Output, open_sender
from tests.support.broker import own_params
from tests.support.traffic import AMOUNT, FIRST, decisions, traffic, watched_artifact

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return watched_artifact(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture
def params(kafka, tmp_path):
    params = own_params(tmp_path, kafka.bootstrap)
    ensure_topics(params)
    settings = {"stream": params.model_dump(mode="json"), "monitor": {"classifier_rows": 0}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    return params


def window(model, *, days, seed, factor=1.0, offset=0):
    times, features = traffic(days, first=FIRST + timedelta(days=70 + offset), seed=seed)
    features[:, AMOUNT] *= np.float32(factor)
    return decisions(model, times, features)


def send(params, table):
    with closing(open_sender("kafka-python", params.bootstrap)) as sender:
        for row in table.to_pylist():
            sender.send(Output(params.topics.decisions, row["card_id"].encode(), json.dumps(row).encode()))


def drift(tmp_path, model, *given):
    command = ["drift", *given, "--model", model, "--report", tmp_path / "report", "--params", tmp_path / "params.yaml"]
    result = CliRunner().invoke(cli, [str(part) for part in command], standalone_mode=False)
    return result.exception, json.loads((tmp_path / "report" / "drift.json").read_text())


def test_the_topic_says_what_the_same_decisions_in_a_file_say(params, model, tmp_path):
    table = window(model, days=2, seed=1)
    send(params, table)
    pq.write_table(table, tmp_path / "window.parquet")
    assert drift(tmp_path, model, "--topic") == drift(tmp_path, model, tmp_path / "window.parquet")


def test_only_the_newest_decisions_of_this_model_are_read(params, model, tmp_path):
    send(params, window(model, days=2, seed=1, factor=3))
    newer = window(model, days=2, seed=2, offset=2)
    another = newer.slice(0, 300).set_column(newer.schema.get_field_index("model_version"), "model_version",
                                             pa.array(["another"] * 300))  # fmt: skip
    send(params, newer)
    send(params, another)
    error, document = drift(tmp_path, model, "--topic", "--newest", 2_400)
    assert error is None
    assert document["verdict"] == "stable"
    assert 1_900 <= document["window"]["rows"] <= 2_100


def test_a_record_that_is_no_decision_and_two_sources_are_errors(params, model, tmp_path):
    with closing(open_sender("kafka-python", params.bootstrap)) as sender:
        sender.send(Output(params.topics.decisions, b"x", b"not a decision"))
    command = ["drift", "--model", str(model), "--params", str(tmp_path / "params.yaml")]
    with pytest.raises(SchemaError, match="no decision"):
        CliRunner().invoke(cli, [*command, "--topic"], catch_exceptions=False, standalone_mode=False)
    with pytest.raises(UsageError, match="from a file or from the topic"):
        CliRunner().invoke(cli, command, catch_exceptions=False, standalone_mode=False)
