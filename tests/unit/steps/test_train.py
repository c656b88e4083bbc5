"""Step train: a verified artifact from known normals, without a look at what was not yet known."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from structlog.testing import capture_logs

from fraudline.core.errors import DataError
from fraudline.features.spec import load_spec
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.model.golden import read_golden
from fraudline.model.params import TrimParams
from fraudline.model.scorer import Scorer
from fraudline.ops.params import RegistryParams
from fraudline.steps import train as step
from fraudline.steps.labelled import SILENT
from fraudline.steps.params import Params
from fraudline.steps.train import EPOCH_LISTENER, train

DAYS, PER_DAY, FRAUDS_PER_DAY = 24, 150, 5
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
PARAMS = Params.model_validate(
    {
        "seed": 3,
        "label_delay_days": 3,
        "split": {"warmup_days": 2, "validation_days": 6, "test_days": 3},
        "train": {"hidden": [8], "bottlenecks": [2], "epochs": 2},
        "threshold": {"review_rate": 0.05, "block_rate": 0.01},
        "registry": {"tracking_uri": ""},
    }
)


def features_table(far_out: float = 5, seed: int = 0) -> pa.Table:
    spec, rng = load_spec(), np.random.default_rng(seed)
    n = DAYS * PER_DAY
    times = [FIRST + timedelta(days=i // PER_DAY, seconds=500 * (i % PER_DAY)) for i in range(n)]
    frauds = np.arange(n) % PER_DAY < FRAUDS_PER_DAY
    matrix = rng.lognormal(1, 0.5, (n, len(spec.names))).astype(np.float32)
    matrix[frauds] *= far_out
    delay = np.where(np.arange(n) % 2, 2, 20)  # half of the frauds are reported too late for anyone
    moment = pa.timestamp("us", tz="UTC")
    labels = [t + timedelta(days=int(d)) if f else None for t, d, f in zip(times, delay, frauds, strict=True)]
    columns: dict[str, Any] = {
        "transaction_id": pa.array([f"t{i}" for i in range(n)]),
        "event_time": pa.array(times, moment),
        "card_id": [f"c{k % 50}" for k in range(n)],
        "amount_minor": pa.array(rng.integers(100, 10_000, n)),
    }
    columns |= {name: matrix[:, i] for i, name in enumerate(spec.names)}
    columns |= {"is_fraud": pa.array(frauds), "label_time": pa.array(labels, moment)}
    return pa.table(columns)


@dataclass(frozen=True)
class Trained:
    features: Path
    dataset: Path
    result: dict[str, Any]
    artifact: Artifact
    epochs: list[Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root = tmp_path_factory.mktemp("train")
    for name in ("features", "dataset"):
        (root / name).mkdir()
    pq.write_table(features_table(), root / "features" / "features.parquet")
    (root / "dataset" / "fetch.json").write_text(json.dumps({"md5": "abc.dir"}))
    epochs: list[Any] = []
    token = EPOCH_LISTENER.set(epochs.append)
    try:
        result = train(features=root / "features", dataset=root / "dataset", model=root / "model", params=PARAMS)
    finally:
        EPOCH_LISTENER.reset(token)
    return Trained(root / "features", root / "dataset", result, load_artifact(root / "model"), epochs)


def test_the_artifact_is_verified_and_says_what_it_was_made_of(trained: Trained) -> None:
    meta = trained.artifact.meta
    assert trained.artifact.digest == trained.result["digest"]
    assert (meta.data_md5, meta.formats, meta.params["seed"]) == ("abc.dir", ("onnx", "savedmodel"), 3)
    assert trained.artifact.spec == load_spec()
    assert (trained.artifact.path / "savedmodel" / "1" / "saved_model.pb").is_file()
    card = trained.artifact.content["card.md"].decode()
    assert meta.thresholds.version in card
    assert "merchant_risk_7d" in card
    assert "1 autoencoders on the features and 2 on the surprises" in card
    assert "in decades of" in card
    assert "a whole score of 3 is far less rare" in card
    assert "each doubling" not in card
    surprises = len(meta.architecture["surprises"])
    assert f"{surprises} – 8 – 1 – 8 – {surprises}" in card


def test_a_data_set_that_was_not_fetched_is_named_before_features_are_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"fetch\.json does not name the data"):
        train(features=tmp_path / "features", dataset=tmp_path, model=tmp_path / "model", params=PARAMS)


def test_the_golden_rows_hold_frauds_and_normals_and_are_reproduced(trained: Trained) -> None:
    features, golden = read_golden(trained.artifact.table("golden.parquet"), trained.artifact.spec.names)
    scores = Scorer(trained.artifact).score(features)
    np.testing.assert_allclose(scores.score, golden.score, rtol=1e-5)
    assert len(features) == 256
    assert golden.score.max() > 2 * np.median(golden.score)


def test_the_thresholds_keep_the_budget_over_all_validation_transactions(trained: Trained) -> None:
    unseen = trained.artifact.table("reference/unseen.parquet")["score"].to_numpy()
    assert len(unseen) == 6 * PER_DAY
    assert np.count_nonzero(unseen >= np.float32(trained.result["review"])) == int(0.05 * len(unseen))
    assert np.count_nonzero(unseen >= np.float32(trained.result["block"])) == int(0.01 * len(unseen))


def test_reported_frauds_are_left_out_of_training_and_unreported_ones_are_not(trained: Trained) -> None:
    train_days = DAYS - 12 - 2
    early = range(2, 2 + train_days)
    now = FIRST + timedelta(days=DAYS - 3)
    reported = 0
    for day in early:
        for i in range(FRAUDS_PER_DAY):
            late = (day * PER_DAY + i) % 2 == 0
            reported += FIRST + timedelta(days=day + (20 if late else 2), seconds=500 * i) < now
    assert 0 < reported < train_days * FRAUDS_PER_DAY
    assert trained.artifact.meta.trained_on.rows == train_days * PER_DAY - reported


def test_where_few_frauds_are_known_training_says_that_unreported_ones_stay(trained: Trained) -> None:
    looks = PARAMS.model_copy(update={"train": PARAMS.train.model_copy(update={"trim": TrimParams(min_frauds=10)})})
    rows = step._Rows.read(trained.features, load_spec(), PARAMS)
    with capture_logs() as said:
        rows.trimmed(looks)
    (warned,) = [event for event in said if event["event"] == "train.few_known_frauds"]
    assert warned["known"] == len(rows.learned.frauds)
    with capture_logs() as said:
        replace(rows, learned=replace(rows.learned, frauds=np.repeat(rows.learned.frauds, 30, axis=0))).trimmed(looks)
    assert "train.few_known_frauds" not in [event["event"] for event in said]


def test_reference_distributions_cover_every_feature_and_the_score(trained: Trained) -> None:
    table = trained.artifact.table("reference/features.parquet")
    assert set(table["feature"].to_pylist()) == set(trained.artifact.spec.names)
    score = trained.artifact.table("reference/score.parquet")
    assert sum(score["share"].to_pylist()) == pytest.approx(1)
    unseen = trained.artifact.table("reference/unseen.parquet")["score"].to_numpy()
    above = np.mean(unseen[:, None] >= score["lower"].to_numpy(), axis=0)
    assert np.cumsum(score["share"].to_numpy()[::-1])[::-1] == pytest.approx(above), "as rows to come will be"


def test_a_listener_hears_every_epoch(trained: Trained) -> None:
    networks = 1 + len(PARAMS.train.surprise_bottlenecks)
    assert [(e.member, e.epoch) for e in trained.epochs] == [(m, e) for m in range(networks) for e in (1, 2)]


def test_the_same_input_gives_the_same_digest_and_another_seed_another(trained: Trained, tmp_path: Path) -> None:
    def again(params: Params) -> str:
        return str(
            train(features=trained.features, dataset=trained.dataset, model=tmp_path / "m", params=params)["digest"]
        )

    assert again(PARAMS) == trained.artifact.digest
    assert again(PARAMS.model_copy(update={"seed": 4})) != trained.artifact.digest


def test_what_is_missing_is_said_and_an_earlier_model_stays(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "keep").touch()
    with pytest.raises(DataError, match="is missing"):
        train(features=tmp_path, dataset=trained.dataset, model=tmp_path / "model", params=PARAMS)
    with pytest.raises(DataError, match="does not name the data"):
        train(features=trained.features, dataset=tmp_path, model=tmp_path / "model", params=PARAMS)
    table = features_table()
    for broken, message in ((table.drop_columns("amount"), "amount"), (table.slice(0, 0), "no rows")):
        pq.write_table(broken, tmp_path / "features.parquet")
        with pytest.raises(DataError, match=message):
            train(features=tmp_path, dataset=trained.dataset, model=tmp_path / "model", params=PARAMS)
    assert (tmp_path / "model" / "keep").exists()


def test_without_a_listener_epochs_are_logged_and_recorded(trained: Trained) -> None:
    recorded: list[tuple[str, float, int | None]] = []

    class Run:
        def metric(self, name: str, value: float, step: int | None = None) -> None:
            recorded.append((name, value, step))

    step._listener(Run())(trained.epochs[0])  # type: ignore[arg-type]
    assert [name for name, _, _ in recorded] == ["loss/member_0", "validation_loss/member_0"]


def test_a_supervised_challenger_becomes_an_artifact_of_the_same_contract(trained: Trained, tmp_path: Path) -> None:
    forest = {"kind": "lightgbm", "forest": {"trees": 20, "depth": 3}}
    params = PARAMS.model_copy(update={"train": PARAMS.train.parse({**PARAMS.train.model_dump(), **forest}, "train")})
    result = train(features=trained.features, dataset=trained.dataset, model=tmp_path / "model", params=params)
    artifact = load_artifact(tmp_path / "model")

    assert (artifact.meta.formats, artifact.meta.reasons) == (("onnx",), "tree-shap")
    assert "trees.parquet" in artifact.content
    assert "lightgbm" in artifact.content["card.md"].decode()
    features, golden = read_golden(artifact.table("golden.parquet"), artifact.spec.names)
    scores = Scorer(artifact).score(features)
    np.testing.assert_allclose(scores.score, golden.score, rtol=1e-5)
    np.testing.assert_allclose(scores.contributions.sum(axis=1), scores.score, atol=2e-5)
    assert result["rows"] == (DAYS - 6 - 2) * PER_DAY, "all matured days; a fraud not yet reported counts as normal"


def test_a_model_does_not_learn_from_what_means_nothing_in_its_data_set(trained: Trained, tmp_path: Path) -> None:
    table = features_table().replace_schema_metadata({SILENT: "category_rarity"})
    pq.write_table(table, tmp_path / "features.parquet")
    params = Params.model_validate({**PARAMS.model_dump(), "train": {"kind": "lightgbm", "forest": {"trees": 5}}})
    train(features=tmp_path, dataset=trained.dataset, model=tmp_path / "model", params=params)
    assert load_artifact(tmp_path / "model").spec == load_spec().without(["category_rarity"])


def alerted_on_new_rows(trained: Trained, folder: Path, changes: dict[str, object]) -> tuple[float, Artifact]:
    """The share of new rows, drawn as the training's were, that a model with these parameters alerts; and the model."""
    (folder / "features").mkdir()
    pq.write_table(features_table(far_out=1), folder / "features" / "features.parquet")
    params = Params.model_validate({**PARAMS.model_dump(), **changes})
    train(features=folder / "features", dataset=trained.dataset, model=folder / "model", params=params)
    artifact = load_artifact(folder / "model")
    others = features_table(far_out=1, seed=1)
    matrix = np.column_stack([others[name].to_numpy() for name in artifact.spec.names])
    return float(np.mean(Scorer(artifact).score(matrix).score >= np.float32(artifact.thresholds.review))), artifact


