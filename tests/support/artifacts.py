"""A valid model artifact in milliseconds, without training or TensorFlow."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fraudline.features.spec import FeatureSpec, load_spec
from fraudline.model.artifact import FORMAT, write_manifest
from fraudline.model.thresholds import Thresholds

GRID = np.float32(2**19)
"""Contributions are multiples of its inverse: their sum is the same however many rows are scored together."""


def tiny_artifact(
    folder: Path, seed: int = 0, spec: FeatureSpec | None = None, *, review: float = 0.6, block: float = 0.8
) -> Path:
    """Write an artifact whose score is Σ w |x − μ| / (s + |x − μ|), within [0, 1); another seed, another digest."""
    spec = spec or load_spec()
    names = tuple(spec.names)
    rng = np.random.default_rng(seed)
    centre = rng.uniform(0, 1, len(names)).astype(np.float32)
    scale = rng.uniform(1, 3, len(names)).astype(np.float32)
    weight = rng.uniform(0.5, 1.5, len(names)).astype(np.float32)
    weight /= weight.sum()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(_onnx(centre, scale, weight))
    features = rng.normal(0, 3, (64, len(names))).astype(np.float32)
    (folder / "golden.parquet").write_bytes(_golden(names, features, centre, scale, weight))
    (folder / "reference").mkdir(exist_ok=True)
    quantiles = np.quantile(features, np.linspace(0, 1, 11), axis=0)
    pq.write_table(pa.table(dict(zip(names, quantiles.T, strict=True))), folder / "reference" / "quantiles.parquet")
    (folder / "card.md").write_text("# tiny\n\nA model for tests.\n")
    meta = _meta(spec, seed, Thresholds.of(review, block, {"name": "fixed"}))
    (folder / "model.json").write_text(json.dumps(meta, indent=2, sort_keys=True) + "\n")
    write_manifest(folder)
    return folder


def tree_artifact(folder: Path) -> Path:
    """Write an artifact of LightGBM trees over random features, as the train step does for a supervised kind."""
    from fraudline.model.golden import golden_table
    from fraudline.model.kinds import TrainingRows, fit_kind
    from fraudline.model.params import ForestParams, TrainParams
    from fraudline.model.scorer import open_graph

    spec = load_spec()
    names, rng = tuple(spec.names), np.random.default_rng(0)
    normals = rng.normal(size=(1_000, len(names))).astype(np.float32)
    params = TrainParams(kind="lightgbm", forest=ForestParams(trees=5, depth=3))
    fitted = fit_kind(TrainingRows(normals, normals[:100], normals[:60] + np.float32(2)), spec, params, 1)
    tiny_artifact(folder, spec=spec)
    fitted.export(folder)
    chosen = normals[:64] + rng.normal(size=(64, len(names))).astype(np.float32)
    scores = open_graph(folder, names, fitted.reasons).score(chosen)
    pq.write_table(golden_table(names, chosen, scores), folder / "golden.parquet")
    meta = json.loads((folder / "model.json").read_text())
    meta |= {"architecture": fitted.architecture(), "formats": list(fitted.formats), "reasons": fitted.reasons}
    (folder / "model.json").write_text(json.dumps(meta, indent=2, sort_keys=True) + "\n")
    write_manifest(folder)
    return folder


def expected_scores(
    features: np.ndarray, centre: np.ndarray, scale: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The tiny model in NumPy: (scores, contributions)."""
    gap = np.abs(features - centre)
    contributions = np.round((weight * gap / (gap + scale)).astype(np.float32) * GRID) / GRID
    return contributions.sum(axis=1, dtype=np.float32), contributions


def _meta(spec: FeatureSpec, seed: int, thresholds: Thresholds) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": "fraud",
        "feature_spec": spec.to_dict(),
        "architecture": {"kind": "tiny", "seed": seed},
        "thresholds": thresholds.model_dump(mode="json"),
        "data_md5": "0" * 32,
        "params": {"seed": seed},
        "formats": ["onnx"],
        "reasons": "exact-shares",
        "trained_on": {"start": "2025-01-01", "end": "2025-02-01", "rows": 64},
    }


def _golden(
    names: tuple[str, ...], features: np.ndarray, centre: np.ndarray, scale: np.ndarray, weight: np.ndarray
) -> bytes:
    scores, contributions = expected_scores(features, centre, scale, weight)
    columns: dict[str, Any] = {name: features[:, i] for i, name in enumerate(names)}
    columns["score"] = scores
    columns |= {f"contribution:{name}": contributions[:, i] for i, name in enumerate(names)}
    columns |= {f"expected:{name}": np.full(len(features), centre[i], np.float32) for i, name in enumerate(names)}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def _onnx(centre: np.ndarray, scale: np.ndarray, weight: np.ndarray) -> bytes:
    from onnx import TensorProto, checker, helper, numpy_helper

    d = len(centre)
    constants = {"mu": centre, "s": scale, "w": weight, "zero": np.zeros(1, np.float32), "axis": np.array([1])}
    constants["grid"] = np.array([GRID])
    nodes = [
        helper.make_node("Sub", ["features", "mu"], ["difference"]),
        helper.make_node("Abs", ["difference"], ["gap"]),
        helper.make_node("Add", ["gap", "s"], ["scaled"]),
        helper.make_node("Div", ["gap", "scaled"], ["squashed"]),
        helper.make_node("Mul", ["squashed", "w"], ["parts"]),
        helper.make_node("Mul", ["parts", "grid"], ["steps"]),
        helper.make_node("Round", ["steps"], ["whole"]),
        helper.make_node("Div", ["whole", "grid"], ["contributions"]),
        helper.make_node("ReduceSum", ["contributions", "axis"], ["score"], keepdims=0),
        helper.make_node("Mul", ["features", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "mu"], ["expected"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "tiny",
        [value("features", TensorProto.FLOAT, ["n", d])],
        [value("score", TensorProto.FLOAT, ["n"])]
        + [value(name, TensorProto.FLOAT, ["n", d]) for name in ("contributions", "expected")],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString())
