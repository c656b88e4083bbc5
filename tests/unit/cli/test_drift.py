"""``fraudline drift``: exit codes, a page that opens offline, the same from every form of a window."""

import json
import re
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fraudline.cli.main import cli
from fraudline.core.clock import DAY_US, HOUR_US
from fraudline.core.errors import ArtifactError, DataError, DriftFound, SchemaError
from fraudline.data.store import read_labels, read_transactions, write_dataset
from fraudline.model.artifact import write_manifest
from tests.support.artifacts import tiny_artifact
from tests.support.datasets import small_dataset
from tests.support.traffic import AMOUNT, FIRST, NAMES, decisions, risen, traffic, watched_artifact

LATER = FIRST + timedelta(days=70)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return watched_artifact(tmp_path_factory.mktemp("model") / "model")


def run(*arguments, classifier=0):
    params = arguments[0].parent / "params.yaml"
    params.write_text(f"monitor: {{classifier_rows: {classifier}}}\n")
    return CliRunner().invoke(cli, ["drift", *map(str, arguments), "--params", str(params)], standalone_mode=False)


def window(model, folder, *, times=1.0, seed=1, days=2):
    when, features = traffic(days, first=LATER, seed=seed)
    features[:, AMOUNT] *= np.float32(times)
    path = folder / "window.parquet"
    pq.write_table(decisions(model, when, features), path)
    return path


def test_traffic_as_before_ends_with_0(model, tmp_path):
    result = run(window(model, tmp_path), "--model", model, "--report", tmp_path / "r", "--json")
    assert result.exception is None
    assert json.loads(result.stdout) | {"score_psi": 0} == {
        "verdict": "stable", "rows": 2_400, "drifted": [], "worse": [], "score_psi": 0,
    }  # fmt: skip


def test_drift_ends_with_10_after_the_report_is_written(model, tmp_path):
    result = run(window(model, tmp_path, times=3), "--model", model, "--report", tmp_path / "r")
    assert isinstance(result.exception, DriftFound)
    assert result.exception.exit_code == 10
    assert "amount" in result.exception.problem
    document = json.loads((tmp_path / "r" / "drift.json").read_text())
    assert document["figures"][0]["name"] == "amount"
    assert {figure["name"] for figure in document["figures"]} == {*NAMES, "score"}
    page = (tmp_path / "r" / "index.html").read_text()
    assert "amount" in page
    assert not re.search(r'(src|href)="|url\(|<script|@import', page), "the page asks for something outside"


def test_the_newest_day_is_none_that_has_just_begun_nor_that_of_a_clock_that_runs_ahead(model, tmp_path):
    when, features = traffic(3, first=LATER, seed=1)
    begun = 2 * 1_200 + 10  # rows of two whole days, and ten of the third
    when, features = when[:begun].copy(), features[:begun]
    when[0] += 70 * 365 * DAY_US
    pq.write_table(decisions(model, when, features), tmp_path / "window.parquet")
    result = run(tmp_path / "window.parquet", "--days", "1", "--model", model, "--report", tmp_path / "r", "--json")
    said = json.loads(result.stdout)
    assert (said["verdict"], said["rows"]) == ("stable", 1_200 + 10 + 1)


def test_json_lines_as_the_topic_holds_them_and_columns_say_the_same(model, tmp_path):
    path = window(model, tmp_path, times=3)
    table = pq.read_table(path)
    lines = tmp_path / "topic" / "decisions.jsonl"
    lines.parent.mkdir()
    lines.write_text("\n".join(json.dumps(row) for row in table.to_pylist()) + "\n")
    matrix = np.array(table["features"].to_pylist(), np.float32)
    wide = table.drop_columns(["features"])
    for index, name in enumerate(NAMES):
        wide = wide.append_column(name, [matrix[:, index]])
    pq.write_table(wide, tmp_path / "wide.parquet")
    for source in (path, lines.parent, tmp_path / "wide.parquet"):
        run(source, "--model", model, "--report", tmp_path / "r")
        document = json.loads((tmp_path / "r" / "drift.json").read_text())
        assert document["window"]["rows"] == table.num_rows
        figures = {figure["name"]: figure["psi"] for figure in document["figures"]}
        assert figures["amount"] == pytest.approx(_psi_of(path, model, tmp_path), rel=1e-6)


def _psi_of(path, model, folder):
    run(path, "--model", model, "--report", folder / "first")
    return json.loads((folder / "first" / "drift.json").read_text())["figures"][0]["psi"]


