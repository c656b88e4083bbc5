"""Scores from a verified artifact, through ONNX Runtime.

One thread by design: a server or worker scales by processes (two BLAS threads on busy cores were 40 times slower).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fraudline.core.errors import ArtifactError, MessageError
from fraudline.model.artifact import Artifact
from fraudline.model.trees import FILE as TREES
from fraudline.model.trees import TreeTable

if TYPE_CHECKING:
    from fraudline.model.shapley import TreeReasons

_TINY = 1e-9
CHUNK_ROWS = 2_048
"""Rows a call into the runtime: bounds the memory of a large file, and stays in cache."""

INPUT = "features"
OUTPUTS = ("score", "contributions", "expected")

TREE_METHOD = "tree-shap"
"""In ``model.json``, as the method of reasons."""

TREE_OUTPUTS = ("score", "expected")
"""Outputs of trees, whose contributions are computed beside the graph."""

INSIDE, SHARES = "autoencoder_score", "autoencoder_contributions"
HYBRID_OUTPUTS = (*TREE_OUTPUTS, INSIDE, SHARES)
"""Outputs of trees that see an autoencoder: its score (n,) and contributions (n, d) are columns of the trees."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What the graph says of n rows.

    Attributes:
        score: (n,) float32, high = anomalous.
        contributions: (n, d) float32; each row sums to its score. A share may be negative.
        expected: (n, d) float32, what the model expected each feature to be, in the feature's own unit.
    """

    score: NDArray[np.float32]
    contributions: NDArray[np.float32]
    expected: NDArray[np.float32]


class GraphScorer:
    """Scores raw features with the bytes of an ONNX graph. Safe to share between threads.

    Args:
        onnx: the graph, verified by whoever read it.
        names: d feature names, in the order of the columns.
        trees: the ensemble inside the graph, for its contributions; None where the graph gives them itself.

    Raises:
        ArtifactError: the graph is not ONNX, or not a graph of these features.
    """

    def __init__(self, onnx: bytes, names: Sequence[str], trees: TreeTable | None = None) -> None:
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import: it would call Microsoft and keep an id in HOME
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_mem_reuse = False  # a call with few rows takes 8 % less, one with many no more
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's exception classes have no public base
            raise ArtifactError(f"model.onnx cannot be loaded: {error}.", "Run the train step again.") from error
        self.names = tuple(names)
        present = {item.name for item in self._session.get_outputs()}
        self._hybrid = trees is not None and INSIDE in present
        self._outputs = OUTPUTS if trees is None else HYBRID_OUTPUTS if self._hybrid else TREE_OUTPUTS
        self._check_graph()
        self._reasons = None if trees is None else _tree_reasons(trees, len(self.names), self._hybrid)

    def score(self, features: NDArray[np.float32]) -> Scores:
        """Score rows of raw features, in the order of ``names``.

        Args:
            features: (n, d) float32, all finite. The feature spec's imputation leaves no gap, so a value that is not
                finite is a caller's mistake; it is refused and never scored.

        Raises:
            MessageError: the shape is wrong or a value is not finite (says row and feature).
        """
        rows = self._checked(features)
        n, d = rows.shape
        if n <= CHUNK_ROWS:
            return self._run(rows)
        result = Scores(np.empty(n, np.float32), np.empty((n, d), np.float32), np.empty((n, d), np.float32))
        for start in range(0, n, CHUNK_ROWS):
            part = slice(start, start + CHUNK_ROWS)
            found = self._run(rows[part])
            result.score[part] = found.score
            result.contributions[part], result.expected[part] = found.contributions, found.expected
        return result

    def only_scores(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """The scores of :meth:`score` alone, ``(n,)`` float32, the same bits in less time.

        Raises:
            MessageError: as :meth:`score`.
        """
        rows = self._checked(features)
        parts = [
            self._session.run(OUTPUTS[:1], {INPUT: rows[start : start + CHUNK_ROWS]})[0]
            for start in range(0, max(len(rows), 1), CHUNK_ROWS)
        ]
        scores: NDArray[np.float32] = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return scores

    def _run(self, rows: NDArray[np.float32]) -> Scores:
        outputs = self._session.run(self._outputs, {INPUT: rows})
        if self._reasons is None:
            return Scores(*outputs)
        score, expected = outputs[:2]
        if not self._hybrid:
            return Scores(score, self._reasons.contributions(rows).astype(np.float32), expected)
        inside, shares = outputs[2:]
        values = self._reasons.contributions(np.column_stack([rows, inside, shares]))
        return Scores(score, _through_autoencoder(values, shares).astype(np.float32), expected)

    def _checked(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = np.ascontiguousarray(features, dtype=np.float32)
        if rows.ndim != 2 or rows.shape[1] != len(self.names):
            raise MessageError(
                f"Features have the shape {rows.shape}, the model needs (n, {len(self.names)}).",
                "Send one value a feature, in the order of the feature spec.",
            )
        finite = np.isfinite(rows)
        if not finite.all():
            row, column = (int(i) for i in np.argwhere(~finite)[0])
            raise MessageError(
                f"Row {row}: the feature {self.names[column]} is {rows[row, column]}, not a finite number.",
                "Impute it by the feature spec before scoring.",
            )
        return rows

    def _check_graph(self) -> None:
        inputs = {item.name: item.shape for item in self._session.get_inputs()}
        outputs = {item.name for item in self._session.get_outputs()}
        if set(inputs) != {INPUT} or not outputs >= set(self._outputs):
            raise ArtifactError(
                f"model.onnx has inputs {sorted(inputs)} and outputs {sorted(outputs)}.",
                f"It needs the input {INPUT} and the outputs {', '.join(self._outputs)}: run the train step again.",
            )
        if inputs[INPUT][-1] != len(self.names):
            raise ArtifactError(
                f"model.onnx takes {inputs[INPUT][-1]} features, the feature spec has {len(self.names)}.",
                "Run the train step again.",
            )


class Scorer(GraphScorer):
    """Scores raw features with a verified artifact.

    Raises:
        ArtifactError: the graph is not ONNX, or not a graph of the artifact's features.
    """

    def __init__(self, artifact: Artifact) -> None:
        trees = TreeTable.from_arrow(artifact.table(TREES)) if artifact.meta.reasons == TREE_METHOD else None
        super().__init__(artifact.onnx, artifact.spec.names, trees)
        self.artifact = artifact


def open_graph(folder: Path, names: Sequence[str], reasons: str) -> GraphScorer:
    """The scorer of a model whose files were just written to ``folder``; ``reasons`` is its method of reasons."""
    trees = TreeTable.from_arrow(pq.read_table(folder / TREES)) if reasons == TREE_METHOD else None
    return GraphScorer((folder / "model.onnx").read_bytes(), names, trees)


def _tree_reasons(trees: TreeTable, width: int, hybrid: bool) -> "TreeReasons":
    from fraudline.model.shapley import TreeReasons

    columns = 2 * width + 1 if hybrid else width
    if int(trees.feature.max()) >= columns:
        raise ArtifactError(f"{TREES} asks for the column {int(trees.feature.max())} of {columns}.", "Train again.")
    return TreeReasons(trees, columns)


def _through_autoencoder(values: NDArray[np.float64], shares: NDArray[np.float32]) -> NDArray[np.float64]:
    """Shapley values of a hybrid's 2 d + 1 columns as contributions of the d features, sums kept.

    What a share of the autoencoder's score adds belongs to its feature; what the score itself adds is divided as the
    autoencoder divides it.
    """
    d = shares.shape[1]
    whole = shares.sum(axis=1, keepdims=True, dtype=np.float64)
    safe = np.abs(whole) > _TINY
    divided = np.divide(shares, whole, out=np.full(shares.shape, 1.0 / d), where=safe)
    found: NDArray[np.float64] = values[:, :d] + values[:, d + 1 :] + divided * values[:, d : d + 1]
    return found
