"""The search: judged on later validation days only, stopped and gone on with, each trial a run of its own."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from fraudline.cli.main import cli
from fraudline.core.clock import DAY_US
from fraudline.core.errors import DataError, StateError, UsageError
from fraudline.features.matrix import import_matrix
from fraudline.model.search import SearchSpace
from fraudline.ops.mlflow_client import connect
from fraudline.ops.params import RegistryParams
from fraudline.steps import tune as step
from fraudline.steps.labelled import LabelledRows, matrix_of
from fraudline.steps.params import Params
from fraudline.steps.train import _Rows
from fraudline.steps.tune import tune
from fraudline.steps.tune_point import Measured, at_point
from fraudline.steps.tune_rows import TuneRows
from tests.unit.steps.test_train import PARAMS, features_table

SPACE = SearchSpace.parse(
    {
        "format": 1,
        "parameters": [
            {"name": "train.clip", "kind": "float", "low": 5.0, "high": 100.0},
            {"name": "train.epochs", "kind": "int", "low": 2, "high": 10, "step": 2},
            {"name": "train.hidden", "kind": "choice", "values": [[8], [16, 8]]},
        ],
    },
    "space",
)


@pytest.fixture
def features(tmp_path: Path) -> Path:
    folder = tmp_path / "features"
    folder.mkdir()
    pq.write_table(features_table(), folder / "features.parquet")
    return folder


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Stands in for training: AP is best at a clip of 50, and grows with the share. What was measured comes back."""
    seen: list[tuple[float, float]] = []

    def measure(rows: TuneRows, spec: object, params: Params, share: float = 1.0) -> Measured:
        seen.append((params.train.clip, share))
        ap = (1 - abs(params.train.clip - 50) / 100) * (0.5 + share / 2)
        return Measured(ap, 0.9, 0.5, 0.01)

    monkeypatch.setattr(step, "measure", measure)
    return seen


def search(features: Path, out: Path, **options: object) -> dict[str, object]:
    return tune(**{"features": features, "out": out, "params": PARAMS, "space": SPACE, "trials": 12, **options})  # type: ignore[arg-type]


def test_no_test_day_is_read_and_no_row_judges_what_it_calibrated(features: Path) -> None:
    spec = PARAMS.features.resolve()
    table = features_table()
    times = table["event_time"].cast(pa.int64()).to_numpy()
    rows = TuneRows.read(features, spec, PARAMS)
    validation = LabelledRows.read(features, spec, PARAMS).split.validation
    judged = (times >= validation.start_us + 3 * DAY_US) & (times < validation.end_us)
    assert judged.sum() == 3 * 150
    assert np.array_equal(rows.judged, matrix_of(table.filter(pa.array(judged)), spec.names))
    for name in ("event_time", "label_time"):
        assert name in table.column_names
    later = table.slice(int(np.flatnonzero(times >= validation.end_us)[0]))
    earlier = table.slice(0, table.num_rows - later.num_rows)
    scrambled = [
        pa.array(np.full(later.num_rows, 1e6, np.float32)) if name in spec.names else later[name]
        for name in later.column_names
    ]
    changed = pa.concat_tables([earlier, pa.table(dict(zip(later.column_names, scrambled, strict=True)))])
    pq.write_table(changed, features / "features.parquet")
    again = TuneRows.read(features, spec, PARAMS)
    for part in ("judged", "frauds"):
        assert np.array_equal(getattr(rows, part), getattr(again, part)), part
    for part in ("normals", "later_normals", "frauds"):
        assert np.array_equal(getattr(rows.learned, part), getattr(again.learned, part)), part


def test_the_best_point_is_found_reported_and_a_fragment_of_the_parameters(
    features: Path, tmp_path: Path, judge: list[tuple[float, float]]
) -> None:
    out = tmp_path / "tune"
    result = search(features, out, params=at_point(PARAMS, {"train.clip": 5.0}))
    point = result["best"]["point"]  # type: ignore[index]
    assert abs(point["train.clip"] - 50) < 25
    assert result["trials"] == 12
    assert {share for _, share in judge} == {0.1, 0.35, 1.0}
    fragment = yaml.safe_load((out / "best.yaml").read_text())
    assert Params.parse({**fragment}, "best.yaml").train.hidden in ((8,), (16, 8))
    assert max(result["importance"], key=result["importance"].get) == "train.clip"  # type: ignore[arg-type, call-overload, attr-defined]
    page = (out / "index.html").read_text()
    assert page.count("<svg") == 3
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )


def test_a_hopeless_trial_is_given_up_before_it_costs_a_full_training(
    features: Path, tmp_path: Path, judge: list[tuple[float, float]]
) -> None:
    result = search(features, tmp_path / "tune", trials=20)
    assert result["pruned"] > 0  # type: ignore[operator]
    full = sum(share == 1.0 for _, share in judge)
    assert full == 1 + 20 - result["pruned"]  # type: ignore[operator]


