import csv
import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from fraudline.core.errors import DataError, DigestMismatch, GateFailed, UsageError
from fraudline.data.params import SplitParams
from fraudline.data.store import write_dataset
from fraudline.features.params import FeatureParams
from fraudline.features.spec import FeatureSpec, load_spec
from fraudline.features.table import TableSpec
from fraudline.model.artifact import load_artifact, write_manifest
from fraudline.model.evaluation import Evaluator
from fraudline.model.evaluation_params import BootstrapParams, EvaluateParams
from fraudline.model.metrics import average_precision
from fraudline.model.params import ForestParams, TrainParams
from fraudline.model.scorer import Scorer
from fraudline.ops.gate import GateParams
from fraudline.ops.params import RegistryParams
from fraudline.steps.evaluate import evaluate
from fraudline.steps.featurize import featurize
from fraudline.steps.gate import gate
from fraudline.steps.params import Params
from fraudline.steps.train import train
from tests.support.artifacts import tiny_artifact
from tests.support.datasets import small_dataset, small_tables

START = datetime(2026, 1, 5, tzinfo=UTC)
DAYS, A_DAY = 40, 60
SPEC = load_spec()
NO_DATA = Path("read-only-for-a-champion-with-other-features")


def params(*rules: dict, **more: object) -> Params:
    return Params(
        split=SplitParams(warmup_days=5, validation_days=5, test_days=10),
        evaluate=EvaluateParams(
            bootstrap=BootstrapParams(resamples=30), baselines=("pca", "mahalanobis"), card_precision_k=5
        ),
        gate=GateParams.parse({"rules": rules or [{"metric": "ap", "min": 0.1}]}, "test"),
        registry=RegistryParams(tracking_uri=""),
        **more,
    )


def features_folder(folder: Path, *, fraud_in_test: bool = True) -> Path:
    """Frauds lie far out in every feature."""
    rng = np.random.default_rng(4)
    n = DAYS * A_DAY
    day = np.repeat(np.arange(DAYS), A_DAY)
    times = [START + timedelta(days=int(d), minutes=int(i % A_DAY) * 20) for i, d in enumerate(day)]
    fraud = rng.random(n) < 0.04
    if not fraud_in_test:
        fraud &= day < DAYS - 10
    matrix = rng.normal(0, 1, (n, len(SPEC.names))) + 3.0 * fraud[:, None]
    reported = [time + timedelta(days=7) if bad else None for time, bad in zip(times, fraud, strict=True)]
    table = pa.table(
        {
            "transaction_id": [f"t{i}" for i in range(n)],
            "event_time": pa.array(times, pa.timestamp("us", tz="UTC")),
            "card_id": [f"c{i}" for i in rng.integers(0, 50, n)],
            "merchant_id": ["m"] * n,
            "amount_minor": pa.array(rng.integers(100, 9000, n)),
            **{name: pa.array(matrix[:, i].astype(np.float32)) for i, name in enumerate(SPEC.names)},
            "is_fraud": fraud,
            "label_time": pa.array(reported, pa.timestamp("us", tz="UTC")),
            "fraud_kind": pa.array(["card_testing" if bad else None for bad in fraud], pa.string()),
        }
    )
    folder.mkdir()
    pq.write_table(table, folder / "features.parquet")
    return folder


