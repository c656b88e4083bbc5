"""Fit the ensemble on a plain matrix of known normals: ``fit(features, validation, spec, params, seed)``.

Nothing here knows of cards: any matrix with :class:`~fraudline.model.inputs.Inputs` will do. The same matrices,
parameters and seed give the same model, byte for byte in ONNX.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fraudline.core.errors import UsageError
from fraudline.core.log import get_logger
from fraudline.model.inputs import Inputs, Joint
from fraudline.model.joints import learn_joints
from fraudline.model.members import build_member
from fraudline.model.network import Family, ResidualMetric, ScoreGraph
from fraudline.model.params import TrainParams
from fraudline.model.reasons import METHOD
from fraudline.model.scaling import Scaling, learn, learn_plain
from fraudline.model.scorer import Scores
from fraudline.model.surprises import Surprises
from fraudline.model.tails import WHOLE_BODY, Tails
from fraudline.model.training import Epoch, Progress, reconstruct, train_member

log = get_logger(__name__)

_CHUNK_ROWS = 8_192


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A fitted ensemble. ``history`` holds every epoch of every member; ``rows`` were fitted on."""

    graph: ScoreGraph
    inputs: Inputs
    params: TrainParams
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

    def components(self, features: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """What the score is made of, before it is joined: raw features (n, d) float32 in.

        Returns:
            Decades of rarity, (n,) float32, of each surprise by its name, of ``autoencoder:features`` and, where there
            is one, of ``autoencoder:surprises``.
        """
        outputs = [
            self.graph.components(tf.constant(features[i : i + _CHUNK_ROWS], tf.float32))
            for i in range(0, len(features), _CHUNK_ROWS)
        ]
        surprises, residuals = (
            np.concatenate([o[key].numpy() for o in outputs]) for key in ("surprises", "autoencoders")
        )
        families = ("autoencoder:features", "autoencoder:surprises")[: residuals.shape[1]]
        return dict(zip((*self.graph.surprises.names, *families), np.hstack([surprises, residuals]).T, strict=True))

    def export(self, folder: Path) -> None:
        """Write ``model.onnx`` and ``savedmodel/1/`` under ``folder``."""
        from fraudline.model.export import write_onnx, write_savedmodel

        write_onnx(self.graph, folder / "model.onnx")
        write_savedmodel(self.graph, folder / "savedmodel" / "1")

    def architecture(self) -> dict[str, Any]:
        """What ``model.json`` says of the networks."""
        hidden, members = self.params.hidden, 1 + max(epoch.member for epoch in self.history)
        on_surprises = self.params.surprise_bottlenecks[: members - len(self.params.bottlenecks)]
        return {
            "kind": "autoencoder-ensemble",
            "networks": self.params.kind,
            "members": [[*hidden, b, *reversed(hidden)] for b in self.params.bottlenecks],
            "activation": "elu",
            "scaling": self.params.scaling,
            "clip": self.params.clip,
            "on_surprises": [[*hidden, b, *reversed(hidden)] for b in on_surprises],
            "surprises": list(self.graph.surprises.names),
            "epochs": [sum(e.member == m for e in self.history) for m in range(members)],
            "score": "tail weight * decades of the rarest surprise + autoencoder weight * decades of the residuals"
            + (" + surprise weight * decades of the surprises' residuals" if on_surprises else ""),
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
        spec: name, tail and transform of the d columns (a ``FeatureSpec`` or a ``TableSpec``).
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
    names = [column.name for column in spec.features]
    known = np.concatenate([features, validation])
    surprises = Surprises(
        Tails.learn(known, _tail_columns(spec, params)), learn_joints(known, _joints(spec, params), names), names
    )
    story = _Story(len(params.bottlenecks) + _surprise_members(surprises, params), params.epochs, progress)
    on_features = _family(scaling, rows, validation, params.bottlenecks, names, params, rng, story)
    on_surprises = None
    if _surprise_members(surprises, params):
        inputs, held_out = decades(surprises, rows), decades(surprises, validation)
        plain = learn_plain(inputs, params.clip)
        on_surprises = _family(plain, inputs, held_out, params.surprise_bottlenecks, (), params, rng, story)
    graph = ScoreGraph(
        on_features, surprises, on_surprises, params.tail_weight, params.autoencoder_weight, params.surprise_weight
    )
    return FittedModel(graph, spec, params, len(rows), tuple(story.history))


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


@dataclass(slots=True)
class _Story:
    """Every epoch of every member, told as it happens."""

    members: int
    epochs: int
    progress: Progress | None
    member: int = 0
    history: list[Epoch] = field(default_factory=list)

    def report(self, epoch: int, loss: float, validation_loss: float) -> None:
        entry = Epoch(self.member, self.members, epoch, self.epochs, loss, validation_loss)
        self.history.append(entry)
        if self.progress is not None:
            self.progress(entry)


def _family(
    scaling: Scaling,
    rows: NDArray[np.float32],
    held_out: NDArray[np.float32],
    bottlenecks: Sequence[int],
    names: Sequence[str],
    params: TrainParams,
    rng: np.random.Generator,
    story: _Story,
) -> Family:
    """Autoencoders of the same rows, with the rarity of their distances among held-out normals."""
    scaled, later = scaling.apply(rows), scaling.apply(held_out)
    members = []
    for bottleneck in bottlenecks:
        network = build_member(rows.shape[1], params, bottleneck, names)
        train_member(network, scaled, later, params, rng, story.report)
        members.append(network)
        story.member += 1
    return measured(Family(scaling, tuple(members), ()), held_out, params.ridge)


def measured(family: Family, held_out: NDArray[np.float32], ridge: float) -> Family:
    """The same networks, measured by how they rebuild rows (m, k) that they did not learn from."""
    scaled = family.scaling.apply(held_out)
    metrics = tuple(ResidualMetric.of(scaled - reconstruct(member, scaled), ridge) for member in family.members)
    known = replace(family, metrics=metrics)
    distances = _in_chunks(held_out, lambda part: known.residuals(tf.constant(part.T))[0].numpy().T)
    return replace(known, curve=Tails.learn(distances, [0], WHOLE_BODY))


def _surprise_members(surprises: Surprises, params: TrainParams) -> int:
    """Networks on the surprises: none where there is nothing to reconstruct."""
    return len(params.surprise_bottlenecks) if len(surprises) > 1 else 0


def decades(surprises: Surprises, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The surprises of raw rows (m, d), (m, k): what the second family of autoencoders sees."""
    return _in_chunks(rows, lambda part: surprises.of(tf.constant(part.T)).decades.numpy().T)


def _in_chunks(
    rows: NDArray[np.float32], values: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    return np.concatenate([values(rows[i : i + _CHUNK_ROWS]) for i in range(0, len(rows), _CHUNK_ROWS)])


def _joints(spec: Inputs, params: TrainParams) -> list[Joint]:
    """Which pairs count: the spec's, or those of ``joints``."""
    if params.joints is None:
        return list(spec.joints)
    unknown = sorted(set(params.joints) - {joint.name for joint in spec.joints})
    if unknown:
        raise UsageError(f"train.joints: {', '.join(unknown)} unknown.", "Name joints of the spec.")
    return [joint for joint in spec.joints if joint.name in params.joints]


def _tail_columns(spec: Inputs, params: TrainParams) -> list[int]:
    """Which columns have a right tail: the spec's, or ``tail_features``."""
    names = [column.name for column in spec.features]
    if params.tail_features is None:
        return [index for index, column in enumerate(spec.features) if column.tail == "upper"]
    unknown = sorted(set(params.tail_features) - set(names))
    if unknown:
        raise UsageError(f"train.tail_features: {', '.join(unknown)} unknown.", "Name features of the spec.")
    return [index for index, name in enumerate(names) if name in params.tail_features]
