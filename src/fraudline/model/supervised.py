"""Fitted supervised models: trees over raw features, and the hybrid, whose trees also see an autoencoder."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fraudline.model.challengers import grow
from fraudline.model.inputs import Inputs
from fraudline.model.params import TrainParams
from fraudline.model.scorer import TREE_METHOD, GraphScorer, Scores
from fraudline.model.tree_graph import write_hybrid_onnx, write_tree_onnx
from fraudline.model.trees import FILE, TreeTable

if TYPE_CHECKING:
    from fraudline.model.fitting import FittedModel
    from fraudline.model.kinds import TrainingRows
    from fraudline.model.training import Epoch

Matrix = NDArray[np.float32]

_HYBRID_TREES = "xgboost"
_UNITS = {"random_forest": "shares of trees"}


@dataclass(frozen=True)
class TreeModel:
    """Trees over raw features.

    Attributes:
        table: the ensemble.
        inputs: names of the d columns.
        centre: (d,) float32, what is expected of each feature.
        params: the kind and its settings.
        rows: fitted on.
    """

    table: TreeTable
    inputs: Inputs
    centre: Matrix
    params: TrainParams
    rows: int
    history: tuple["Epoch", ...] = ()
    formats: ClassVar[tuple[str, ...]] = ("onnx",)
    reasons: ClassVar[str] = TREE_METHOD

    def score(self, features: Matrix) -> Scores:
        """Score (n, d) float32 raw features through the graph that :meth:`export` writes."""
        return self._scorer.score(features)

    def export(self, folder: Path) -> None:
        """Write ``model.onnx`` and the trees, for their reasons, under ``folder``."""
        self._write_graph(folder / "model.onnx")
        pq.write_table(self.table.to_arrow(), folder / FILE, compression="zstd")

    def architecture(self) -> dict[str, Any]:
        """What ``model.json`` says of the trees."""
        unit = _UNITS.get(self.params.kind, "log-odds of fraud")
        return {
            "kind": self.params.kind,
            "trees": len(self.table.roots),
            "nodes": len(self.table.tree),
            "smote_share": self.params.forest.smote_share,
            "score": f"{unit}, less their mean over the training rows",
        }

    @cached_property
    def _scorer(self) -> GraphScorer:
        with tempfile.TemporaryDirectory() as folder:
            self._write_graph(Path(folder) / "model.onnx")
            content = (Path(folder) / "model.onnx").read_bytes()
        return GraphScorer(content, [column.name for column in self.inputs.features], self.table)

    def _write_graph(self, path: Path) -> None:
        write_tree_onnx(self.table, self.centre, path)


@dataclass(frozen=True)
class HybridModel(TreeModel):
    """Trees over raw features, the score of ``autoencoder`` and its contributions; one graph holds both."""

    autoencoder: "FittedModel | None" = None

    def architecture(self) -> dict[str, Any]:
        """What ``model.json`` says of both."""
        inside = self.autoencoder.architecture() if self.autoencoder else {}
        return super().architecture() | {"autoencoder": inside}

    def _write_graph(self, path: Path) -> None:
        from fraudline.model.export import write_onnx

        with tempfile.TemporaryDirectory() as folder:
            if self.autoencoder is not None:
                write_onnx(self.autoencoder.graph, Path(folder) / "inside.onnx")
            write_hybrid_onnx(self.table, Path(folder) / "inside.onnx", len(self.centre), path)


def first_half(normals: int, seed: int) -> NDArray[np.bool_]:
    """Which known normals a hybrid's autoencoder is fitted on, (normals,) bool; its trees learn from the others."""
    half: NDArray[np.bool_] = np.random.default_rng(seed).random(normals) < 0.5
    return half


def fit_hybrid(
    rows: "TrainingRows",
    spec: Inputs,
    params: TrainParams,
    seed: int,
    progress: "Callable[[Epoch], None] | None" = None,
) -> HybridModel:
    """Fit the autoencoder on one half of the known normals, and trees on what it says of the other half and the frauds.

    An autoencoder's scores of its own training rows are too low: trees that learned from them would trust it too much.

    Args:
        rows: what may be learned from.
        spec: names of the d columns.
        params: of both.
        seed: of both, and of the halves.
        progress: called after every epoch of the autoencoder.

    Raises:
        DataError: there are too few known frauds.
    """
    from fraudline.model.fitting import fit

    first = first_half(len(rows.normals), seed)
    dense = params.model_copy(update={"kind": "dense"})
    autoencoder = fit(rows.normals[first], rows.later_normals, spec, dense, seed, progress)
    unseen = replace(rows, normals=rows.normals[~first], later_normals=rows.later_normals[:0])
    labelled, frauds = unseen.labelled
    found = autoencoder.score(labelled)
    columns = np.column_stack([labelled, found.score, found.contributions]).astype(np.float32)
    table = grow(_HYBRID_TREES, columns, frauds, params.forest, seed)
    fitted_on = autoencoder.rows + min(len(labelled), params.forest.max_rows)
    return HybridModel(table, spec, rows.centre, params, fitted_on, autoencoder.history, autoencoder)