def test_evaluate_writes_figures_report_and_plot_tables_for_the_test_weeks(tmp_path: Path) -> None:
    features, model = features_folder(tmp_path / "features"), tiny_artifact(tmp_path / "model")
    headline = evaluate(features=features, dataset=NO_DATA, model=model, evaluation=tmp_path / "out", params=params())
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"metrics.json", "index.html", "roc.csv", "pr.csv", "confusion.csv", "score_hist.csv", "plots"}
    plots = {path.name: ElementTree.parse(path).getroot() for path in (tmp_path / "out" / "plots").iterdir()}
    assert set(plots) == {"roc.svg", "pr.svg", "score_hist.svg"}
    assert all(root.tag.endswith("svg") and ".curve" in root[0].text for root in plots.values())
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    table = pq.read_table(features / "features.parquet").slice((DAYS - 10) * A_DAY)
    matrix = np.column_stack([table[name].to_numpy() for name in SPEC.names])
    scores = Scorer(load_artifact(model)).score(matrix).score
    labels = table["is_fraud"].to_numpy(zero_copy_only=False)
    assert metrics["ap"] == pytest.approx(average_precision(labels, scores), abs=1e-6)
    assert metrics["rows"] == 10 * A_DAY
    assert metrics["period"] == {"start": "2026-02-04", "end": "2026-02-14"}
    assert set(metrics["baselines"]) == {"pca", "mahalanobis"}
    assert metrics["model"]["digest"] == load_artifact(model).digest
    assert "champion" not in metrics
    assert headline == {key: value for key, value in metrics.items() if isinstance(value, int | float)}
    with (tmp_path / "out" / "confusion.csv").open() as stream:
        assert sum(1 for _ in csv.DictReader(stream)) == 10 * A_DAY


def test_a_tracking_server_that_goes_away_during_an_evaluation_does_not_take_its_figures_with_it(
    tmp_path: Path, tracker: RegistryParams, tracking_server: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, model = features_folder(tmp_path / "features"), tiny_artifact(tmp_path / "model")

    def measured(*given: Any, **named: Any) -> Evaluator:
        tracking_server.away = True
        return Evaluator(*given, **named)

    monkeypatch.setattr("fraudline.steps.evaluate.Evaluator", measured)
    tracked = params().model_copy(update={"registry": tracker})
    headline = evaluate(features=features, dataset=NO_DATA, model=model, evaluation=tmp_path / "out", params=tracked)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["ap"] == headline["ap"]


def test_what_is_not_blocked_is_measured_alone_because_live_labels_tell_of_nothing_else(tmp_path: Path) -> None:
    features, model = features_folder(tmp_path / "features"), tiny_artifact(tmp_path / "model")
    evaluate(features=features, dataset=NO_DATA, model=model, evaluation=tmp_path / "out", params=params())
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())["not_blocked"]
    artifact = load_artifact(model)
    table = pq.read_table(features / "features.parquet").slice((DAYS - 10) * A_DAY)
    scores = Scorer(artifact).only_scores(np.column_stack([table[name].to_numpy() for name in SPEC.names]))
    passed = scores < np.float32(artifact.thresholds.block)
    alerted = passed & (scores >= np.float32(artifact.thresholds.review))
    fraud = table["is_fraud"].to_numpy(zero_copy_only=False)
    assert (passed & fraud).any()
    assert found["recall"] == pytest.approx((alerted & fraud).sum() / (passed & fraud).sum(), abs=1e-6)
    assert len(found["intervals"]["recall"]) == 2


def test_a_card_is_new_where_no_earlier_day_has_it(tmp_path: Path) -> None:
    features = features_folder(tmp_path / "features")
    table = pq.read_table(features / "features.parquet")
    late = np.arange(len(table)) >= len(table) - 2 * A_DAY
    cards = np.where(late, "late", table["card_id"].to_numpy(zero_copy_only=False))
    table = table.set_column(table.column_names.index("card_id"), "card_id", pa.array(cards, pa.string()))
    pq.write_table(table, features / "features.parquet")
    model = tiny_artifact(tmp_path / "model")
    evaluate(features=features, dataset=NO_DATA, model=model, evaluation=tmp_path / "evaluation", params=params())
    parts = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())["segments"]
    assert parts["card"]["new"]["rows"] == 2 * A_DAY
    assert parts["card"]["known"]["rows"] == 8 * A_DAY
    assert list(parts["week"]) == ["2026-02-04", "2026-02-11"]


