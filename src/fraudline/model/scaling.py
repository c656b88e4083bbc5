"""Scaling of raw features, learned from known normals and repeated inside the graph."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fraudline.core.errors import UsageError
from fraudline.model.inputs import Inputs

_NORMAL_IQR = 1.3489795
_NARROW = 0.05  # an interquartile range under this share of the sd describes a spike, not the spread


@dataclass(frozen=True, slots=True)
class Scaling:
    """u = clip((t(x) − centre) / scale, ±clip), with t(x) = log(1 + max(x, 0)) where ``log`` is set.

    Attributes:
        log: (d,) bool.
        centre: (d,) float32, in the transformed unit.
        scale: (d,) float32, in the transformed unit, above 0.
        clip: limit of the scaled value.
    """

    log: NDArray[np.bool_]
    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    clip: float

    def apply(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scaled inputs, (n, d) float32."""
        scaled = (_transformed(features, self.log) - self.centre) / self.scale
        clipped: NDArray[np.float32] = np.clip(scaled, -self.clip, self.clip).astype(np.float32)
        return clipped


def learn_plain(values: NDArray[np.float32], clip: float) -> Scaling:
    """Mean and sd of any (n, k) matrix, nothing transformed."""
    columns = np.asarray(values, np.float64)
    return _scaling(np.zeros(columns.shape[1], np.bool_), columns.mean(axis=0), columns.std(axis=0), clip)


def learn(
    features: NDArray[np.float32],
    inputs: Inputs,
    *,
    method: Literal["robust", "standard"],
    clip: float,
    log_inputs: bool = True,
) -> Scaling:
    """Scaling of known normals.

    Args:
        features: (n, d) float32 raw features, finite.
        inputs: names and transforms of the d columns.
        method: ``robust`` (median, IQR) or ``standard`` (mean, sd). A column whose IQR is a spike falls back to its sd.
        clip: limit of the scaled value.
        log_inputs: take log(1 + x) where a column hints it.

    Raises:
        UsageError: the matrix is empty, not finite, or has another width.
    """
    columns = list(inputs.features)
    if features.ndim != 2 or len(features) == 0 or features.shape[1] != len(columns):
        raise UsageError(f"Training features have the shape {features.shape}.", f"Give rows of {len(columns)} values.")
    finite = np.isfinite(features).all(axis=0)
    if not finite.all():
        name = columns[int(np.flatnonzero(~finite)[0])].name
        raise UsageError(f"The training feature {name} has values that are not finite.", "Impute it by the spec.")
    log = np.array([log_inputs and column.transform == "log1p" for column in columns])
    values = _transformed(features, log).astype(np.float64)
    centre, scale = values.mean(axis=0), values.std(axis=0)
    if method == "robust":
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
        spread = (high - low) / _NORMAL_IQR
        wide = spread > _NARROW * scale
        centre, scale = np.where(wide, middle, centre), np.where(wide, spread, scale)
    return _scaling(log, centre, scale, clip)


def _scaling(log: NDArray[np.bool_], centre: NDArray[np.float64], scale: NDArray[np.float64], clip: float) -> Scaling:
    """A column that never varies is only centred."""
    scale = np.where(scale > 1e-6 * np.maximum(np.abs(centre), 1.0), scale, 1.0)
    return Scaling(log, centre.astype(np.float32), scale.astype(np.float32), clip)


def _transformed(features: NDArray[np.float32], log: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.where(log, np.log(1 + np.maximum(features, 0)), features).astype(np.float32)
