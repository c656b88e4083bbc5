"""The networks, and the one graph that holds everything between raw features and score.

Score (high = anomalous). Member m reconstructs the scaled input u as û; its residual r = u − û − mean is measured by
q_m = rᵀ P_m r / d with P_m the inverse covariance of held-out normals' residuals (Mahalanobis 1936). The members are
joined by the geometric mean G of q_m, and s₀ is the median G of held-out normals. An autoencoder reconstructs a large
amount well, so the rarity of the right tail stands beside it (``tails``): t_i decades for each feature with
``tail: upper``, joined by a power mean that is close to their maximum.

    score = log₂(1 + G / s₀) + tail_weight · (Σ t_i⁸)^⅛

so the residuals of a typical normal score 1, each doubling of G adds about 1 and each decade of rarity ``tail_weight``.

Contributions: r_i (P r)_i sums to the quadratic form exactly, and the logarithm, the geometric mean and the power mean
scale all shares of a row alike; so each row of contributions sums to its score.
"""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fraudline.model.scaling import Scaling
from fraudline.model.tails import Tails

_TINY = 1e-9
_SOFT = 1e-2  # keeps the quotient of two small contributions steady
_LARGEST_EXPONENT = 60.0
_POWER = 8.0
LN2 = float(np.log(2.0))


@dataclass(frozen=True, slots=True)
class ResidualMetric:
    """Mean (d,) and inverse covariance (d, d) of one member's residuals on held-out normals, both float32."""

    mean: NDArray[np.float32]
    precision: NDArray[np.float32]

    @classmethod
    def of(cls, residuals: NDArray[np.float32], ridge: float) -> "ResidualMetric":
        """Plain covariance (robust ones were far worse), with ``ridge`` of the mean variance added to its diagonal."""
        values = residuals.astype(np.float64)
        mean = values.mean(axis=0)
        centred = values - mean
        covariance = centred.T @ centred / max(len(values) - 1, 1)
        d = len(covariance)
        floor = max(ridge * float(np.trace(covariance)) / d, _TINY)
        precision = np.linalg.inv(covariance + floor * np.eye(d))
        return cls(mean.astype(np.float32), ((precision + precision.T) / 2).astype(np.float32))


def exact_sum(parts: tf.Tensor) -> tf.Tensor:
    """Sum of each row of (n, d) float32, rounded once: added in double precision, so that no order of adding shows."""
    return tf.cast(tf.reduce_sum(tf.cast(parts, tf.float64), axis=1), tf.float32)


class ScoreGraph(tf.Module):  # type: ignore[misc]
    """Raw features → score, contributions and expected values, all in one graph.

    Args:
        members: trained autoencoders.
        metrics: one a member.
        scaling: of the raw features.
        tails: rarity of large values.
        tail_weight: score for each decade of rarity.
        unit: s₀, the G that scores 1.
    """

    def __init__(
        self,
        members: list[keras.Model],
        metrics: list[ResidualMetric],
        scaling: Scaling,
        tails: Tails,
        tail_weight: float,
        unit: float,
    ) -> None:
        super().__init__(name="fraudline")
        self._members = members
        self._metrics = metrics
        self._scaling = scaling
        self._tails = tails
        self._tail_weight = tail_weight
        self._unit = unit
        width = len(scaling.centre)
        signature = [tf.TensorSpec((None, width), tf.float32, name="features")]
        self.serve = tf.function(self._serve, input_signature=signature, autograph=False)

    def _serve(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        scaled = self._scale(features)
        width = float(len(self._scaling.centre))
        logs, shares, rebuilt = [], [], []
        for member, metric in zip(self._members, self._metrics, strict=True):
            inside = member(scaled, training=False)
            residual = scaled - inside - metric.mean
            parts = residual * tf.linalg.matmul(residual, metric.precision) / width
            whole = tf.maximum(tf.reduce_sum(parts, axis=1, keepdims=True), _TINY)
            logs.append(tf.math.log(whole))
            shares.append(parts / whole)
            rebuilt.append(inside)
        count = float(len(self._members))
        joined = tf.maximum(tf.exp(tf.add_n(logs) / count), _TINY)
        doublings = tf.math.log(1.0 + joined / self._unit) / LN2
        residual_parts = doublings * (tf.add_n(shares) / count)
        tail_parts = self._tail_parts(features)
        contributions = residual_parts + tail_parts
        score = exact_sum(contributions)
        expected = self._expected(tf.add_n(rebuilt) / count, residual_parts, tail_parts)
        return {"score": score, "contributions": contributions, "expected": expected}

    def _tail_parts(self, features: tf.Tensor) -> tf.Tensor:
        """The tail term shared among the features, (n, d)."""
        tails, width = self._tails, len(self._scaling.centre)
        if self._tail_weight == 0 or not tails.rise.any():
            return tf.zeros_like(features)
        values = tf.expand_dims(tf.gather(features, tails.columns, axis=1), 2)
        ramps = tf.clip_by_value((values - tails.edge) / tails.width, 0.0, 1.0) * tails.rise
        power = tf.pow(tf.reduce_sum(ramps, axis=2), _POWER)
        whole = tf.maximum(tf.reduce_sum(power, axis=1, keepdims=True), _TINY)
        parts = power * (self._tail_weight * tf.pow(whole, 1.0 / _POWER) / whole)
        return tf.linalg.matmul(parts, np.eye(width, dtype=np.float32)[tails.columns])

    def _scale(self, features: tf.Tensor) -> tf.Tensor:
        scaling = self._scaling
        values = features
        if scaling.log.any():
            logged = tf.math.log(1.0 + tf.maximum(features, 0.0))
            mask = scaling.log.astype(np.float32)
            values = logged * mask + features * (1.0 - mask)
        scaled = (values - scaling.centre) / scaling.scale
        return tf.clip_by_value(scaled, -scaling.clip, scaling.clip)

    def _expected(self, rebuilt: tf.Tensor, residual_parts: tf.Tensor, tail_parts: tf.Tensor) -> tf.Tensor:
        """Reconstruction in raw units, drawn to the centre as far as the right tail explains the contribution.

        The network rebuilds a large amount well: to say that 4,900 was expected of 5,000 would be no reason.
        """
        size = tf.abs(residual_parts)
        scaled = rebuilt * ((size + _SOFT) / (size + tail_parts + _SOFT))
        values = scaled * self._scaling.scale + self._scaling.centre
        if not self._scaling.log.any():
            return values
        mask = self._scaling.log.astype(np.float32)
        raised = tf.exp(tf.clip_by_value(values * mask, 0.0, _LARGEST_EXPONENT)) - 1.0
        return raised * mask + values * (1.0 - mask)