def test_a_window_too_small_ends_with_9(model, tmp_path):
    path = window(model, tmp_path)
    pq.write_table(pq.read_table(path).slice(0, 100), path)
    result = run(path, "--model", model, "--report", tmp_path / "r")
    assert result.return_value == 9
    assert json.loads((tmp_path / "r" / "drift.json").read_text())["verdict"] == "inconclusive"


def test_only_the_newest_days_are_taken(model, tmp_path):
    old, new = traffic(3, first=LATER, seed=1), traffic(1, first=LATER + timedelta(days=3), seed=2)
    old[1][:, AMOUNT] *= 3
    table = decisions(model, np.concatenate([old[0], new[0]]), np.concatenate([old[1], new[1]]))
    pq.write_table(table, tmp_path / "w.parquet")
    assert run(tmp_path / "w.parquet", "--model", model, "--report", tmp_path / "r", "--days", 1).exception is None
    assert isinstance(run(tmp_path / "w.parquet", "--model", model, "--report", tmp_path / "r").exception, DriftFound)


def test_decisions_of_another_model_are_left_out(model, tmp_path):
    path = window(model, tmp_path)
    table = pq.read_table(path)
    place = table.schema.get_field_index("model_version")
    pq.write_table(table.set_column(place, "model_version", [["another"] * table.num_rows]), path)
    assert isinstance(run(path, "--model", model, "--report", tmp_path / "r").exception, DataError)


def test_an_artifact_without_a_reference_of_days_and_a_file_without_times_say_what_to_do(model, tmp_path):
    path = window(model, tmp_path)
    old = tiny_artifact(tmp_path / "old")
    pq.write_table(pq.read_table(path).drop_columns(["model_version"]), path)
    assert isinstance(run(path, "--model", old, "--report", tmp_path / "r").exception, ArtifactError)
    pq.write_table(pq.read_table(path).drop_columns(["event_time"]), path)
    assert isinstance(run(path, "--model", model, "--report", tmp_path / "r").exception, SchemaError)


def labelled(folder, *, caught, missed):
    """Decisions on old transactions of a data set, most of whose frauds are caught, or most of them missed."""
    dataset = small_dataset(folder)
    frauds = set(read_labels(dataset).filter(read_labels(dataset)["is_fraud"])["transaction_id"].to_pylist())
    table = read_transactions(dataset).select(["transaction_id", "event_time"])
    ids = table["transaction_id"].to_pylist()
    number = 0
    score = np.full(len(ids), 0.1)
    for row, name in enumerate(ids):
        if name in frauds:
            number += 1
            score[row] = 0.9 if number % (caught + missed) < caught else 0.1
    features = traffic(1, a_day=len(ids))[1]
    path = folder / "old.parquet"
    pq.write_table(
        pa.table({
            "transaction_id": ids, "event_time": table["event_time"], "score": score,
            **{name: features[:, index] for index, name in enumerate(NAMES)},
        }), path,
    )  # fmt: skip
    evaluation = folder / "metrics.json"
    evaluation.write_text(json.dumps({"intervals": {"precision": [0.9, 1.0], "recall": [0.7, 0.8]}}))
    return path, dataset, evaluation


@pytest.mark.parametrize(("caught", "missed", "worse"), [(3, 1, []), (1, 3, ["recall"])])
def test_matured_labels_tell_when_fewer_frauds_are_caught_than_in_evaluation(model, tmp_path, caught, missed, worse):
    path, dataset, evaluation = labelled(tmp_path, caught=caught, missed=missed)
    result = run(path, "--model", model, "--report", tmp_path / "r", "--labels", dataset, "--evaluation", evaluation)
    found = json.loads((tmp_path / "r" / "drift.json").read_text())["performance"]
    assert [name for name, each in found["figures"].items() if each["worse"]] == worse
    assert found["figures"]["recall"]["value"] == pytest.approx(caught / (caught + missed), abs=0.05)
    if worse:
        assert isinstance(result.exception, DriftFound)
        assert "recall" in result.exception.problem


