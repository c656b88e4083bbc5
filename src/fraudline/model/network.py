"""The networks, and the one graph that holds everything between raw features and score.

Score (high = anomalous), in decades of rarity among known normals, from two sources:

* surprises s_k: the rarity of large values (``tails``) and of pairs (``joints``), joined by a power mean close to their
  maximum, because a fraud need only be strange in one respect;
* autoencoders of two families, on the scaled features and on the surprises. Member m reconstructs its input u as û; its
  residual r = u − û − mean is measured by q_m = |W_m r|² / d, its Mahalanobis distance by the covariance of held-out
  normals' residuals. The members of a family are joined by the geometric mean G of q_m, and D is the rarity of log G
  among held-out normals. They see what no single feature shows; large amounts they reconstruct well.

    score = tail_weight · (Σ s_k⁸)^⅛ + autoencoder_weight · D of the features + surprise_weight · D of the surprises

Inside the graph a feature is a row of its tensor and a transaction a column, (d, n): what holds for a feature (a bias,
a scale, a line) then meets n numbers that lie side by side, where the other way ONNX Runtime begins anew for every row.

Contributions: the squares (W r)_i² sum to the distance exactly, the logarithm, the geometric and the power mean scale
all shares of a row alike, and a surprise's share goes to the features behind it; so each row of contributions sums to
its score, and none is negative.
"""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fraudline.model.scaling import Scaling
from fraudline.model.stack import reconstructions
from fraudline.model.surprises import Surprises, ramps
from fraudline.model.tails import Tails

_TINY = 1e-9
_SOFT = 1e-2  # keeps the quotient of two small contributions steady
_LARGEST_EXPONENT = 60.0


@dataclass(frozen=True, slots=True)
class ResidualMetric:
    """How one member's residuals spread on held-out normals.

    Attributes:
        mean: (d,) float32.
        whitening: (d, d) float32, the symmetric root of the inverse covariance. It turns residuals into independent
            ones of variance 1 that stay as close to the original axes as can be (Kessy, Lewin and Strimmer 2018), so
            that their squares say which feature is strange.
    """

    mean: NDArray[np.float32]
    whitening: NDArray[np.float32]

    @classmethod
    def of(cls, residuals: NDArray[np.float32], ridge: float) -> "ResidualMetric":
        """Plain covariance (robust ones were far worse), with ``ridge`` of the mean variance added to its diagonal."""
        values = residuals.astype(np.float64)
        mean = values.mean(axis=0)
        centred = values - mean
        covariance = centred.T @ centred / max(len(values) - 1, 1)
        d = len(covariance)
        floor = max(ridge * float(np.trace(covariance)) / d, _TINY)
        values, vectors = np.linalg.eigh(covariance + floor * np.eye(d))
        whitening = (vectors / np.sqrt(values)) @ vectors.T
        return cls(mean.astype(np.float32), whitening.astype(np.float32))


