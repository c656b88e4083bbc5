"""Fit the ensemble on a plain matrix of known normals: ``fit(features, validation, spec, params, seed)``.

Nothing here knows of cards: any matrix with :class:`~fraudline.model.inputs.Inputs` will do. The same matrices,
parameters and seed give the same model, byte for byte in ONNX.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fraudline.core.errors import UsageError
from fraudline.core.log import get_logger
from fraudline.model.inputs import Inputs
from fraudline.model.members import build_member
from fraudline.model.network import ResidualMetric, ScoreGraph
from fraudline.model.params import TrainParams
from fraudline.model.reasons import METHOD
from fraudline.model.scaling import Scaling, learn
from fraudline.model.scorer import Scores
from fraudline.model.tails import Tails
from fraudline.model.training import Epoch, Progress, reconstruct, train_member

log = get_logger(__name__)

_CHUNK_ROWS = 8_192


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A fitted ensemble. ``history`` holds every epoch of every member; ``rows`` were fitted on."""

    graph: ScoreGraph
    inputs: Inputs
    params: TrainParams
    seed: int
    rows: int
    history: tuple[Epoch, ...]
    formats: ClassVar[tuple[str, ...]] = ("onnx", "savedmodel")
    reasons: ClassVar[str] = METHOD

    def score(self, features: NDArray[np.float32]) -> Scores:
        """Score raw features, (n, d) float32, in the TensorFlow graph."""
        width = len(self.inputs.features)
        result = Scores(
            np.empty(len(features), np.float32),
            np.empty((len(features), width), np.float32),
            np.empty((len(features), width), np.float32),
        )
        for start in range(0, len(features), _CHUNK_ROWS):
            part = slice(start, start + _CHUNK_ROWS)
            outputs = self.graph.serve(tf.constant(features[part], tf.float32))
            result.score[part] = outputs["score"].numpy()
            result.contributions[part] = outputs["contributions"].numpy()
            result.expected[part] = outputs["expected"].numpy()
        return result

    def export(self, folder: Path) -> None:
        """Write ``model.onnx`` and ``savedmodel/1/`` under ``folder``."""
        from fraudline.model.export import write_onnx, write_savedmodel

        write_onnx(self.graph, folder / "model.onnx")
        write_savedmodel(self.graph, folder / "savedmodel" / "1")

    def architecture(self) -> dict[str, Any]:
        """What ``model.json`` says of the networks."""
        return {
            "kind": "autoencoder-ensemble",
            "networks": self.params.kind,
            "members": [[*self.params.hidden, b, *reversed(self.params.hidden)] for b in self.params.bottlenecks],
            "activation": "elu",
            "scaling": self.params.scaling,
            "clip": self.params.clip,
            "epochs": [sum(e.member == m for e in self.history) for m in range(len(self.params.bottlenecks))],
            "score": "log2(1 + residual Mahalanobis / its median) + tail weight * decades of the rarest tail",
        }


def fit(
    features: NDArray[np.float32],
    validation: NDArray[np.float32],
    spec: Inputs,
    params: TrainParams | None = None,
    seed: int = 0,
    progress: Callable[[Epoch], None] | None = None,
) -> FittedModel:
    """Fit the ensemble on known normals.

    Args:
        features: (n, d) float32, raw features of known normals, in any order.
        validation: (m, d) float32, raw features of *later* known normals: early stopping, residual covariance, unit.
        spec: name, tail and transform of the d columns (a ``FeatureSpec`` or ``PlainInputs``).
        params: defaults where absent.
        seed: of the initial weights, the sample of rows and the shuffles.
        progress: called after every epoch.

    Raises:
        UsageError: a matrix is empty, not finite or of another width, or a tail feature is unknown.
    """
    params = params or TrainParams()
    if len(validation) < 2 * features.shape[-1]:
        raise UsageError(f"Only {len(validation)} validation rows for a covariance.", "Give later known normals.")
    make_deterministic(seed)
    rng = np.random.default_rng(seed)
    rows = features
    if len(features) > params.max_rows:
        rows = features[np.sort(rng.choice(len(features), params.max_rows, replace=False))]
    scaling = learn(rows, spec, method=params.scaling, clip=params.clip, log_inputs=params.log_inputs)
    held_out, names = scaling.apply(validation), [column.name for column in spec.features]
    members, metrics, history = _fit_members(scaling.apply(rows), held_out, names, params, rng, progress)
    tails = Tails.learn(features, _tail_columns(spec, params))
    graph = _with_unit(members, metrics, scaling, tails, params.tail_weight, validation)
    return FittedModel(graph, spec, params, seed, len(rows), tuple(history))


def make_deterministic(seed: int) -> None:
    """Seed everything and ask TensorFlow for deterministic operations on one thread of the CPU, GPU or not.

    Devices and threads can only be set before TensorFlow has run anything; later they are left as they are.
    """
    try:
        tf.config.set_visible_devices([], "GPU")
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        log.debug("train.threads_fixed", intra=tf.config.threading.get_intra_op_parallelism_threads())
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def _fit_members(
    rows: NDArray[np.float32],
    held_out: NDArray[np.float32],
    names: Sequence[str],
    params: TrainParams,
    rng: np.random.Generator,
    progress: Progress | None,
) -> tuple[list[keras.Model], list[ResidualMetric], list[Epoch]]:
    members: list[keras.Model] = []
    metrics: list[ResidualMetric] = []
    history: list[Epoch] = []
    for index, bottleneck in enumerate(params.bottlenecks):

        def report(epoch: int, loss: float, validation_loss: float, member: int = index) -> None:
            entry = Epoch(member, len(params.bottlenecks), epoch, params.epochs, loss, validation_loss)
            history.append(entry)
            if progress is not None:
                progress(entry)

        network = build_member(rows.shape[1], params, bottleneck, names)
        train_member(network, rows, held_out, params, rng, report)
        members.append(network)
        metrics.append(ResidualMetric.of(held_out - reconstruct(network, held_out), params.ridge))
    return members, metrics, history


def _tail_columns(spec: Inputs, params: TrainParams) -> list[int]:
    """Which columns have a right tail: the spec's, or ``tail_features``."""
    names = [column.name for column in spec.features]
    if params.tail_features is None:
        return [index for index, column in enumerate(spec.features) if column.tail == "upper"]
    unknown = sorted(set(params.tail_features) - set(names))
    if unknown:
        raise UsageError(f"train.tail_features: {', '.join(unknown)} unknown.", "Name features of the spec.")
    return [index for index, name in enumerate(names) if name in params.tail_features]


def _with_unit(
    members: list[keras.Model],
    metrics: list[ResidualMetric],
    scaling: Scaling,
    tails: Tails,
    tail_weight: float,
    validation: NDArray[np.float32],
) -> ScoreGraph:
    """The graph in which the residual part of the median held-out normal scores 1."""
    trial = ScoreGraph(members, metrics, scaling, tails, 0.0, 1.0)
    scores = [
        trial.serve(tf.constant(validation[i : i + _CHUNK_ROWS], tf.float32))["score"].numpy()
        for i in range(0, len(validation), _CHUNK_ROWS)
    ]
    unit = 2.0 ** float(np.median(np.concatenate(scores).astype(np.float64))) - 1.0
    return ScoreGraph(members, metrics, scaling, tails, tail_weight, max(unit, 1e-6))