def test_a_file_whose_labels_end_before_its_test_days_is_said_to_lack_frauds(tmp_path: Path) -> None:
    features, model = features_folder(tmp_path / "features"), tiny_artifact(tmp_path / "model")
    places = {"features": features, "dataset": NO_DATA, "model": model}
    evaluate(**places, evaluation=tmp_path / "whole", params=params())
    assert "The newest label" not in (tmp_path / "whole" / "index.html").read_text()
    table = pq.read_table(features / "features.parquet")
    exported = START + timedelta(days=DAYS)
    known = pa.array([when is not None and when < exported for when in table["label_time"].to_pylist()])
    at = table.column_names.index("is_fraud")
    pq.write_table(table.set_column(at, "is_fraud", known), features / "features.parquet")
    evaluate(**places, evaluation=tmp_path / "young", params=params())
    page = (tmp_path / "young" / "index.html").read_text()
    assert "none came after the test days" in page
    assert json.loads((tmp_path / "young" / "metrics.json").read_text())["labels_end"] == "2026-02-13"


def test_figures_on_a_generated_data_set_are_said_to_be_of_no_real_payment(tmp_path: Path) -> None:
    places = {"features": features_folder(tmp_path / "features"), "model": tiny_artifact(tmp_path / "model")}
    write_dataset(tmp_path / "own", *small_tables(), {"name": "bank"})
    said = []
    for dataset in (small_dataset(tmp_path), tmp_path / "own", NO_DATA):
        evaluate(**places, dataset=dataset, evaluation=tmp_path / "out", params=params())
        said.append("made up by a generator" in (tmp_path / "out" / "index.html").read_text())
    assert said == [True, False, False]


