"""Every kind of model keeps one contract: raw features in, a score with its exact shares, the same bytes twice."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from fraudline.core.errors import ArtifactError, DataError, UsageError
from fraudline.model.kinds import Fitted, TrainingRows, fit_kind
from fraudline.model.metrics import average_precision
from fraudline.model.params import ForestParams, TrainParams
from fraudline.model.saved_model import check_saved_model
from fraudline.model.scorer import GraphScorer, open_graph
from tests.support.inputs import PlainInput, PlainInputs

WIDTH = 6
NAMES = tuple(f"f{i}" for i in range(WIDTH))
PAST = ("f1@1", "f2@1", "f1@2", "f2@2")
SPEC = PlainInputs(tuple(PlainInput(name, "upper" if name == "f0" else "none") for name in NAMES))
KINDS = ("dense", "denoising", "variational", "xgboost", "random_forest", "hybrid")
SUPERVISED = KINDS[3:]


def params(kind: str) -> TrainParams:
    return TrainParams(kind=kind, bottlenecks=(2,), hidden=(16,), epochs=3, forest=ForestParams(trees=10, depth=3))


def rows(seed: int = 0) -> TrainingRows:
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(9).normal(size=(3, WIDTH))

    def normals(n: int) -> np.ndarray:
        return (rng.normal(size=(n, 3)) @ mix + 0.2 * rng.normal(size=(n, WIDTH))).astype(np.float32)

    return TrainingRows(normals(3_000), normals(800), normals(60) + np.array([4, 0, 0, 4, 0, 0], np.float32))


@pytest.fixture(scope="module", params=KINDS)
def fitted(request: pytest.FixtureRequest) -> Fitted:
    return fit_kind(rows(), SPEC, params(request.param), seed=5)


@pytest.fixture(scope="module")
def exported(fitted: Fitted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    fitted.export(folder)
    return folder


@pytest.fixture(scope="module")
def opened(fitted: Fitted, exported: Path) -> GraphScorer:
    return open_graph(exported, NAMES, fitted.reasons)


def test_a_savedmodel_of_every_kind_is_one_that_may_be_loaded(fitted: Fitted, exported: Path) -> None:
    found = list(exported.glob("savedmodel/1/saved_model.pb"))
    assert len(found) == ("savedmodel" in fitted.formats)
    for path in found:
        check_saved_model(path.read_bytes())


def test_contributions_sum_to_the_score_and_all_is_finite(opened: GraphScorer) -> None:
    found = opened.score(rows(1).labelled[0])
    assert np.abs(found.contributions.sum(axis=1) - found.score).max() < 2e-5
    assert all(np.isfinite(part).all() for part in (found.score, found.contributions, found.expected))


def test_the_exported_graph_scores_as_the_fitted_model(fitted: Fitted, opened: GraphScorer) -> None:
    some = rows(2).labelled[0][::7]
    mine, theirs = fitted.score(some), opened.score(some)
    assert np.allclose(mine.score, theirs.score, atol=2e-5)
    assert np.allclose(mine.contributions, theirs.contributions, atol=1e-4)


def test_frauds_rank_above_normals(opened: GraphScorer) -> None:
    features, frauds = rows(3).labelled
    assert average_precision(frauds, opened.score(features).score.astype(np.float64)) > 0.5


def test_the_same_rows_and_seed_give_the_same_file(fitted: Fitted, exported: Path, tmp_path: Path) -> None:
    kind = fitted.architecture().get("networks", fitted.architecture()["kind"])
    fit_kind(rows(), SPEC, params(kind), seed=5).export(tmp_path)
    names = ["model.onnx", *(["trees.parquet"] if kind in SUPERVISED else [])]
    for name in names:
        assert (tmp_path / name).read_bytes() == (exported / name).read_bytes(), name


def test_a_supervised_kind_without_frauds_is_refused() -> None:
    none = TrainingRows(rows().normals, rows().later_normals, rows().frauds[:0])
    with pytest.raises(DataError, match="0 known frauds"):
        fit_kind(none, SPEC, params("xgboost"), seed=5)


def test_trees_of_other_features_are_refused(tmp_path: Path) -> None:
    fit_kind(rows(), SPEC, params("xgboost"), seed=5).export(tmp_path)
    with pytest.raises(ArtifactError, match="takes 6 features|of 2"):
        open_graph(tmp_path, NAMES[:2], "tree-shap")


def test_a_sequence_model_reads_history_and_gives_it_no_share(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    spec = PlainInputs(tuple(PlainInput(name) for name in (*NAMES, *PAST)))

    def normals(n: int) -> np.ndarray:
        past = rng.normal(size=(n, 4))
        now = 0.3 * rng.normal(size=(n, WIDTH)) + past[:, :1]  # a transaction resembles the card's last one
        return np.hstack([now, past]).astype(np.float32)

    settings = {"hidden": (16,), "bottlenecks": (1,), "epochs": 8, "tail_weight": 0.0}
    empty = np.empty((0, WIDTH + 4), np.float32)
    sequence = fit_kind(
        TrainingRows(normals(6_000), normals(1_000), empty), spec, TrainParams(kind="sequence", **settings), 3
    )
    rows = normals(500)
    strange = rows.copy()
    strange[:, WIDTH:] *= -1  # the same transactions after another past

    usual, odd = sequence.score(rows), sequence.score(strange)

    assert np.abs(odd.contributions[:, WIDTH:]).max() == 0
    assert np.abs(odd.contributions.sum(axis=1) - odd.score).max() < 1e-5
    assert np.median(odd.score) > np.median(usual.score) + 0.3
    sequence.export(tmp_path)
    served = open_graph(tmp_path, (*NAMES, *PAST), sequence.reasons).score(strange)
    assert np.allclose(served.score, odd.score, rtol=1e-5, atol=1e-5)


def test_a_sequence_model_without_history_says_which_parameters_bring_it() -> None:
    with pytest.raises(UsageError, match="last transactions") as caught:
        fit_kind(rows(), SPEC, params("sequence"), seed=1)
    assert "features.history_rows" in caught.value.action
