"""Four libraries' trees in one table: the same margins, exact Shapley values, the same bytes twice."""

import warnings

import numpy as np
import pytest

from fraudline.core.errors import ArtifactError, DataError, UsageError
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


def margins(kind: str, rows: np.ndarray) -> np.ndarray:
    """What the library itself says of the rows, with the parameters of :data:`PARAMS`."""
    train, frauds = data()
    if kind == "random_forest":
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(12, max_depth=6, min_samples_leaf=5, max_samples=0.3, n_jobs=1, random_state=3)
        return forest.fit(train, frauds).predict_proba(rows)[:, 1]
    if kind == "catboost":
        from catboost import CatBoostClassifier

        model = CatBoostClassifier(
            iterations=12,
            depth=3,
            learning_rate=PARAMS.learning_rate,
            random_seed=3,
            thread_count=1,
            allow_writing_files=False,
            verbose=False,
        )
        return model.fit(train, frauds.astype(np.int8)).predict(rows, prediction_type="RawFormulaVal")
    raise NotImplementedError(kind)


@pytest.mark.parametrize("kind", ["random_forest", "catboost"])
def test_scores_differ_from_the_librarys_by_a_constant_only(kind: str) -> None:
    rows, _ = data(500, seed=5)
    gap = grow(kind, *data(), PARAMS, seed=3).score(rows) - margins(kind, rows)
    assert np.ptp(gap) < 1e-5


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm"])
def test_scores_and_shapley_values_are_the_boosters_own(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import lightgbm
    import xgboost

    library = {"xgboost": xgboost, "lightgbm": lightgbm}[kind]
    kept = []
    train = library.train
    monkeypatch.setattr(library, "train", lambda *given: kept.append(train(*given)) or kept[-1])
    table = grow(kind, *data(), PARAMS, seed=3)
    rows, _ = data(500, seed=5)
    if kind == "xgboost":
        theirs = kept[0].predict(xgboost.DMatrix(rows), pred_contribs=True)
    else:
        theirs = kept[0].predict(rows, pred_contrib=True)
    assert np.abs(theirs[:, :-1] - TreeReasons(table, WIDTH).contributions(rows)).max() < 1e-5
    assert np.abs(theirs[:, :-1].sum(axis=1) - table.score(rows)).max() < 1e-5


def test_shapley_values_equal_those_of_the_shap_package() -> None:
    from sklearn.ensemble import RandomForestClassifier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its colour maps, of this matplotlib
        import shap

    train, frauds = data()
    forest = RandomForestClassifier(12, max_depth=6, min_samples_leaf=5, max_samples=0.3, n_jobs=1, random_state=3).fit(
        train, frauds
    )
    rows, _ = data(100, seed=6)
    explainer = shap.TreeExplainer(forest, feature_perturbation="tree_path_dependent")
    theirs = explainer.shap_values(rows, check_additivity=False)[:, :, 1]
    ours = TreeReasons(grow("random_forest", train, frauds, PARAMS, seed=3), WIDTH).contributions(rows)
    assert np.abs(ours - theirs).max() < 1e-6


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