def test_the_same_inputs_give_the_same_files(tmp_path: Path) -> None:
    features, model = features_folder(tmp_path / "features"), tiny_artifact(tmp_path / "model")
    for name in ("a", "b"):
        evaluate(features=features, dataset=NO_DATA, model=model, evaluation=tmp_path / name, params=params())
    for name in ("metrics.json", "index.html", "roc.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_champion_is_measured_on_the_same_rows_also_when_params_name_it(tmp_path: Path) -> None:
    features, model = features_folder(tmp_path / "features"), tiny_artifact(tmp_path / "model")
    champion = tiny_artifact(tmp_path / "champion", seed=9)
    evaluate(
        features=features, dataset=NO_DATA, model=model, evaluation=tmp_path / "a", params=params(), champion=champion
    )
    evaluate(
        features=features,
        dataset=NO_DATA,
        model=model,
        evaluation=tmp_path / "b",
        params=params(champion=champion.as_uri()),
    )
    first, second = (json.loads((tmp_path / name / "metrics.json").read_text())["champion"] for name in ("a", "b"))
    assert first == second
    assert first["digest"] == load_artifact(champion).digest
    assert len(first["paired"]["ap"]) == 30


def by_other_rules(**changes: object) -> FeatureSpec:
    parameters = SPEC.parameters.model_dump() | changes
    return FeatureSpec.parse({**SPEC.model_dump(), "parameters": parameters}, "test")


def featurized(folder: Path, dataset: Path, spec: FeatureSpec) -> Path:
    folder.mkdir()
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json")))
    by = params(features=FeatureParams(spec=str(folder / "spec.yaml")))
    featurize(dataset=dataset, features=folder / "features", profiles=folder / "profiles", params=by)
    return folder / "features"


def unnamed(features: Path) -> Path:
    """The same table as a release before wrote it: without the rules it was computed by."""
    table = pq.read_table(features / "features.parquet").replace_schema_metadata({})
    pq.write_table(table, features / "features.parquet")
    return features


def test_features_that_other_rules_made_are_refused_by_name(tmp_path: Path) -> None:
    other = by_other_rules(profile_hours=12)
    features, model = featurized(tmp_path / "made", small_dataset(tmp_path), other), tiny_artifact(tmp_path / "model")
    with pytest.raises(DataError, match=f"by the rules {other.rules}, .*{SPEC.version} has {SPEC.rules}") as refused:
        _evaluated(features, model, tmp_path)
    assert "dvc repro --force featurize" in refused.value.action
    assert _evaluated(unnamed(features), model, tmp_path)["rows"] > 0


@pytest.mark.parametrize(
    "changes", [{"habit_memory": 3.0, "z_limit": 4.0}, {"profile_hours": 12}, {"night_end_hour": 9}]
)
def test_a_champion_with_other_rules_is_scored_on_features_by_its_own(tmp_path: Path, changes: dict) -> None:
    """As if it had been evaluated alone, on what featurize makes by its specification."""
    other = by_other_rules(**changes)
    dataset, model = small_dataset(tmp_path), tiny_artifact(tmp_path / "model")
    champion = tiny_artifact(tmp_path / "champion", seed=9, spec=other.without(["weekend"]))
    ours, theirs = (featurized(tmp_path / name, dataset, spec) for name, spec in (("ours", SPEC), ("theirs", other)))
    found = _evaluated(ours, model, tmp_path, dataset=dataset, champion=champion)["champion"]
    alone = _evaluated(theirs, champion, tmp_path)
    on_ours = _evaluated(unnamed(ours), champion, tmp_path)
    figures = [name for name, value in alone.items() if isinstance(value, float) and name in found]
    assert {"ap", "roc_auc"} <= set(figures)
    assert {name: found[name] for name in figures} == {name: alone[name] for name in figures}
    assert {name: on_ours[name] for name in figures} != {name: alone[name] for name in figures}, (
        "the rules change nothing"
    )


def test_a_champion_with_more_features_gets_them_from_the_data_set_or_is_not_compared(tmp_path: Path) -> None:
    dataset, model = small_dataset(tmp_path), tiny_artifact(tmp_path / "model", spec=SPEC.without(["night"]))
    champion = tiny_artifact(tmp_path / "champion", seed=9)
    features = featurized(tmp_path / "made", dataset, SPEC.without(["night"]))
    everything = featurized(tmp_path / "all", dataset, SPEC)
    found = _evaluated(features, model, tmp_path, dataset=dataset, champion=champion)["champion"]
    assert found["ap"] == _evaluated(everything, champion, tmp_path)["ap"]
    transactions, labels = small_tables()
    write_dataset(tmp_path / "half", transactions.slice(0, transactions.num_rows - 100), labels, {"name": "half"})
    for given, reason in (
        (NO_DATA, "has no transactions. Name a data set"),
        (tmp_path / "half", "lacks 100 transactions"),
    ):
        found = _evaluated(features, model, tmp_path, dataset=given, champion=champion)["champion"]
        assert found["comparable"] is False
        assert re.search(reason, found["reason"])
    settings = params({"metric": "ap", "against": "champion", "min_change": -0.1})
    with pytest.raises(GateFailed, match="not comparable: .*Give the data set"):
        gate(evaluation=tmp_path / "out", model=model, blessing=tmp_path / "blessing", params=settings)


def test_a_champion_of_a_table_is_compared_only_where_both_read_the_columns_alike(tmp_path: Path) -> None:
    features, model = features_folder(tmp_path / "features"), tiny_artifact(tmp_path / "model")
    table = TableSpec.parse({"kind": "table", "name": "test", "columns": {name: {} for name in SPEC.names}}, "test")
    champion = tiny_artifact(tmp_path / "champion", seed=9, spec=table)
    found = _evaluated(features, model, tmp_path, champion=champion)["champion"]
    assert found["comparable"] is False
    assert "Import the file with the spec.yaml" in found["reason"]


def test_a_specification_with_other_words_or_fewer_features_needs_no_data_set(tmp_path: Path) -> None:
    features, model = features_folder(tmp_path / "features"), tiny_artifact(tmp_path / "model")
    reworded = SPEC.without(["night"]).model_dump()
    reworded["features"][0]["meaning"] = "what was paid"
    champion = tiny_artifact(tmp_path / "champion", seed=9, spec=FeatureSpec.parse(reworded, "test"))
    assert _evaluated(features, model, tmp_path, champion=champion)["champion"]["ap"] > 0


def test_days_that_a_model_learned_from_are_no_test_of_it(tmp_path: Path) -> None:
    features, model = features_folder(tmp_path / "features"), tiny_artifact(tmp_path / "model")
    begin = date.fromisoformat(_evaluated(features, model, tmp_path)["period"]["start"])
    for validation_days, seen in ((10, False), (11, True)):
        older = trained_until(tmp_path / f"until-{validation_days}", begin - timedelta(days=10), validation_days)
        found = _evaluated(features, model, tmp_path, champion=older)["champion"]
        assert found.get("comparable", True) is not seen
        if seen:
            assert str(begin + timedelta(days=1)) in found["reason"]
            with pytest.raises(DataError, match=f"up to {begin + timedelta(days=1)}"):
                _evaluated(features, older, tmp_path)
        else:
            assert _evaluated(features, older, tmp_path)["frauds"] > 0


def trained_until(folder: Path, end: date, validation_days: int) -> Path:
    model = tiny_artifact(folder, seed=9)
    meta = json.loads((model / "model.json").read_text())
    meta["trained_on"]["end"] = end.isoformat()
    meta["params"]["split"] = {"validation_days": validation_days}
    (model / "model.json").write_text(json.dumps(meta))
    write_manifest(model)
    return model


def _evaluated(
    features: Path, model: Path, folder: Path, champion: Path | None = None, dataset: Path = NO_DATA
) -> dict[str, Any]:
    out = folder / "out"
    evaluate(features=features, dataset=dataset, model=model, evaluation=out, params=params(), champion=champion)
    return json.loads((out / "metrics.json").read_text())


def test_evaluate_says_what_is_missing(tmp_path: Path) -> None:
    model = tiny_artifact(tmp_path / "model")
    with pytest.raises(DataError, match=r"features\.parquet is missing"):
        evaluate(features=tmp_path / "none", dataset=NO_DATA, model=model, evaluation=tmp_path / "out", params=params())
    quiet = features_folder(tmp_path / "features", fraud_in_test=False)
    with pytest.raises(DataError, match="0 known frauds"):
        evaluate(features=quiet, dataset=NO_DATA, model=model, evaluation=tmp_path / "out", params=params())
    with pytest.raises(UsageError, match="not on this machine"):
        evaluate(
            features=quiet,
            dataset=NO_DATA,
            model=model,
            evaluation=tmp_path / "out",
            params=params(champion="s3://store/abc"),
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("whose", ["candidate", "champion"])
def test_scores_that_are_no_number_are_refused_and_a_champion_with_one_is_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    """What is no number ranks last and is allowed everywhere, so its figures would look like those of a good model."""
    features = features_folder(tmp_path / "features")
    models = {"candidate": tiny_artifact(tmp_path / "model"), "champion": tiny_artifact(tmp_path / "champion", seed=9)}
    broken = load_artifact(models[whose]).digest

    class Broken(Scorer):
        def score(self, features: np.ndarray) -> Any:
            found = super().score(features)
            if self.artifact.digest == broken:
                found.score[3] = np.nan
            return found

    monkeypatch.setattr("fraudline.steps.evaluate.Scorer", Broken)
    given = {"features": features, "dataset": NO_DATA, "evaluation": tmp_path / "out", "params": params()}
    if whose == "candidate":
        with pytest.raises(DataError, match="1 of 600 scores that are no finite number"):
            evaluate(model=models["candidate"], **given)
        return
    evaluate(model=models["candidate"], champion=models["champion"], **given)
    champion = json.loads((tmp_path / "out" / "metrics.json").read_text())["champion"]
    assert champion["comparable"] is False
    assert "no finite number" in champion["reason"]


def test_a_changed_model_is_not_evaluated(tmp_path: Path) -> None:
    features, model = features_folder(tmp_path / "features"), tiny_artifact(tmp_path / "model")
    (model / "model.onnx").write_bytes(b"other")
    with pytest.raises(DigestMismatch):
        evaluate(features=features, dataset=NO_DATA, model=model, evaluation=tmp_path / "out", params=params())


def test_the_gate_blesses_what_passes_and_names_the_digest(tmp_path: Path) -> None:
    features, model = features_folder(tmp_path / "features"), tiny_artifact(tmp_path / "model")
    settings = params({"metric": "ap", "min": 0.1}, {"metric": "ap", "against": "champion", "min_change": -0.02})
    evaluate(features=features, dataset=NO_DATA, model=model, evaluation=tmp_path / "out", params=settings)
    result = gate(evaluation=tmp_path / "out", model=model, blessing=tmp_path / "blessing", params=settings)
    assert result == {"blessed": True, "rules": 2, "not_applicable": 1}
    record = json.loads((tmp_path / "blessing" / "blessing.json").read_text())
    assert record["blessed"] is True
    assert record["model"]["digest"] == load_artifact(model).digest
    assert [rule["passed"] for rule in record["rules"]] == [True, None]
    assert "blessed" in (tmp_path / "blessing" / "blessing.md").read_text()


def test_a_failed_gate_leaves_its_blessing_and_exits_with_4(tmp_path: Path) -> None:
    features, model = features_folder(tmp_path / "features"), tiny_artifact(tmp_path / "model")
    settings = params({"metric": "ap", "min": 1.5}, {"metric": "roc_auc", "min": 0.1})
    evaluate(features=features, dataset=NO_DATA, model=model, evaluation=tmp_path / "out", params=settings)
    with pytest.raises(GateFailed, match=r"1 of its rules failed: ap at least 1\.5") as raised:
        gate(evaluation=tmp_path / "out", model=model, blessing=tmp_path / "blessing", params=settings)
    assert raised.value.exit_code == 4
    record = json.loads((tmp_path / "blessing" / "blessing.json").read_text())
    assert (record["blessed"], record["failed"]) == (False, 1)
    assert "**fail**" in (tmp_path / "blessing" / "blessing.md").read_text()


def test_a_training_set_whose_suspicious_share_moved_is_refused_with_its_cards_and_days(tmp_path: Path) -> None:
    features = features_folder(tmp_path / "features")
    found = {"rows": 500, "suspicious": 5, "trimmed": 5, "cards": [["c17", 3], ["c9", 2]], "days": [["2026-01-10", 5]]}
    models = {}
    for seed, share in enumerate((0.004, 0.031, 0.012)):
        models[share] = tiny_artifact(tmp_path / str(share), seed=seed)
        meta = json.loads((models[share] / "model.json").read_text()) | {"contamination": {"share": share, **found}}
        (models[share] / "model.json").write_text(json.dumps(meta))
        write_manifest(models[share])
    rule = next(rule for rule in GateParams().rules if rule.metric == "suspicious_share")
    settings = params(rule.model_dump(exclude_none=True))
    for share in (0.012, 0.031):
        given = {"model": models[share], "evaluation": tmp_path / f"of {share}", "params": settings}
        evaluate(features=features, dataset=NO_DATA, champion=models[0.004], **given)
        if share == 0.012:
            assert gate(blessing=tmp_path / "blessing", **given)["blessed"] is True
    named = r"suspicious_share .*5 of 500 training rows .*cards c17 \(3\), c9 \(2\); days 2026-01-10 \(5\)"
    with pytest.raises(GateFailed, match=named):
        gate(blessing=tmp_path / "refused", **given)


def test_a_challenger_that_is_surely_worse_than_the_champion_is_stopped(tmp_path: Path) -> None:
    features, model = features_folder(tmp_path / "features"), tiny_artifact(tmp_path / "model")
    settings = params({"metric": "ap", "against": "champion", "min_change": 0.5, "confidence": 0.9})
    champion = tiny_artifact(tmp_path / "champion", seed=9)
    evaluate(
        features=features, dataset=NO_DATA, model=model, evaluation=tmp_path / "out", params=settings, champion=champion
    )
    with pytest.raises(GateFailed, match="change against the champion"):
        gate(evaluation=tmp_path / "out", model=model, blessing=tmp_path / "blessing", params=settings)
    rule = json.loads((tmp_path / "blessing" / "blessing.json").read_text())["rules"][0]
    assert rule["reference"] is not None
    assert rule["margin"] < 0


def test_the_gate_refuses_an_evaluation_of_another_model_and_an_unknown_figure(tmp_path: Path) -> None:
    features, model = features_folder(tmp_path / "features"), tiny_artifact(tmp_path / "model")
    evaluate(features=features, dataset=NO_DATA, model=model, evaluation=tmp_path / "out", params=params())
    other = tiny_artifact(tmp_path / "other", seed=5)
    with pytest.raises(DataError, match="not of the model"):
        gate(evaluation=tmp_path / "out", model=other, blessing=tmp_path / "blessing", params=params())
    with pytest.raises(DataError, match="missing"):
        gate(evaluation=tmp_path / "nothing", model=model, blessing=tmp_path / "blessing", params=params())
    with pytest.raises(UsageError, match="did not measure"):
        gate(
            evaluation=tmp_path / "out",
            model=model,
            blessing=tmp_path / "blessing",
            params=params({"metric": "accuracy", "min": 0.9}),
        )
    assert not (tmp_path / "blessing").exists()


def test_every_threshold_policy_is_replayed_on_the_test_with_the_rate_that_it_gave(tmp_path):
    features, model = features_folder(tmp_path / "features"), tiny_artifact(tmp_path / "model")
    evaluate(features=features, dataset=NO_DATA, model=model, evaluation=tmp_path / "evaluation", params=params())
    document = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    found = {entry["policy"]: entry for entry in document["policies"]}
    assert set(found) == {"alert_budget", "quantile", "cost"}
    table = pq.read_table(features / "features.parquet")
    matrix = np.column_stack([table[name].to_numpy() for name in SPEC.names])
    scores = Scorer(load_artifact(model)).score(matrix).score
    test, validation = scores[(DAYS - 10) * A_DAY :], scores[(DAYS - 22) * A_DAY : (DAYS - 17) * A_DAY]
    for entry in found.values():
        review = np.float32(entry["review"])
        assert entry["test"]["review"] == pytest.approx(np.mean(test >= review), abs=1e-6)
        assert entry["validation"]["review"] == pytest.approx(np.mean(validation >= review), abs=1e-6)
    assert "Threshold policies" in (tmp_path / "evaluation" / "index.html").read_text()


def test_policies_of_a_supervised_model_are_chosen_on_what_its_trees_had_not_seen(tmp_path):
    features, dataset, model = (tmp_path / name for name in ("features", "dataset", "model"))
    features_folder(features)
    dataset.mkdir()
    (dataset / "fetch.json").write_text('{"md5": "abc"}')
    chosen = params(train=TrainParams(kind="xgboost", forest=ForestParams(trees=20)))
    train(features=features, dataset=dataset, model=model, params=chosen)
    evaluate(features=features, dataset=dataset, model=model, evaluation=tmp_path / "evaluation", params=chosen)
    document = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    (used,) = (entry for entry in document["policies"] if entry["used"])
    assert used["review"] == load_artifact(model).thresholds.review
