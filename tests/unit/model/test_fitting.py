"""The ensemble: one fit on small made-up data serves every test here, because TensorFlow is slow to start."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fraudline.core.errors import UsageError
from fraudline.model.fitting import FittedModel, fit, make_deterministic
from fraudline.model.members import build_member
from fraudline.model.params import TrainParams
from fraudline.model.scorer import GraphScorer, Scores
from fraudline.model.training import Epoch, train_member
from tests.support.inputs import PlainInput, PlainInputs, PlainJoint

NAMES = ("amount", "ratio", "hour", "flag", "constant")
INPUTS = PlainInputs(
    (
        PlainInput("amount", tail="upper", transform="log1p"),
        PlainInput("ratio", tail="upper"),
        PlainInput("hour"),
        PlainInput("flag"),
        PlainInput("constant"),
    ),
    (PlainJoint("evening", ("amount", "hour"), ("upper", "lower"), above=10.0),),
)
PARAMS = TrainParams(hidden=(16, 8), bottlenecks=(2, 3), epochs=4, batch_size=128)


def normals(rows: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    amount = rng.lognormal(3, 1, rows)
    hour = rng.normal(12, 3, rows)
    columns = (amount, amount / 20 + rng.normal(0, 0.1, rows), hour, hour > 18, np.full(rows, 7))
    return np.column_stack(columns).astype(np.float32)


def fit_small(seed: int = 5, progress: object = None) -> FittedModel:
    return fit(normals(4000, 1), normals(1000, 2), INPUTS, PARAMS, seed, progress)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def heard() -> list[Epoch]:
    return []


@pytest.fixture(scope="module")
def fitted(heard: list[Epoch]) -> FittedModel:
    return fit_small(progress=heard.append)


@pytest.fixture(scope="module")
def without_tail() -> FittedModel:
    alone = {"tail_weight": 0.0, "surprise_bottlenecks": (), "autoencoder_weight": 1.0}
    return fit(normals(4000, 1), normals(1000, 2), INPUTS, PARAMS.model_copy(update=alone), 5)


@pytest.fixture(scope="module")
def exported(fitted: FittedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    fitted.export(folder)
    return folder


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    strange = normals(200, 4)
    strange[:, 0] *= 50
    strange[::2, 2] = -1e6
    return np.concatenate([normals(1000, 3), strange, np.zeros((1, 5), np.float32)])


def assert_same(first: Scores, second: Scores) -> None:
    np.testing.assert_allclose(first.score, second.score, rtol=1e-5, atol=1e-5)
    scale = np.maximum(np.abs(second.score), 1.0)[:, None]
    assert np.max(np.abs(first.contributions - second.contributions) / scale) < 1e-5
    np.testing.assert_allclose(first.expected, second.expected, rtol=1e-3, atol=1e-3)


def test_contributions_sum_to_the_score(fitted: FittedModel, rows: np.ndarray) -> None:
    scores = fitted.score(rows)
    np.testing.assert_allclose(scores.contributions.sum(axis=1), scores.score, rtol=1e-5)
    assert scores.contributions.min() >= 0
    assert np.isfinite(scores.expected).all()


def test_the_residuals_score_decades_of_rarity_among_later_normals(without_tail: FittedModel) -> None:
    scores = without_tail.score(normals(1000, 2)).score
    assert np.quantile(scores, [0.5, 0.9, 0.99]) == pytest.approx([-np.log10(0.5), 1, 2], abs=0.1)
    assert len(np.unique(scores)) > 900, "the score ranks the usual rows too"


def test_the_score_is_joined_from_the_components_that_are_told(fitted: FittedModel, rows: np.ndarray) -> None:
    parts = fitted.components(rows)
    residuals = PARAMS.autoencoder_weight * parts.pop("autoencoder:features").astype(np.float64)
    residuals += PARAMS.surprise_weight * parts.pop("autoencoder:surprises").astype(np.float64)
    assert list(parts) == ["amount", "ratio", "amount & hour"]
    rarest = sum(value.astype(np.float64) ** 8 for value in parts.values()) ** (1 / 8)
    expected = PARAMS.tail_weight * rarest + residuals
    np.testing.assert_allclose(fitted.score(rows).score, expected, rtol=1e-4, atol=1e-4)


def test_a_pair_that_no_normal_shows_is_a_surprise_and_both_its_features_are_the_reason(fitted: FittedModel) -> None:
    early = np.median(normals(1000, 2), axis=0)[None].repeat(2, axis=0)
    early[1, :3] = 100, 5, 2.5  # an amount and an hour that are each known, never together
    surprise = fitted.components(early)["amount & hour"]
    assert surprise[0] < 1 < surprise[1]
    shares = fitted.score(early).contributions[1]
    assert shares[0] > 0.1
    assert shares[2] > 0.1


def test_onnx_equals_the_fitted_model(fitted: FittedModel, exported: Path, rows: np.ndarray) -> None:
    scorer = GraphScorer((exported / "model.onnx").read_bytes(), NAMES)
    assert_same(scorer.score(rows), fitted.score(rows))


def test_onnx_takes_one_row_as_it_takes_many(exported: Path, rows: np.ndarray) -> None:
    scorer = GraphScorer((exported / "model.onnx").read_bytes(), NAMES)
    many = scorer.score(rows[:20]).score
    ones = np.concatenate([scorer.score(rows[i : i + 1]).score for i in range(20)])
    np.testing.assert_allclose(ones, many, rtol=1e-5)


def test_the_savedmodel_equals_the_fitted_model_under_the_same_names(
    fitted: FittedModel, exported: Path, rows: np.ndarray
) -> None:
    import tensorflow as tf

    serve = tf.saved_model.load(str(exported / "savedmodel" / "1")).signatures["serving_default"]
    outputs = {name: value.numpy() for name, value in serve(features=tf.constant(rows)).items()}
    assert_same(Scores(outputs["score"], outputs["contributions"], outputs["expected"]), fitted.score(rows))


def test_a_larger_amount_always_scores_higher_and_becomes_the_first_reason(fitted: FittedModel) -> None:
    row = np.median(normals(1000, 2), axis=0)
    ladder = np.tile(row, (4, 1)).astype(np.float32)
    ladder[:, 0] *= (1, 30, 300, 3000)
    scores = fitted.score(ladder)
    assert (np.diff(scores.score[:3]) > 0).all()
    assert scores.score[3] >= scores.score[2] * (1 - 1e-6), "nine decades are the most"
    assert scores.contributions[-1].argmax() == 0
    assert scores.expected[-1, 0] < ladder[-1, 0] / 3


def test_the_right_tail_adds_decades_of_rarity_to_what_the_residuals_see(
    fitted: FittedModel, without_tail: FittedModel
) -> None:
    large = normals(500, 6)
    large[:, :2] *= 20
    seen = PARAMS.autoencoder_weight * without_tail.score(large).score
    added = fitted.score(large).score - seen
    assert added.mean() > 1
    assert added.min() > 0


def test_progress_hears_every_epoch_of_every_member(fitted: FittedModel, heard: list[Epoch]) -> None:
    assert tuple(heard) == fitted.history
    assert {epoch.member for epoch in heard} == {0, 1, 2, 3}, "two on the features, two on the surprises"
    assert heard[0].loss > heard[PARAMS.epochs - 1].loss


def test_the_same_seed_gives_the_same_scores_in_the_same_process(fitted: FittedModel, rows: np.ndarray) -> None:
    np.testing.assert_array_equal(fit_small().score(rows).score, fitted.score(rows).score)


def test_rows_beyond_the_limit_are_sampled_down() -> None:
    params = TrainParams(hidden=(4,), bottlenecks=(2,), epochs=1, max_rows=300, scaling="robust", log_inputs=False)
    assert fit(normals(1000, 1), normals(100, 2), INPUTS, params).rows == 300


@pytest.mark.parametrize(
    ("features", "validation", "params", "message"),
    [
        (np.empty((0, 5), np.float32), normals(100, 2), PARAMS, "shape"),
        (normals(100, 1)[:, :4], normals(100, 2), PARAMS, "shape"),
        (normals(100, 1), normals(3, 2), PARAMS, "validation rows"),
        (np.full((100, 5), np.nan, np.float32), normals(100, 2), PARAMS, "amount"),
        (normals(100, 1), normals(100, 2), PARAMS.model_copy(update={"tail_features": ("none",)}), "none unknown"),
        (normals(100, 1), normals(100, 2), PARAMS.model_copy(update={"joints": ("none",)}), "none unknown"),
    ],
)
def test_unusable_input_is_a_usage_error(
    features: np.ndarray, validation: np.ndarray, params: TrainParams, message: str
) -> None:
    quick = params.model_copy(update={"epochs": 1})
    with pytest.raises(UsageError, match=message):
        fit(features, validation, INPUTS, quick)


EXPORT = """
import sys, pathlib, warnings
from tests.unit.model.test_fitting import fit_small
fit_small().export(pathlib.Path(sys.argv[1]))
"""


@pytest.mark.integration
def test_a_fresh_process_writes_the_same_onnx_bytes_as_one_that_has_fitted_others(
    exported: Path, tmp_path: Path
) -> None:
    mine = os.environ.get("PYTHONHASHSEED")  # the converter iterates over sets: another hash seed must not matter
    environment = os.environ | {"PYTHONHASHSEED": "2" if mine == "1" else "1"}
    subprocess.run([sys.executable, "-c", EXPORT, str(tmp_path)], check=True, env=environment)
    assert (tmp_path / "model.onnx").read_bytes() == (exported / "model.onnx").read_bytes()


def test_a_member_ends_with_the_weights_of_its_best_epoch_and_stops_after_its_patience() -> None:
    rng = np.random.default_rng(0)
    line = rng.normal(size=(512, 1)).astype(np.float32)
    rows, crossed = np.hstack([line, line]), np.hstack([line, -line])  # the better on rows, the worse on crossed
    make_deterministic(0)
    network = build_member(2, TrainParams(hidden=(8,)), 1)
    seen: list[tuple[float, list[np.ndarray]]] = []
    params = TrainParams(learning_rate=0.02, epochs=20, patience=3, batch_size=64)

    train_member(
        network, rows, crossed, params, np.random.default_rng(1), lambda *e: seen.append((e[2], network.get_weights()))
    )

    best = int(np.argmin([loss for loss, _ in seen]))
    assert len(seen) == best + 1 + params.patience < params.epochs
    for kept, expected in zip(network.get_weights(), seen[best][1], strict=True):
        np.testing.assert_array_equal(kept, expected)


def test_residuals_are_measured_by_their_spread_on_later_normals() -> None:
    alone = {"tail_weight": 0.0, "surprise_bottlenecks": (), "epochs": 1, "bottlenecks": (2,)}
    quick = PARAMS.model_copy(update=alone)
    later = normals(1000, 2)
    noisy = later.copy()
    noisy[:, 2] += np.random.default_rng(0).normal(0, 30, 1000).astype(np.float32)
    odd = normals(50, 3)
    odd[:, 2] += 40

    share = []
    for validation in (later, noisy):
        scores = fit(normals(4000, 1), validation, INPUTS, quick, 5).score(odd)
        share.append(np.median(scores.contributions[:, 2] / scores.score))

    assert share[1] < share[0] - 0.1, "what varies much among later normals speaks less against a row"