def test_matured_labels_tell_how_much_money_the_missed_frauds_were(model, tmp_path):
    path, dataset, evaluation = labelled(tmp_path, caught=3, missed=1)
    measured = ("--labels", dataset, "--evaluation", evaluation, "--textfiles", tmp_path)
    run(path, "--model", model, "--report", tmp_path / "r", *measured)
    money = json.loads((tmp_path / "r" / "drift.json").read_text())["performance"]["money"]["EUR"]
    rows, found = read_transactions(dataset), read_labels(dataset)
    frauds = set(found.filter(found["is_fraud"])["transaction_id"].to_pylist())
    newest = max(rows["event_time"].to_pylist()[-1], found["label_time"].to_pylist()[-1])
    sums = {True: 0, False: 0}
    for row, score in zip(rows.to_pylist(), pq.read_table(path)["score"].to_pylist(), strict=True):
        if row["transaction_id"] in frauds and row["event_time"] < newest - timedelta(days=7):
            sums[score > 0.5] += row["amount_minor"]
    assert (money["stopped"], money["missed"]) == (sums[True], sums[False])
    assert money["missed"] > 0
    assert "frauds missed" in (tmp_path / "r" / "index.html").read_text()
    said = (tmp_path / "fraudline_labels.prom").read_text()
    assert f'fraudline_performance_amount{{currency="EUR",outcome="missed"}} {money["missed"] / 100}' in said


def test_what_was_blocked_and_has_no_chargeback_makes_no_figure_worse(model, tmp_path):
    """The same traffic as in the evaluation; its surest frauds were blocked, and no label ever came."""
    path, dataset, evaluation = labelled(tmp_path, caught=3, missed=1)
    table, frauds = pq.read_table(path), read_labels(dataset)
    caught = table["score"].to_numpy() > 0.5
    blocked = caught & (np.cumsum(caught) % 2 == 0)
    words = np.where(blocked, "block", np.where(caught, "review", "allow"))
    ids = np.array(table["transaction_id"].to_pylist())
    known = dict.fromkeys(set(frauds["transaction_id"].to_pylist()) - set(ids[blocked].tolist()))
    kept = read_transactions(dataset).filter(pa.array(~blocked[: len(ids)]))
    left = frauds.filter(pa.array([name in known for name in frauds["transaction_id"].to_pylist()]))
    write_dataset(dataset, kept, left, {"name": "collected"})  # as data collect leaves it
    low_recall = {"intervals": {"precision": [0.9, 1.0], "recall": [0.55, 0.65]}}
    evaluation.write_text(json.dumps({"intervals": {"recall": [0.7, 0.8]}, "not_blocked": low_recall}))
    table = table.append_column("decision", pa.array(words)).append_column("card_id", pa.array(ids))
    pq.write_table(table, path)
    run(path, "--model", model, "--report", tmp_path / "r", "--labels", dataset, "--evaluation", evaluation)
    document = json.loads((tmp_path / "r" / "drift.json").read_text())["performance"]
    assert document["figures"]["precision"]["value"] == 1.0
    assert document["figures"]["recall"] | {"interval": 0, "value": 0} == {
        "value": 0, "interval": 0, "expected": [0.55, 0.65], "worse": False,
    }  # fmt: skip
    assert (document["covers"], document["blocked"] > 30) == ("not blocked", True)
    assert "have no label" in (tmp_path / "r" / "index.html").read_text()


def test_where_nothing_is_stopped_any_more_the_report_and_the_metrics_say_the_rest(model, tmp_path):
    path, dataset, evaluation = labelled(tmp_path, caught=3, missed=1)
    table = pq.read_table(path)
    scores = [np.full(table.num_rows, 0.1)]
    pq.write_table(table.set_column(table.schema.get_field_index("score"), "score", scores), path)
    measured = ("--labels", dataset, "--evaluation", evaluation, "--textfiles", tmp_path)
    result = run(path, "--model", model, "--report", tmp_path / "r", *measured)
    assert isinstance(result.exception, DriftFound)
    assert "recall" in result.exception.problem
    precision = json.loads((tmp_path / "r" / "drift.json").read_text())["performance"]["figures"]["precision"]
    assert (precision["value"], precision["interval"]) == (None, None)
    said = (tmp_path / "fraudline_drift.prom").read_text()
    assert 'fraudline_performance_worse{figure="recall"} 1.0' in said
    assert 'fraudline_performance{figure="precision"}' not in (tmp_path / "fraudline_labels.prom").read_text()