def test_a_supervised_model_alerts_as_often_as_asked_on_rows_it_has_not_seen(trained: Trained, tmp_path: Path) -> None:
    """Nothing tells these frauds from normals, so trees can only learn by heart which rows of the past they were."""
    changes = {
        "train": {"kind": "xgboost", "forest": {"trees": 200, "depth": 6, "learning_rate": 0.3}},
        "threshold": {"review_rate": 0.01, "block_rate": 0.002},
    }
    share, artifact = alerted_on_new_rows(trained, tmp_path, changes)
    assert 0.002 < share < 0.03, "1 % was asked for"
    unseen = artifact.table("reference/unseen.parquet")["score"].to_numpy()
    assert np.mean(unseen >= np.float32(artifact.thresholds.review)) == 0.01


def test_an_autoencoder_alerts_as_often_as_asked_on_rows_it_has_not_seen(trained: Trained, tmp_path: Path) -> None:
    """Its tables and residuals know the validation normals: these score lower than others like them."""
    share, _ = alerted_on_new_rows(trained, tmp_path, {"threshold": {"review_rate": 0.02, "block_rate": 0.01}})
    assert 0.01 < share < 0.03, "2 % was asked for"


def test_a_tracking_server_that_goes_away_while_a_model_is_fitted_does_not_take_the_model_with_it(
    trained: Trained, tmp_path: Path, tracker: RegistryParams, tracking_server: SimpleNamespace
) -> None:
    token = EPOCH_LISTENER.set(lambda _: setattr(tracking_server, "away", True))
    try:
        tracked = PARAMS.model_copy(update={"registry": tracker})
        train(features=trained.features, dataset=trained.dataset, model=tmp_path / "model", params=tracked)
    finally:
        EPOCH_LISTENER.reset(token)
    assert load_artifact(tmp_path / "model").digest == trained.artifact.digest