@dataclass(frozen=True, slots=True)
class Family:
    """Autoencoders of the same inputs.

    Attributes:
        scaling: of their inputs.
        members: trained networks.
        metrics: one a member.
        curve: rarity of log G among held-out normals: one column.
    """

    scaling: Scaling
    members: tuple[keras.Model, ...]
    metrics: tuple[ResidualMetric, ...]
    curve: Tails | None = None

    def residuals(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Of unscaled inputs (k, n): log G (1, n), shares of it (k, n) that sum to 1, scaled reconstruction (k, n)."""
        scaled = scale(inputs, self.scaling)
        mean = np.stack([metric.mean for metric in self.metrics])[:, :, None]
        whitening = np.stack([metric.whitening.T for metric in self.metrics]) / np.sqrt(np.float32(mean.shape[1]))
        usual = reconstructions(self.members, scaled, mean)
        parts = tf.square(tf.linalg.matmul(whitening, scaled - usual))
        whole = tf.maximum(tf.reduce_sum(parts, axis=1, keepdims=True), _TINY)
        return (
            tf.reduce_mean(tf.math.log(whole), axis=0),
            _mean(parts / whole),
            _mean(usual) - mean.mean(axis=0),
        )

    def rarity(self, log_distance: tf.Tensor) -> tf.Tensor:
        """Decades, (1, n), of log G (1, n)."""
        if self.curve is None:
            return log_distance
        return ramps(log_distance, self.curve)


def _mean(values: tf.Tensor) -> tf.Tensor:
    """(m, k, n) to the mean over m, (k, n): as a product, in a fifth of the time of ONNX Runtime's ``ReduceMean``."""
    m, k, _ = values.shape
    weights = np.full((1, m), 1 / m, np.float32)
    return tf.reshape(tf.linalg.matmul(weights, tf.reshape(values, (m, -1))), (k, -1))


def exact_sum(parts: tf.Tensor) -> tf.Tensor:
    """Sum of each row of (n, d) float32, rounded once: added in double precision, so that no order of adding shows."""
    return tf.cast(tf.reduce_sum(tf.cast(parts, tf.float64), axis=1), tf.float32)


class ScoreGraph(tf.Module):  # type: ignore[misc]
    """Raw features → score, contributions and expected values, all in one graph.

    Args:
        features: the family of autoencoders on the features.
        surprises: rarity of tails and pairs.
        on_surprises: the family on the surprises, if there is one.
        tail_weight: score for each decade of rarity of the surprises.
        autoencoder_weight: score for each decade of rarity of the residuals of the features.
        surprise_weight: the same for those of the surprises.
    """

    def __init__(
        self,
        features: Family,
        surprises: Surprises,
        on_surprises: Family | None,
        tail_weight: float,
        autoencoder_weight: float,
        surprise_weight: float,
    ) -> None:
        super().__init__(name="fraudline")
        self._features = features
        self.surprises = surprises
        self._on_surprises = on_surprises
        self._tail_weight = tail_weight
        self._weight = autoencoder_weight
        self._surprise_weight = surprise_weight
        self._members = [*features.members, *(on_surprises.members if on_surprises else ())]  # tracked for export
        signature = [tf.TensorSpec((None, len(features.scaling.centre)), tf.float32, name="features")]
        self.serve = tf.function(self._serve, input_signature=signature, autograph=False)
        self.components = tf.function(self._components, input_signature=signature, autograph=False)

    def _serve(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        features = tf.transpose(rows)
        distance, shares, rebuilt = self._features.residuals(features)
        residual_parts = self._weight * self._features.rarity(distance) * shares
        parts = residual_parts + self._tail_parts(features)
        contributions = tf.transpose(parts)
        expected = tf.transpose(self._expected(rebuilt, residual_parts, parts))
        return {"score": exact_sum(contributions), "contributions": contributions, "expected": expected}

    def _components(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        """Decades of each surprise, (n, k), and of each family of autoencoders, (n, 1 or 2)."""
        features = tf.transpose(rows)
        rarities = [self._features.rarity(self._features.residuals(features)[0])]
        if not len(self.surprises):
            return {"surprises": rows[:, :0], "autoencoders": tf.transpose(rarities[0])}
        values = self.surprises.of(features).decades
        if self._on_surprises is not None:
            rarities.append(self._on_surprises.rarity(self._on_surprises.residuals(values)[0]))
        return {"surprises": tf.transpose(values), "autoencoders": tf.transpose(tf.concat(rarities, axis=0))}

    def _tail_parts(self, features: tf.Tensor) -> tf.Tensor:
        """What the surprises add, shared among the features, (d, n)."""
        if not len(self.surprises):
            return tf.zeros_like(features)
        found = self.surprises.of(features)
        values = found.decades
        power = tf.square(tf.square(tf.square(values)))
        whole = tf.maximum(tf.reduce_sum(power, axis=0, keepdims=True), _TINY)
        parts = power * (self._tail_weight * tf.sqrt(tf.sqrt(tf.sqrt(whole))) / whole)
        if self._on_surprises is not None:
            distance, shares, _ = self._on_surprises.residuals(values)
            parts += self._surprise_weight * self._on_surprises.rarity(distance) * shares
        return self.surprises.spread(parts, found)

    def _expected(self, rebuilt: tf.Tensor, residual_parts: tf.Tensor, parts: tf.Tensor) -> tf.Tensor:
        """Reconstruction in raw units, drawn to the centre as far as the right tail explains the contribution.

        The network rebuilds a large amount well: to say that 4,900 was expected of 5,000 would be no reason.
        """
        scaling = self._features.scaling
        scaled = rebuilt * ((residual_parts + _SOFT) / (parts + _SOFT))
        values = scaled * scaling.scale[:, None] + scaling.centre[:, None]
        if not scaling.log.any():
            return values
        mask = scaling.log.astype(np.float32)[:, None]
        raised = tf.exp(tf.clip_by_value(values * mask, 0.0, _LARGEST_EXPONENT)) - 1.0  # 0 where nothing is logged
        return raised + values * (1.0 - mask)


def scale(values: tf.Tensor, scaling: Scaling) -> tf.Tensor:
    """Scaled inputs (k, n) inside the graph: what :meth:`Scaling.apply` computes in NumPy."""
    if scaling.log.any():
        logged = tf.math.log(1.0 + tf.maximum(values, 0.0))
        mask = scaling.log.astype(np.float32)[:, None]
        values = logged * mask + values * (1.0 - mask)
    inverse = np.float32(1) / scaling.scale  # not by TensorFlow, whose inverses differ from processor to processor
    scaled = (values - scaling.centre[:, None]) * inverse[:, None]
    return tf.clip_by_value(scaled, -scaling.clip, scaling.clip)
