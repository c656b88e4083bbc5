"""Supervised models, where labels exist: four libraries' trees, read into one table.

trees = grow("lightgbm", rows, frauds, ForestParams(), seed=7)        # a TreeTable; the score is high = anomalous

A booster's score is in log-odds of fraud, a random forest's in shares of trees; both less their mean over the training
rows, frauds that SMOTE made among them. The same rows, labels, parameters and seed give the same table. The extra
``lab`` brings the libraries.
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.core.errors import DataError, UsageError
from fraudline.model.params import ForestParams
from fraudline.model.trees import Grower, TreeTable, at_most, below

Rows = NDArray[np.float32]
Bools = NDArray[np.bool_]

_LEAST_FRAUDS = 20
FOREST_SHARE = 0.3
"""Share of the rows that each tree of a random forest draws: three times as fast as all of them."""


def grow(kind: str, rows: Rows, frauds: Bools, params: ForestParams, seed: int) -> TreeTable:
    """Fit a supervised model.

    Args:
        kind: a key of :data:`GROWERS`.
        rows: (n, d) float32 raw features of transactions whose label is known.
        frauds: (n,) bool, the labels.
        params: its size, and whether frauds are filled up by SMOTE (Chawla et al. 2002).
        seed: of the rows drawn, the synthetic frauds and the trees.

    Raises:
        UsageError: there is no such kind, or its library is not installed.
        DataError: there are too few frauds to learn from.
    """
    if kind not in GROWERS:
        raise UsageError(f"There is no supervised model {kind!r}.", f"Choose from {', '.join(GROWERS)}.")
    if frauds.sum() < _LEAST_FRAUDS or frauds.all():
        raise DataError(
            f"A supervised model has {int(frauds.sum())} known frauds in {len(frauds)} rows to learn from.",
            "Train on more labelled days, or choose an autoencoder (train.kind: dense).",
        )
    rows, frauds = _drawn(rows, frauds, params.max_rows, seed)
    try:
        if params.smote_share > 0:
            rows, frauds = _smote(rows, frauds, params.smote_share, seed)
        return GROWERS[kind](rows, frauds, params, seed)
    except ImportError as error:
        raise UsageError(f"{kind} needs {error.name}.", "Install the extra: fraudline[lab].") from error


def xgboost(rows: Rows, frauds: Bools, params: ForestParams, seed: int) -> TreeTable:
    """Histogram gradient boosting by XGBoost."""
    import xgboost as xgb

    booster = xgb.train(
        {
            "objective": "binary:logistic",
            "tree_method": "hist",
            "max_depth": params.depth,
            "eta": params.learning_rate,
            "subsample": 0.8,
            "colsample_bytree": 0.8,
            "min_child_weight": 5,
            "nthread": 1,
            "seed": seed,
            "verbosity": 0,
        },
        xgb.DMatrix(rows, label=frauds.astype(np.float32), nthread=1),
        params.trees,
    )
    model = json.loads(bytes(booster.save_raw("json")))
    grower = Grower()
    for tree in model["learner"]["gradient_booster"]["model"]["trees"]:
        columns = ("left_children", "right_children", "split_indices", "split_conditions")
        grower.add([_xgboost_node(*node) for node in zip(*(tree[name] for name in columns), strict=True)])
    return grower.table(rows)


def lightgbm(rows: Rows, frauds: Bools, params: ForestParams, seed: int) -> TreeTable:
    """Leaf-wise gradient boosting by LightGBM."""
    import lightgbm as lgb

    booster = lgb.train(
        {
            "objective": "binary",
            "num_leaves": 2**params.depth - 1,
            "max_depth": params.depth + 2,
            "learning_rate": params.learning_rate,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "feature_fraction": 0.8,
            "min_data_in_leaf": 20,
            "lambda_l2": 1.0,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "seed": seed,
            "verbosity": -1,
        },
        lgb.Dataset(rows, label=frauds.astype(np.float32)),
        params.trees,
    )
    grower = Grower()
    for tree in booster.dump_model()["tree_info"]:
        nodes: list[dict[str, Any]] = []
        _lightgbm_node(tree["tree_structure"], nodes)
        grower.add(nodes)
    return grower.table(rows)


def catboost(rows: Rows, frauds: Bools, params: ForestParams, seed: int) -> TreeTable:
    """Oblivious gradient boosting by CatBoost."""
    from catboost import CatBoostClassifier, Pool

    model = CatBoostClassifier(
        iterations=params.trees,
        depth=params.depth,
        learning_rate=params.learning_rate,
        random_seed=seed,
        thread_count=1,
        allow_writing_files=False,
        verbose=False,
    )
    model.fit(Pool(rows, frauds.astype(np.int8)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        document = json.loads(path.read_text(encoding="utf-8"))
    scale = float(document["scale_and_bias"][0])
    grower = Grower()
    for tree in document["oblivious_trees"]:
        grower.add(_catboost_nodes(tree, scale))
    return grower.table(rows)


def random_forest(rows: Rows, frauds: Bools, params: ForestParams, seed: int) -> TreeTable:
    """Random forest by scikit-learn; a leaf's value is its share of frauds."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        params.trees,
        max_depth=2 * params.depth,
        min_samples_leaf=5,
        max_samples=FOREST_SHARE,
        n_jobs=1,
        random_state=seed,
    ).fit(rows, frauds)
    grower = Grower()
    for tree in (estimator.tree_ for estimator in forest.estimators_):
        share = tree.value[:, 0, 1] / tree.value[:, 0, :].sum(axis=1) / params.trees
        columns = (tree.children_left, tree.children_right, tree.feature, tree.threshold, share)
        grower.add([_sklearn_node(*part) for part in zip(*(column.tolist() for column in columns), strict=True)])
    return grower.table(rows)


