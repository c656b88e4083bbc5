"""Four libraries' trees in one table: the same margins, exact Shapley values, the same bytes twice."""

import runpy
import warnings

import numpy as np
import pytest

from fraudline.core.errors import ArtifactError, DataError, UsageError
from fraudline.model import shapley
from fraudline.model.challengers import GROWERS, ForestParams, grow
from fraudline.model.metrics import average_precision
from fraudline.model.shapley import TreeReasons
from fraudline.model.trees import TreeTable

PARAMS = ForestParams(trees=12, depth=3)
WIDTH = 6


def data(n: int = 3_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, WIDTH)).astype(np.float32)
    rows[:, 5] = np.round(rows[:, 5])
    frauds = rows[:, 0] + rows[:, 1] * rows[:, 2] + 0.5 * rng.normal(size=n) > 2.2
    return rows, frauds


@pytest.fixture(scope="module", params=sorted(GROWERS))
def grown(request: pytest.FixtureRequest) -> tuple[str, TreeTable]:
    return request.param, grow(request.param, *data(), PARAMS, seed=3)


def test_a_challenger_ranks_frauds_first_on_rows_it_has_not_seen(grown: tuple[str, TreeTable]) -> None:
    rows, frauds = data(seed=1)
    assert average_precision(frauds, grown[1].score(rows)) > 5 * frauds.mean()


def test_shapley_values_sum_to_the_score(grown: tuple[str, TreeTable]) -> None:
    rows, _ = data(300, seed=2)
    contributions = TreeReasons(grown[1], WIDTH).contributions(rows)
    assert np.abs(contributions.sum(axis=1) - grown[1].score(rows)).max() < 1e-6


def test_trees_are_explained_also_where_no_folder_for_compiled_code_can_be_written(monkeypatch) -> None:
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    reasons = runpy.run_path(shapley.__file__)["TreeReasons"]
    whole = [np.array(column, np.int32) for column in ([0, 0, 0], [0, -1, -1], [1, -1, -1], [2, -1, -1])]
    tree, feature, left, right = whole
    zero, value = np.zeros(3, np.float32), np.array([0, -1, 1], np.float32)
    stump = TreeTable(tree, feature, zero, left, right, value, np.array([2.0, 1.0, 1.0]))
    assert reasons(stump, 1).contributions(np.array([[-3], [3]], np.float32)).tolist() == [[-1.0], [1.0]]


def test_the_same_seed_gives_the_same_table_and_another_one_another(grown: tuple[str, TreeTable]) -> None:
    kind, table = grown
    again, other = grow(kind, *data(), PARAMS, seed=3), grow(kind, *data(), PARAMS, seed=4)
    assert again.to_arrow().equals(table.to_arrow())
    if kind != "catboost":  # draws nothing that matters on rows this few
        assert not other.to_arrow().equals(table.to_arrow())


def test_a_table_survives_storage_and_a_broken_one_is_refused(grown: tuple[str, TreeTable]) -> None:
    stored = grown[1].to_arrow()
    assert TreeTable.from_arrow(stored).to_arrow().equals(stored)
    loop = {name: stored[name].to_numpy().copy() for name in stored.column_names}
    loop["left"][0] = 0
    with pytest.raises(ArtifactError, match="no table of trees"):
        TreeTable.from_arrow(TreeTable(**loop).to_arrow())
    with pytest.raises(ArtifactError, match="other columns"):
        TreeTable.from_arrow(stored.drop_columns(["cover"]))


def test_the_scores_of_the_training_rows_have_mean_zero_and_covers_count_them(grown: tuple[str, TreeTable]) -> None:
    rows, _ = data()
    table = grown[1]
    assert abs(table.score(rows).mean()) < 1e-5
    assert table.cover[table.roots] == pytest.approx(len(rows), rel=1e-4)
    root = table.roots[0]
    passing = np.count_nonzero(rows[:, table.feature[root]] <= table.threshold[root])
    assert table.cover[table.left[root]] == pytest.approx(passing, abs=0.1)


@pytest.mark.parametrize("kind", sorted(GROWERS))
def test_scores_differ_from_the_librarys_by_a_constant_only(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import catboost
    import lightgbm
    import sklearn.ensemble
    import xgboost

    kept = []
    for library in (xgboost, lightgbm):
        monkeypatch.setattr(library, "train", lambda *given, f=library.train: kept.append(f(*given)) or kept[-1])
    for model in (catboost.CatBoostClassifier, sklearn.ensemble.RandomForestClassifier):
        monkeypatch.setattr(model, "fit", lambda *given, f=model.fit: kept.append(f(*given)) or kept[-1])
    table = grow(kind, *data(), PARAMS, seed=3)
    rows, _ = data(500, seed=5)
    margins = {
        "xgboost": lambda model: model.predict(xgboost.DMatrix(rows), output_margin=True),
        "lightgbm": lambda model: model.predict(rows, raw_score=True),
        "catboost": lambda model: model.predict(rows, prediction_type="RawFormulaVal"),
        "random_forest": lambda model: model.predict_proba(rows)[:, 1],
    }
    assert np.ptp(table.score(rows) - margins[kind](kept[0])) < 1e-5


def test_shapley_values_equal_those_of_the_shap_package(grown: tuple[str, TreeTable]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its colour maps, of this matplotlib
        import shap

    table = grown[1]
    trees = []
    for first, last in zip(table.roots, [*table.roots[1:], len(table.tree)], strict=True):
        part = slice(first, last)
        left, right = (np.where(child[part] < 0, -1, child[part] - first) for child in (table.left, table.right))
        trees.append(
            {
                "children_left": left,
                "children_right": right,
                "children_default": left,
                "features": table.feature[part],
                "thresholds": table.threshold[part].astype(np.float64),
                "values": table.value[part].astype(np.float64)[:, None],
                "node_sample_weight": table.cover[part],
            }
        )
    rows, _ = data(100, seed=6)
    explainer = shap.TreeExplainer({"trees": trees}, feature_perturbation="tree_path_dependent")
    theirs = explainer.shap_values(rows, check_additivity=False)
    assert np.abs(TreeReasons(table, WIDTH).contributions(rows) - theirs).max() < 1e-6


def test_smote_fills_up_frauds_and_changes_the_model() -> None:
    plain = grow("xgboost", *data(), PARAMS, seed=3)
    filled = grow("xgboost", *data(), PARAMS.model_copy(update={"smote_share": 0.5}), seed=3)
    rows, frauds = data(seed=1)
    assert not plain.to_arrow().equals(filled.to_arrow())
    assert average_precision(frauds, filled.score(rows)) > 5 * frauds.mean()


def test_what_cannot_be_grown_is_refused_by_name() -> None:
    rows, frauds = data()
    with pytest.raises(UsageError, match="no supervised model 'oracle'"):
        grow("oracle", rows, frauds, PARAMS, seed=1)
    with pytest.raises(DataError, match="0 known frauds in 3000 rows"):
        grow("xgboost", rows, np.zeros(len(rows), bool), PARAMS, seed=1)
