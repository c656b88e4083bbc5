"""Scores from a verified artifact, through ONNX Runtime.

One thread by design: a server or worker scales by processes (two BLAS threads on busy cores were 40 times slower).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fraudline.core.errors import ArtifactError, MessageError
from fraudline.model.artifact import Artifact

CHUNK_ROWS = 8_192
"""Rows a call into the runtime: bounds the memory of a large file, and stays in cache."""

INPUT = "features"
OUTPUTS = ("score", "contributions", "expected")


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

    Raises:
        ArtifactError: the graph is not ONNX, or not a graph of these features.
    """

    def __init__(self, onnx: bytes, names: Sequence[str]) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's exception classes have no public base
            raise ArtifactError(f"model.onnx cannot be loaded: {error}.", "Run the train step again.") from error
        self.names = tuple(names)
        self._check_graph()

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
            return Scores(*self._session.run(OUTPUTS, {INPUT: rows}))
        result = Scores(np.empty(n, np.float32), np.empty((n, d), np.float32), np.empty((n, d), np.float32))
        for start in range(0, n, CHUNK_ROWS):
            part = slice(start, start + CHUNK_ROWS)
            outputs = self._session.run(OUTPUTS, {INPUT: rows[part]})
            result.score[part], result.contributions[part], result.expected[part] = outputs
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
        if set(inputs) != {INPUT} or not outputs >= set(OUTPUTS):
            raise ArtifactError(
                f"model.onnx has inputs {sorted(inputs)} and outputs {sorted(outputs)}.",
                f"It needs the input {INPUT} and the outputs {', '.join(OUTPUTS)}: run the train step again.",
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
        super().__init__(artifact.onnx, artifact.spec.names)
        self.artifact = artifact
