"""An explanation: the same score as everywhere else, taken apart so that nothing is left over."""

import json
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

import fraudline
from fraudline.cli.main import cli
from fraudline.core.errors import DataError, StateError, UsageError
from fraudline.data.money import money
from fraudline.data.store import read_labels, read_transactions
from fraudline.model.artifact import load_artifact
from fraudline.steps.audit import show
from fraudline.steps.audit_story import find_decision
from fraudline.steps.explain import explain, explain_decision
from fraudline.steps.explain_page import explain_page, parts_of
from fraudline.steps.params import Params
from fraudline.steps.score import score
from tests.support.artifacts import tiny_artifact
from tests.support.datasets import small_dataset

PARAMS = Params()
SOURCES = Path(fraudline.__file__).parent


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A data set, a model, and what the offline scorer says of the last day."""
    root = tmp_path_factory.mktemp("explain")
    dataset, model = small_dataset(root), tiny_artifact(root / "model", review=0.5, block=0.9)
    rows = read_transactions(dataset)
    last = rows.slice(rows.num_rows - 200)
    pq.write_table(last, root / "day.parquet")
    explained = PARAMS.model_copy(update={"stream": PARAMS.stream.model_copy(update={"reasons_on": "all"})})
    score(file=root / "day.parquet", model=model, out=root / "scored.parquet", params=explained, history=dataset)
    scored = pq.read_table(root / "scored.parquet").to_pylist()
    return {"dataset": dataset, "model": model, "scored": scored, "transactions": last}


def one(place: dict[str, Any], wanted: str, **options: Any) -> dict[str, Any]:
    return explain(transaction_id=wanted, model=place["model"], params=PARAMS, dataset=place["dataset"], **options)


def test_the_score_is_the_one_that_the_offline_scorer_and_the_worker_give(place: dict[str, Any]) -> None:
    for row in place["scored"][::60]:
        document = one(place, row["transaction_id"])
        assert document["score"] == row["score"]
        assert document["decision"] == row["decision"]
        reasons = [reason["text"] for reason in json.loads(row["reasons"])]
        assert document["reasons"] == reasons


def test_the_shares_add_up_to_the_score_in_the_table_and_in_the_plot(place: dict[str, Any]) -> None:
    document = one(place, place["scored"][-1]["transaction_id"])
    assert len(document["features"]) == len(load_artifact(place["model"]).spec.names)
    assert sum(entry["contribution"] for entry in document["features"]) == pytest.approx(document["score"], abs=1e-6)
    assert sum(value for _, value in parts_of(document)) == pytest.approx(document["score"], abs=1e-6)
    contributions = [entry["contribution"] for entry in document["features"]]
    assert contributions == sorted(contributions, reverse=True)


def test_the_card_is_shown_with_what_it_did_before_and_nothing_later(place: dict[str, Any]) -> None:
    cards = place["transactions"]["card_id"].to_pylist()
    row = next(i for i in range(len(cards)) if cards[i] in cards[i + 1 :])
    transaction = place["transactions"].slice(row, 1).to_pylist()[0]
    document = one(place, transaction["transaction_id"])
    assert 0 < len(document["history"]) <= 10
    assert {entry["card_id"] for entry in document["history"]} == {transaction["card_id"]}
    times = [entry["event_time"] for entry in document["history"]]
    assert times == sorted(times)
    assert times[-1] <= document["transaction"]["event_time"]


def test_a_reported_fraud_is_named_as_one(place: dict[str, Any]) -> None:
    labels = read_labels(place["dataset"])
    fraud = labels.filter(labels["is_fraud"])["transaction_id"][0].as_py()
    document = one(place, fraud)
    assert document["label"]["is_fraud"] is True
    assert "Labelled fraud" in explain_page(document)


def test_the_page_stands_alone_and_escapes_what_came_from_outside(place: dict[str, Any], tmp_path: Path) -> None:
    wanted = place["scored"][0]["transaction_id"]
    document = one(place, wanted, page=tmp_path / "why.html")
    page = (tmp_path / "why.html").read_text()
    assert wanted in page
    assert document["reasons"][0].replace("'", "&#x27;") in page
    assert page.count("<svg") == 1
    for remote in ("src=", "href=", "<script", "@import"):
        assert remote not in page
    transaction = document["transaction"]
    assert f"card present {'yes' if transaction['card_present'] else 'no'}" in page
    assert f"amount {money(transaction['amount_minor'], transaction['currency'])}" in page
    document["transaction"]["merchant_id"] = "<b>shop</b>"
    assert "<b>shop</b>" not in explain_page(document)


def test_the_page_says_what_the_expected_values_of_this_kind_of_model_are(place: dict[str, Any]) -> None:
    artifact, inside, said = load_artifact(place["model"]), {"members": [[8]]}, {}
    for kind, more in (("trees", {}), ("hybrid", {"autoencoder": inside}), ("networks", inside)):
        meta = artifact.meta.model_copy(update={"architecture": {"kind": kind, **more}})
        document = explain_decision(decision(place), replace(artifact, meta=meta), artifact.thresholds, 3)
        said[kind] = explain_page(document).partition("Expected is ")[2].partition(",")[0].replace("&#x27;", "'")
    networks = "the networks' reconstruction"
    assert said == {"trees": "the normals' median", "hybrid": networks, "networks": networks}


def test_shares_on_every_page_are_written_alike() -> None:
    others = [SOURCES / "model" / "evaluation_report.py", SOURCES / "ops" / "gitops" / "text.py"]
    pages = [*SOURCES.rglob("*page.py"), *others]
    assert len(pages) > 7
    assert [path.name for path in pages if "%}" in path.read_text()] == [], "fraudline.model.page.percent writes them"


def decision(place: dict[str, Any], **changes: Any) -> dict[str, Any]:
    spec = load_artifact(place["model"]).spec
    features = np.linspace(0, 5, len(spec.names)).astype(np.float32).tolist()
    return {
        "transaction_id": "t1",
        "card_id": "c1",
        "event_time": 1_767_225_600_000_000,
        "score": 0.5,
        "features": features,
        "spec_version": spec.version,
        "model_version": "abc",
        **changes,
    }


def test_a_decision_is_explained_by_the_features_recorded_on_it(place: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "decisions.jsonl"
    file.write_text(json.dumps(decision(place)) + "\n" + json.dumps(decision(place, transaction_id="t2")) + "\n")
    document = explain(transaction_id="t1", model=place["model"], params=PARAMS, decisions=file)
    assert document["recorded_score"] == 0.5
    assert document["transaction"]["event_time"] == "2026-01-01T00:00:00+00:00"
    values = {entry["feature"]: entry["value"] for entry in document["features"]}
    assert [values[name] for name in load_artifact(place["model"]).spec.names] == decision(place)["features"]


@pytest.mark.parametrize("when", [None, "2026-01-01"])
def test_a_decision_is_explained_whatever_its_time_is(place: dict[str, Any], tmp_path: Path, when: Any) -> None:
    file = tmp_path / "decisions.jsonl"
    file.write_text(json.dumps(decision(place, event_time=when)) + "\n")
    assert explain(transaction_id="t1", model=place["model"], params=PARAMS, decisions=file)["recorded_score"] == 0.5


def test_a_decision_in_parquet_is_explained_like_the_same_one_in_lines(place: dict[str, Any], tmp_path: Path) -> None:
    kept, wanted = tmp_path / "scored.parquet", place["scored"][-1]["transaction_id"]
    given = {"model": place["model"], "params": PARAMS}
    score(file=place["dataset"], out=kept, with_features=True, **given)
    document = explain(transaction_id=wanted, decisions=kept, **given)
    assert document["score"] == document["recorded_score"] == place["scored"][-1]["score"]
    names = load_artifact(place["model"]).spec.names
    row = next(row for row in pq.read_table(kept).to_pylist() if row["transaction_id"] == wanted)
    listed = pa.Table.from_pylist([decision(place, transaction_id=wanted, features=[row[name] for name in names])])
    pq.write_table(listed, tmp_path / "topic.parquet")
    assert explain(transaction_id=wanted, decisions=tmp_path / "topic.parquet", **given)["score"] == document["score"]


@pytest.mark.parametrize("with_features", [True, False])
def test_what_was_scored_offline_is_traced_back_like_a_decision(
    place: dict[str, Any], tmp_path: Path, with_features: bool
) -> None:
    kept, page, row = tmp_path / "scored.parquet", tmp_path / "page.html", place["scored"][-1]
    every = PARAMS.model_copy(update={"stream": PARAMS.stream.model_copy(update={"reasons_on": "all"})})
    score(file=place["dataset"], out=kept, model=place["model"], params=every, with_features=with_features)
    artifact = load_artifact(place["model"])
    shutil.copytree(place["model"], tmp_path / "store" / artifact.digest)
    given = {"source": kept, "store": tmp_path / "store", "page": page, "params": PARAMS}
    document = show(transaction_id=row["transaction_id"], **given)
    assert document["model"]["digest"] == artifact.digest
    assert document["score"].get("same", False) is with_features
    assert json.loads(row["reasons"])[0]["text"] in unescape(page.read_text())
    if with_features:  # only then the time and the card are there
        assert document["times"]["event_time"] == place["transactions"]["event_time"][-1].as_py().isoformat()


def test_parquet_that_holds_no_decision_with_features_is_named(place: dict[str, Any], tmp_path: Path) -> None:
    given = {"transaction_id": "t1", "model": place["model"], "params": PARAMS}
    for content, problem in (
        ({"transaction_id": ["t1"], "score": [0.5]}, "lacks .* features of the model"),
        ({"transaction_id": ["t2"], "score": [0.5]}, "has no decision on t1"),
        ({"transaction_id": [1], "score": [0.5]}, "cannot be read"),
        ({"score": [0.5]}, "cannot be read"),
    ):
        pq.write_table(pa.table(content), tmp_path / "other.parquet")
        with pytest.raises(DataError, match=problem):
            explain(**given, decisions=tmp_path / "other.parquet")


def test_a_transaction_whose_past_the_data_set_lacks_is_explained_with_a_warning(
    place: dict[str, Any], tmp_path: Path
) -> None:
    rows = read_transactions(place["dataset"])
    cards = rows["card_id"].to_pylist()
    again = next(at for at in range(len(cards)) if cards[at] in cards[:at])
    for at, said in ((0, "no earlier transaction of the card"), (again, "windows are not full")):
        with capture_logs() as logs:
            one(place, rows["transaction_id"][at].as_py())
        assert [said in line.get("note", "") for line in logs if line["event"] == "explain.history"] == [True]


@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_decision_is_found_by_an_id_beyond_ascii_as_a_worker_or_another_writer_writes_it(
    place: dict[str, Any], tmp_path: Path, ascii_only: bool
) -> None:
    spec = load_artifact(place["model"]).spec
    features = np.zeros(len(spec.names)).tolist()
    row = {"transaction_id": "zahlung-ü-17", "score": 0.0, "features": features, "spec_version": spec.version}
    file = tmp_path / "decisions.jsonl"
    file.write_text(json.dumps(row, ensure_ascii=ascii_only) + "\n", encoding="utf-8")
    given = {"transaction_id": "zahlung-ü-17", "params": PARAMS}
    assert explain(**given, model=place["model"], decisions=file)["transaction"]["transaction_id"] == "zahlung-ü-17"
    assert find_decision("zahlung-ü-17", file, PARAMS).record["row"] == 1


def test_features_of_another_specification_are_not_scored(place: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "decisions.jsonl"
    file.write_text(json.dumps(decision(place, spec_version="other")) + "\n")
    with pytest.raises(StateError, match="model that decided"):
        explain(transaction_id="t1", model=place["model"], params=PARAMS, decisions=file)


@pytest.mark.parametrize("changes", [{"score": "high"}, {"score": None}, {"features": "many"}, {"features": [[], 1]}])
def test_a_line_that_is_json_and_no_decision_is_named(
    place: dict[str, Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    file = tmp_path / "decisions.jsonl"
    file.write_text(json.dumps(decision(place, **changes)) + '\n["t1"]\n')
    with pytest.raises(DataError, match="The decision on t1 has no number"):
        explain(transaction_id="t1", model=place["model"], params=PARAMS, decisions=file)


def test_a_transaction_that_is_not_there_is_named(place: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="strange"):
        one(place, "strange")
    file = tmp_path / "decisions.jsonl"
    file.write_text(json.dumps(decision(place)) + "\n")
    with pytest.raises(DataError, match="strange"):
        explain(transaction_id="strange", model=place["model"], params=PARAMS, decisions=file)
    with pytest.raises(UsageError, match="one of"):
        one(place, "t1", decisions=file)


def test_the_command_says_it_as_text_and_as_json(
    place: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # away from merchant tables that may lie in build/
    wanted = place["scored"][-1]["transaction_id"]
    given = ["explain", wanted, "--model", place["model"], "--data", place["dataset"], "-o", tmp_path / "why.html"]
    said = CliRunner().invoke(cli, [str(part) for part in given], catch_exceptions=False).stdout
    assert place["scored"][-1]["decision"] in said
    assert "contribution" in said
    found = json.loads(CliRunner().invoke(cli, [str(p) for p in [*given, "--json"]], catch_exceptions=False).stdout)
    assert found["score"] == place["scored"][-1]["score"]
