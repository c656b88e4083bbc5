"""The commands that compare and change thresholds."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fraudline.cli.main import cli
from fraudline.core.errors import StateError, UsageError
from fraudline.core.files import read_json, write_json
from fraudline.data.store import read_labels, read_transactions, write_dataset
from fraudline.decide.decisions import read_decisions
from fraudline.decide.threshold_log import ThresholdLog
from fraudline.features.spec import load_spec
from fraudline.model.artifact import load_artifact, write_manifest
from fraudline.steps.params import Params
from fraudline.steps.threshold import adjust_thresholds, set_thresholds
from fraudline.stream.params import StreamParams
from fraudline.stream.scoring import open_scoring
from tests.support.artifacts import tiny_artifact
from tests.support.datasets import small_dataset


def invoke(*arguments):
    return CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture
def traffic(tmp_path):
    """A data set, and a file of its scores: frauds score higher."""
    dataset = small_dataset(tmp_path)
    transactions, labels = read_transactions(dataset), read_labels(dataset)
    fraud = np.isin(transactions["transaction_id"].to_numpy(), labels["transaction_id"].to_numpy())
    rng = np.random.default_rng(2)
    score = (rng.normal(0.4, 0.1, len(fraud)) + 0.2 * fraud).astype(np.float32)
    scored = tmp_path / "scored.parquet"
    pq.write_table(pa.table({"transaction_id": transactions["transaction_id"], "score": score}), scored)
    return dataset, scored


def dynamic(tmp_path, **settings):
    path = tmp_path / "params.yaml"
    path.write_text(json.dumps({"threshold": {"dynamic": {"enabled": True, "min_scores": 1000, **settings}}}))
    return path


def test_a_policy_is_chosen_on_the_first_days_and_judged_on_the_rest(tmp_path, traffic):
    dataset, scored = traffic
    page = tmp_path / "ab.html"
    result = invoke("threshold", "compare", "0.6", "alert_budget:0.02", "--decisions", scored, "--data", dataset,
                    "--choose-days", 30, "--page", page, "--json")  # fmt: skip
    said = json.loads(result.stdout)
    assert said["chosen_on"]["days"] == 30
    assert said["days"] == 15
    assert said["b"]["thresholds"]["policy"]["review_rate"] == 0.02
    assert said["b"]["alert_rate"] == pytest.approx(0.02, abs=0.01)
    assert said["difference"]["money_saved"]["interval"][0] <= said["difference"]["money_saved"]["value"]
    assert page.read_text().startswith("<!doctype html>")


def test_a_shop_that_sums_in_yen_compares_in_yen(tmp_path, traffic):
    """By the specification of params.yaml: its base currency, its rates and the decimals of its currency."""
    dataset, scored = traffic
    spec = load_spec().model_dump(mode="json") | {"base_currency": "JPY"}
    spec["currencies"] = {"JPY": {"exponent": 0, "rate": 1.0}, "EUR": {"exponent": 2, "rate": 160.0}}
    write_json(tmp_path / "yen.yaml", spec)
    write_json(tmp_path / "params.yaml", {"features": {"spec": str(tmp_path / "yen.yaml")}})
    command = ("threshold", "compare", "0.6", "0.5", "--decisions", scored, "--data", dataset)
    euros = json.loads(invoke(*command, "--json").stdout)
    yen = json.loads(invoke(*command, "--params", tmp_path / "params.yaml", "--json").stdout)
    assert (euros["currency"], yen["currency"]) == ("EUR", "JPY")
    amounts = [each["changed"]["only_b"]["fraud_amount"] for each in (euros, yen)]
    assert amounts[1] == pytest.approx(1.6 * amounts[0], rel=1e-3)
    said = invoke(*command, "--params", tmp_path / "params.yaml").stdout
    assert "saved, net, JPY" in said
    assert f"{yen['a']['money_saved']:,.0f}" in said


def test_a_model_and_a_thresholds_file_can_be_compared(tmp_path, traffic):
    dataset, scored = traffic
    model, trail = tiny_artifact(tmp_path / "model"), tmp_path / "t.jsonl"
    invoke(
        "threshold",
        "set",
        "--review",
        0.55,
        "--why",
        "a campaign",
        "--model",
        model,
        "--thresholds",
        trail,
        "--by",
        "ada",
    )
    said = invoke("threshold", "compare", model, trail, "--decisions", scored, "--data", dataset, "--json")
    found = json.loads(said.stdout)
    assert (found["a"]["thresholds"]["review"], found["b"]["thresholds"]["review"]) == (0.6, 0.55)
    assert found["b"]["alerts"] > found["a"]["alerts"]
    assert "saved, net" in invoke("threshold", "compare", 0.6, trail, "--decisions", scored, "--data", dataset).stdout


@pytest.mark.parametrize("text", ["nonsense", "7:6", "1:2:3", "nan", "quantile:0.9:0.99:0.999", "alert_budget:x"])
def test_what_names_neither_thresholds_nor_a_policy_is_refused(traffic, text):
    dataset, scored = traffic
    with pytest.raises(UsageError):
        invoke("threshold", "compare", "0.6", text, "--decisions", scored, "--data", dataset)


def test_an_adjustment_is_off_until_it_is_switched_on(tmp_path, traffic):
    model, trail = tiny_artifact(tmp_path / "model"), tmp_path / "t.jsonl"
    given = ("threshold", "adjust", "--decisions", traffic[1], "--model", model, "--thresholds", trail, "--by", "ada")
    params = tmp_path / "off.yaml"
    params.write_text("{}")
    with pytest.raises(UsageError, match="are off"):
        invoke(*given, "--params", params)
    assert json.loads(invoke(*given, "--params", params, "--dry-run", "--json").stdout)["changed"]
    assert not trail.exists()


@pytest.mark.parametrize("policy", ["quantile", "cost"])
def test_an_adjustment_does_not_move_thresholds_that_keep_no_budget(tmp_path, traffic, policy):
    model, trail = tiny_artifact(tmp_path / "model"), tmp_path / "t.jsonl"
    content = read_json(model / "model.json")
    write_json(model / "model.json", {**content, "thresholds": {**content["thresholds"], "policy": {"name": policy}}})
    write_manifest(model)
    with pytest.raises(UsageError, match=f"the policy {policy}"):
        invoke("threshold", "adjust", "--decisions", traffic[1], "--model", model, "--thresholds", trail,
               "--by", "ada", "--params", dynamic(tmp_path))  # fmt: skip
    assert not trail.exists()


def test_an_adjustment_writes_a_new_version_that_the_worker_uses(tmp_path, traffic):
    model, trail = tiny_artifact(tmp_path / "model"), tmp_path / "t.jsonl"
    said = invoke("threshold", "adjust", "--decisions", traffic[1], "--model", model, "--thresholds", trail,
                  "--by", "ada", "--params", dynamic(tmp_path), "--json")  # fmt: skip
    result = json.loads(said.stdout)
    assert result["written"]
    assert result["review"]["why"] == "one step"
    assert result["after"]["review"] == pytest.approx(0.6 * 1.05)
    (packaged, changed) = json.loads(invoke("threshold", "log", "--thresholds", trail, "--json").stdout)["changes"]
    assert changed["by"] == "ada"
    assert changed["before"] == packaged["thresholds"]
    assert changed["bounds"]["review"] == [pytest.approx(0.48), pytest.approx(0.75)]
    assert changed["evidence"]["review"]["rate"] > changed["evidence"]["review"]["budget"]
    assert "ada" in invoke("threshold", "log", "--thresholds", trail).stdout

    artifact = load_artifact(model)
    scoring = open_scoring(StreamParams(thresholds=str(trail)), artifact)
    row = scoring.score(np.zeros((1, len(artifact.spec.names)), np.float32))
    assert row.threshold_version == [result["after"]["version"]]
    with pytest.raises(UsageError, match="predictor decides"):
        open_scoring(StreamParams(thresholds=str(trail), endpoint="http://127.0.0.1:9"), artifact)
    with pytest.raises(StateError, match="of the model"):
        open_scoring(StreamParams(thresholds=str(trail)), load_artifact(tiny_artifact(tmp_path / "other", seed=1)))


def test_an_adjustment_looks_at_the_newest_scores_of_its_window(tmp_path):
    decisions = tmp_path / "d.parquet"
    scores = np.repeat([0.9, 0.1], [1_000, 3_000]).astype(np.float32)
    pq.write_table(pa.table({"event_time": np.arange(4_000, 0, -1), "score": scores}), decisions)  # the newest first
    said = invoke("threshold", "adjust", "--decisions", decisions, "--model", tiny_artifact(tmp_path / "model"),
                  "--thresholds", tmp_path / "t.jsonl", "--by", "ada", "--params", dynamic(tmp_path, window=1_000),
                  "--json")  # fmt: skip
    result = json.loads(said.stdout)
    assert (result["scores"], result["review"]["rate"]) == (1_000, 1.0)


def test_a_policy_is_chosen_by_the_labels_that_were_known_by_then(tmp_path, traffic):
    dataset, scored = traffic
    labels = read_labels(dataset)
    late = np.full(labels.num_rows, read_transactions(dataset)["event_time"].to_numpy().max())
    at = labels.column_names.index("label_time")
    unknown = labels.set_column(at, "label_time", pa.array(late, labels["label_time"].type))
    write_dataset(tmp_path / "late", read_transactions(dataset), unknown, {})
    given = ("threshold", "compare", "0.6", "cost:0.02", "--decisions", scored, "--choose-days", 30, "--json")
    assert json.loads(invoke(*given, "--data", dataset).stdout)["b"]["thresholds"]["review"] > 0
    with pytest.raises(UsageError, match="needs known frauds"):
        invoke(*given, "--data", tmp_path / "late")


def test_a_threshold_set_by_hand_stays_within_its_bounds(tmp_path):
    model, trail = tiny_artifact(tmp_path / "model"), tmp_path / "t.jsonl"
    given = ("threshold", "set", "--model", model, "--thresholds", trail, "--by", "ada", "--why", "a campaign")
    for wrong, words in (({"--review": 0.3}, "outside its bounds"), ({"--block": 99}, "outside its bounds"),
                         ({"--review": 0.74, "--block": 0.7}, "above block"), ({}, "hold already")):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            invoke(*given, *(part for pair in wrong.items() for part in pair))
    assert not trail.exists()
    said = json.loads(invoke(*given, "--block", 0.9, "--json").stdout)
    assert (said["after"]["review"], said["after"]["block"]) == (0.6, 0.9)


def test_a_trail_in_a_pipe_is_one_whole_line_a_change_brackets_included(tmp_path):
    model, trail = tiny_artifact(tmp_path / "model", review=0.40, block=0.50), tmp_path / "thresholds.json"
    why = f"[ticket 7] {'asked for by the fraud desk ' * 9}".strip()
    set_thresholds(thresholds=trail, params=Params(), by="ada", why=why, model=model, review=None, block=0.52)
    title, *lines = invoke("threshold", "log", "--thresholds", trail).stdout.splitlines()
    changes = ThresholdLog.read(trail).changes
    assert title.split() == ["at", "by", "review", "block", "version", "why"]
    assert [line.startswith(each.at) for line, each in zip(lines, changes, strict=True)] == [True] * len(changes)
    assert why in lines[-1]


@pytest.mark.parametrize("adjusted", [False, True])
def test_changes_at_the_same_time_all_stand_in_the_trail(tmp_path, traffic, monkeypatch, adjusted):
    model, trail = tiny_artifact(tmp_path / "model"), tmp_path / "t.jsonl"
    both_have_read, then = threading.Barrier(2), ThresholdLog.then

    def meet(log, *arguments, **options):
        with suppress(threading.BrokenBarrierError):  # where one waits for the other they never meet
            both_have_read.wait(0.5)
        return then(log, *arguments, **options)

    monkeypatch.setattr(ThresholdLog, "then", meet)
    given = {"thresholds": trail, "params": Params.load(dynamic(tmp_path)), "model": model}
    by_hand = partial(set_thresholds, **given, why="a campaign", review=None)
    other = partial(adjust_thresholds, **given, decisions=traffic[1]) if adjusted else partial(by_hand, block=0.91)
    with ThreadPoolExecutor(2) as pool:
        people = [pool.submit(by_hand, by="ada", block=0.9), pool.submit(other, by="bob")]
    for person in people:
        person.result()
    assert sorted(change.by for change in ThresholdLog.read(trail).changes[1:]) == ["ada", "bob"]


def test_an_adjustment_goes_on_from_what_was_set_while_it_read_the_scores(tmp_path, traffic, monkeypatch):
    model, trail = tiny_artifact(tmp_path / "model"), tmp_path / "t.jsonl"
    set_by_hand = ("threshold", "set", "--model", model, "--thresholds", trail, "--by", "ada", "--why", "a campaign")

    def read_slowly(*arguments, **options):
        invoke(*set_by_hand, "--block", 0.9)
        return read_decisions(*arguments, **options)

    monkeypatch.setattr("fraudline.steps.threshold.read_decisions", read_slowly)
    invoke("threshold", "adjust", "--model", model, "--thresholds", trail, "--by", "cron",
           "--decisions", traffic[1], "--params", dynamic(tmp_path))  # fmt: skip
    assert [change.by for change in ThresholdLog.read(trail).changes][1:] == ["ada", "cron"]


def test_the_predictor_decides_by_a_thresholds_file(tmp_path):
    from fraudline.serve.model import FraudModel

    model, trail = tiny_artifact(tmp_path / "model"), tmp_path / "t.jsonl"
    invoke("threshold", "set", "--model", model, "--thresholds", trail, "--by", "ada", "--why", "x", "--review", 0.5)
    names = load_artifact(model).spec.names
    request = {"instances": [dict.fromkeys(names, 1.0)]}
    for thresholds, review in ((None, 0.6), (trail, 0.5)):
        predictor = FraudModel("fraud", model, thresholds=thresholds)
        predictor.load()
        (answer,) = asyncio.run(predictor(request))[0]["predictions"]
        assert answer["threshold"] == review
    with pytest.raises(StateError, match="of the model"):
        FraudModel("fraud", tiny_artifact(tmp_path / "other", seed=1), thresholds=trail).load()


def test_a_file_is_scored_by_a_thresholds_file(tmp_path):
    model, trail, out = tiny_artifact(tmp_path / "model"), tmp_path / "t.jsonl", tmp_path / "out.parquet"
    said = invoke("threshold", "set", "--model", model, "--thresholds", trail, "--by", "ada", "--why", "x",
                  "--review", 0.5, "--json")  # fmt: skip
    day = tmp_path / "day.parquet"
    pq.write_table(read_transactions(small_dataset(tmp_path)).slice(0, 300), day)
    invoke("score", day, "--model", model, "-o", out, "--thresholds", trail)
    rows = pq.read_table(out).to_pylist()
    assert {row["threshold_version"] for row in rows} == {json.loads(said.stdout)["after"]["version"]}
    reviewed = {row["decision"] == "review" for row in rows if 0.5 <= row["score"] < 0.8}
    assert reviewed == {True}