def test_a_search_goes_on_where_it_was_stopped(
    features: Path, tmp_path: Path, judge: list[tuple[float, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, calls = tmp_path / "tune", []
    whole = step.measure

    def stopped(*arguments: object, **options: object) -> Measured:
        calls.append(1)
        if len(calls) > 8:
            raise KeyboardInterrupt
        return whole(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(step, "measure", stopped)
    with pytest.raises(KeyboardInterrupt):
        search(features, out)
    monkeypatch.setattr(step, "measure", whole)
    heard = []
    result = search(features, out, trials=6, listener=heard.append)
    assert heard[0].finished == 2
    assert heard[-1].finished == 6
    assert result["trials"] == 6
    before = len(judge)
    search(features, out, trials=6)
    assert len(judge) == before


def test_a_study_of_other_data_is_not_gone_on_with(
    features: Path, tmp_path: Path, judge: list[tuple[float, float]]
) -> None:
    search(features, tmp_path / "tune", trials=2)
    pq.write_table(features_table().slice(150), features / "features.parquet")
    with pytest.raises(StateError, match="other data"):
        search(features, tmp_path / "tune", trials=2)
    assert search(features, tmp_path / "tune", trials=2, study="another")["trials"] == 2


@pytest.mark.parametrize("changes", [{"learning_rate": 1e-2}, {"trim": {"rounds": 0}}])
def test_a_study_with_other_parameters_is_not_gone_on_with(
    features: Path, tmp_path: Path, judge: list[tuple[float, float]], changes: dict[str, object]
) -> None:
    search(features, tmp_path / "tune", trials=2)
    other = at_point(PARAMS, {f"train.{name}": value for name, value in changes.items()})
    with pytest.raises(StateError, match="other parameters"):
        search(features, tmp_path / "tune", trials=2, params=other)
    searched = at_point(PARAMS, {"train.clip": 44.0, "train.epochs": 3})
    assert search(features, tmp_path / "tune", trials=3, params=searched)["trials"] == 3


def test_trials_learn_from_what_the_training_would_learn_from(features: Path) -> None:
    rng = np.random.default_rng(3)
    table, spec = features_table(), PARAMS.features.resolve()
    hidden = rng.random(table.num_rows) < 0.1
    fraud = table["is_fraud"].to_numpy() | (rng.random(table.num_rows) < 0.15)
    columns = {name: table[name] for name in table.column_names}
    for name in spec.names[:6]:  # reported and unreported frauds look alike
        columns[name] = pa.array(table[name].to_numpy() + np.float32(30) * (fraud | hidden))
    columns["is_fraud"] = pa.array(fraud)
    pq.write_table(pa.table(columns), features / "features.parquet")
    params = at_point(PARAMS, {"train.trim.min_frauds": 10, "train.trim.max_share": 0.3})
    whole = TuneRows.read(features, spec, at_point(params, {"train.trim.rounds": 0})).learned
    kept = TuneRows.read(features, spec, params).learned
    trained = _Rows.read(features, spec, params).trimmed(params).learned
    assert len(kept.normals) < 0.95 * len(whole.normals)
    assert len(kept.later_normals) < len(whole.later_normals)
    assert np.abs(kept.normals[:, 0]).max() < np.abs(whole.normals[:, 0]).max()
    assert np.isin(kept.normals[:, 0], trained.normals[:, 0]).mean() > 0.99


def test_a_search_that_finds_nothing_better_says_so_and_changes_nothing(
    features: Path, tmp_path: Path, judge: list[tuple[float, float]]
) -> None:
    best = at_point(PARAMS, {"train.clip": 50.0})
    result = search(features, tmp_path / "tune", trials=3, params=best)
    assert result["best"]["value"] < result["default"] == 1.0  # type: ignore[index]
    assert result["fragment"] == ""
    assert not (tmp_path / "tune/best.yaml").exists()
    assert "No trial is better" in (tmp_path / "tune/index.html").read_text()


def test_every_trial_is_a_run_below_the_run_of_the_study(
    features: Path, tmp_path: Path, judge: list[tuple[float, float]], tracker: RegistryParams
) -> None:
    params = PARAMS.model_copy(update={"registry": tracker})
    search(features, tmp_path / "tune", trials=3, params=params)
    search(features, tmp_path / "tune", trials=5, params=params)
    client = connect(tracker.tracking_uri)
    runs = client.search_runs([client.get_experiment_by_name(tracker.experiment).experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    (parent,) = parents
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == 5
    assert all("train.clip" in child.data.params and "validation_ap" in child.data.metrics for child in children)
    assert parent.data.metrics["validation_ap"] == max(child.data.metrics["validation_ap"] for child in children)


def test_a_tracking_server_that_goes_away_during_a_search_does_not_end_it(
    features: Path,
    tmp_path: Path,
    judge: list[tuple[float, float]],
    tracker: RegistryParams,
    tracking_server: SimpleNamespace,
) -> None:
    params = PARAMS.model_copy(update={"registry": tracker})

    def first_trial(heard: step.Heard) -> None:
        tracking_server.away = heard.finished > 0

    found = search(features, tmp_path / "tune", params=params, trials=3, listener=first_trial)
    assert found["trials"] == 3
    assert (tmp_path / "tune" / "index.html").is_file()


def test_a_space_that_does_not_fit_the_parameters_is_refused_before_a_trial(features: Path, tmp_path: Path) -> None:
    wrong = SearchSpace.parse(
        {"format": 1, "parameters": [{"name": "train.epoch", "kind": "int", "low": 1, "high": 2}]}, "space"
    )
    with pytest.raises(UsageError, match=r"train\.epoch"):
        search(features, tmp_path / "tune", space=wrong)


@pytest.mark.parametrize("name", ["split.validation_days", "features.without", "train.trim.max_share"])
def test_what_the_trials_would_not_apply_is_refused(features: Path, tmp_path: Path, name: str) -> None:
    space = SearchSpace.parse(
        {"format": 1, "parameters": [{"name": name, "kind": "int", "low": 1, "high": 2}]}, "space"
    )
    with pytest.raises(UsageError, match="cannot be searched here") as caught:
        search(features, tmp_path / "tune", space=space)
    assert "katib" in caught.value.action.lower()


def test_days_without_a_fraud_cannot_judge(features: Path) -> None:
    table = features_table()
    normal = table.set_column(
        table.column_names.index("is_fraud"), "is_fraud", pa.array(np.zeros(table.num_rows, bool))
    )
    pq.write_table(normal, features / "features.parquet")
    with pytest.raises(DataError, match="validation_days"):
        TuneRows.read(features, PARAMS.features.resolve(), PARAMS)


def test_one_point_is_measured_by_a_real_training_and_printed_for_a_collector(features: Path, tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump(PARAMS.model_dump(mode="json")))
    given = ["tune", "--features", str(features), "--params", str(params), "--set", "train.hidden=[8]"]
    said = CliRunner().invoke(cli, given, catch_exceptions=False).stdout
    name, _, value = said.splitlines()[0].partition("=")
    assert name == "validation_ap"
    assert 0.2 < float(value) <= 1.0  # by chance 0.03
    with pytest.raises(UsageError, match="layers"):
        CliRunner().invoke(cli, [*given, "--set", "train.layers=3"], catch_exceptions=False)


def test_a_model_of_a_table_is_searched_like_one_of_cards(tmp_path: Path, judge: list[tuple[float, float]]) -> None:
    rng = np.random.default_rng(1)
    table = pa.table({"speed": rng.normal(size=900), "torque": rng.normal(size=900), "failure": rng.random(900) < 0.1})
    pq.write_table(table.set_column(2, "failure", table["failure"].cast(pa.string())), tmp_path / "machines.parquet")
    (tmp_path / "machines.yaml").write_text(
        "{kind: table, name: machines, columns: {speed: {}, torque: {}}, label: {column: failure, normal: 'false'}}"
    )
    made = tmp_path / "machines"
    import_matrix(tmp_path / "machines.parquet", made, spec=tmp_path / "machines.yaml")
    params = Params.load(made / "params.yaml").model_copy(update={"registry": RegistryParams(tracking_uri="")})
    found = tune(features=made / "features", out=tmp_path / "out", params=params, space=SPACE, trials=2)
    assert found["trials"] == 2


def test_the_command_prints_the_fragment_and_writes_it(
    features: Path, tmp_path: Path, judge: list[tuple[float, float]]
) -> None:
    params, written = tmp_path / "params.yaml", tmp_path / "best.yaml"
    params.write_text(yaml.safe_dump(at_point(PARAMS, {"train.clip": 5.0}).model_dump(mode="json")))
    space = tmp_path / "space.yaml"
    space.write_text(yaml.safe_dump(SPACE.model_dump(mode="json", exclude_none=True)))
    given = ["tune", "--features", features, "--params", params, "--space", space, "--trials", 3, "--out",
             tmp_path / "tune", "--write", written]  # fmt: skip
    result = CliRunner().invoke(cli, [str(part) for part in given], catch_exceptions=False)
    assert yaml.safe_load(result.stdout) == yaml.safe_load(written.read_text())
    assert "given up early" in result.stderr
    said = CliRunner().invoke(cli, [str(part) for part in [*given, "--json"]], catch_exceptions=False)
    assert json.loads(said.stdout)["trials"] == 3


def test_a_point_changes_only_what_it_names() -> None:
    chosen = at_point(PARAMS, {"train.clip": 9.0})
    assert chosen == PARAMS.model_copy(update={"train": PARAMS.train.model_copy(update={"clip": 9.0})})