def test_an_evaluation_that_blocked_every_fraud_has_no_recall_to_compare_with(model, tmp_path):
    path, dataset, evaluation = labelled(tmp_path, caught=3, missed=1)
    evaluation.write_text(json.dumps({"intervals": {"precision": [0.9, 1.0], "recall": [None, None]}}))
    run(path, "--model", model, "--report", tmp_path / "r", "--labels", dataset, "--evaluation", evaluation)
    found = json.loads((tmp_path / "r" / "drift.json").read_text())["performance"]["figures"]
    assert (found["recall"]["expected"], found["recall"]["worse"]) == (None, False)
    assert found["precision"]["expected"] == [0.9, 1.0]


def test_features_that_move_together_are_drift_though_each_alone_is_as_before(model, tmp_path):
    when, features = traffic(2, first=LATER, seed=1)
    for column in range(10, 18):
        order = features[:, 10].argsort().argsort()
        features[:, column] = np.sort(features[:, column])[order]
    path = tmp_path / "window.parquet"
    pq.write_table(decisions(model, when, features), path)
    result = run(path, "--model", model, "--report", tmp_path / "r", classifier=200)
    assert isinstance(result.exception, DriftFound)
    document = json.loads((tmp_path / "r" / "drift.json").read_text())
    assert document["classifier"]["drifted"]
    assert [figure["name"] for figure in document["figures"] if figure["drifted"]] in ([], ["score"])


def test_a_small_file_counts_for_its_rows_and_no_more(model, tmp_path):
    """One row in twenty moved, in a file of its own: few of the window, whether it is one file or two."""
    many, few = traffic(1, first=LATER, seed=1, a_day=40_000), traffic(1, first=LATER, seed=2, a_day=2_000)
    for column in range(3, 28):
        few[1][:, column] = np.sort(few[1][:, column])[few[1][:, 10].argsort().argsort()]
    (tmp_path / "two").mkdir()
    for name, (when, features) in {"a": many, "b": few}.items():
        pq.write_table(decisions(model, when, features), tmp_path / "two" / f"{name}.parquet")
    pq.write_table(pq.read_table(tmp_path / "two"), tmp_path / "one.parquet")
    for source in ("one.parquet", "two"):
        run(tmp_path / source, "--model", model, "--report", tmp_path / "r", classifier=200)
        found = json.loads((tmp_path / "r" / "drift.json").read_text())["classifier"]
        assert (found["drifted"], found["rows"]) == (False, 200)
        assert abs(found["auc"] - found["ordinary"]) < 0.1


def test_what_moves_together_is_seen_beside_features_that_follow_the_calendar(tmp_path):
    """Those tell every day from the others, so that with them no window could stand out."""
    rising = (20, 21, 22)
    model = watched_artifact(tmp_path / "model", rising=rising)
    when, features = traffic(2, first=LATER, seed=1)
    features = risen(when, features, *rising)
    together = features.copy()
    for column in range(10, 18):
        together[:, column] = np.sort(together[:, column])[together[:, 10].argsort().argsort()]
    found = {}
    for name, values in {"as before": features, "together": together}.items():
        pq.write_table(decisions(model, when, values), tmp_path / "window.parquet")
        run(tmp_path / "window.parquet", "--model", model, "--report", tmp_path / "r", classifier=200)
        found[name] = json.loads((tmp_path / "r" / "drift.json").read_text())
    calendar = {figure["name"] for figure in found["together"]["figures"] if not figure["judged"]}
    assert calendar >= {NAMES[column] for column in rising}
    assert not found["as before"]["classifier"]["drifted"]
    assert found["as before"]["classifier"]["auc"] < 0.6
    assert found["together"]["classifier"]["drifted"]


def test_hours_that_the_reference_lacks_are_said_to_be_not_measured(tmp_path):
    model = watched_artifact(tmp_path / "model")
    rows = pq.read_table(model / "reference" / "rows.parquet")
    hours = rows["event_time"].to_numpy() % DAY_US // HOUR_US
    pq.write_table(rows.filter(pa.array(hours < 6)), model / "reference" / "rows.parquet")
    write_manifest(model)
    when, features = traffic(4, first=LATER, seed=1)
    day = when % DAY_US // HOUR_US >= 6
    pq.write_table(decisions(model, when[day], features[day]), tmp_path / "window.parquet")
    result = run(tmp_path / "window.parquet", "--model", model, "--report", tmp_path / "r", "--json", classifier=200)
    assert json.loads(result.stdout)["verdict"] == "stable"
    assert "rows at the window's hours" in (tmp_path / "r" / "index.html").read_text().replace("&#x27;", "'")