GROWERS: Mapping[str, Callable[[Rows, Bools, ForestParams, int], TreeTable]] = MappingProxyType(
    {"xgboost": xgboost, "lightgbm": lightgbm, "catboost": catboost, "random_forest": random_forest}
)


def _drawn(rows: Rows, frauds: Bools, limit: int, seed: int) -> tuple[Rows, Bools]:
    """All frauds, and as many normals as fit."""
    if len(rows) <= limit:
        return rows, frauds
    normals = np.flatnonzero(~frauds)
    kept = np.random.default_rng(seed).choice(normals, max(limit - int(frauds.sum()), 1), replace=False)
    chosen = np.sort(np.concatenate([np.flatnonzero(frauds), kept]))
    return rows[chosen], frauds[chosen]


def _smote(rows: Rows, frauds: Bools, share: float, seed: int) -> tuple[Rows, Bools]:
    """Synthetic frauds between neighbouring ones, neighbours found on standardised features."""
    from imblearn.over_sampling import SMOTE

    if frauds.sum() >= share * (~frauds).sum():
        return rows, frauds
    centre, scale = rows.mean(axis=0), rows.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    filled, labels = SMOTE(sampling_strategy=share, random_state=seed).fit_resample((rows - centre) / scale, frauds)
    return np.asarray(filled * scale + centre, np.float32), np.asarray(labels, bool)


def _xgboost_node(left: int, right: int, feature: int, condition: float) -> dict[str, Any]:
    if left < 0:  # a leaf's value stands in the place of the condition
        return {"value": condition}
    return {"feature": feature, "threshold": below(condition), "left": left, "right": right}


def _lightgbm_node(node: Mapping[str, Any], nodes: list[dict[str, Any]]) -> int:
    """Append a node and what stands under it; returns its position."""
    place = len(nodes)
    if "split_feature" not in node:
        nodes.append({"value": node["leaf_value"]})
        return place
    entry = {"feature": node["split_feature"], "threshold": at_most(node["threshold"])}
    nodes.append(entry)
    entry["left"] = _lightgbm_node(node["left_child"], nodes)
    entry["right"] = _lightgbm_node(node["right_child"], nodes)
    return place


def _catboost_nodes(tree: Mapping[str, Any], scale: float) -> list[dict[str, Any]]:
    """A full binary tree; bit i of a leaf's number says whether the row is above the border of split i."""
    splits, depth = tree["splits"] or [], len(tree["splits"] or [])
    nodes: list[dict[str, Any]] = []
    for level in range(depth):
        split = splits[depth - 1 - level]
        for number in range(2**level):
            child = 2 ** (level + 1) - 1 + 2 * number
            nodes.append(
                {
                    "feature": split["float_feature_index"],
                    "threshold": at_most(split["border"]),
                    "left": child,
                    "right": child + 1,
                }
            )
    return nodes + [{"value": scale * value} for value in tree["leaf_values"]]


def _sklearn_node(left: int, right: int, feature: int, threshold: float, share: float) -> dict[str, Any]:
    if left < 0:
        return {"value": share}
    return {"feature": feature, "threshold": at_most(threshold), "left": left, "right": right}
