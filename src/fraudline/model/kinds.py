"""The kinds of model that ``train.kind`` chooses from: each is fitted from the same rows and gives the same artifact.

    fitted = fit_kind(rows, spec, params.train, seed)
    fitted.export(folder)            # model.onnx, and what else fitted.formats names

Whichever it is, a client sends raw features and gets a score (high = anomalous), contributions that sum to it, and what
was expected; so any kind may be champion, and promotion asks only whether it is better.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fraudline.model.challengers import grow
from fraudline.model.inputs import Inputs
from fraudline.model.params import AUTOENCODERS, TrainParams
from fraudline.model.scorer import Scores

if TYPE_CHECKING:
    from fraudline.model.training import Epoch

HYBRID = "hybrid"

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """What may be learned from, raw features, (·, d) float32.

    Attributes:
        normals: known normals of the training days.
        later_normals: known normals of later days.
        frauds: known frauds of all these days; only supervised kinds look at them.
    """

    normals: Matrix
    later_normals: Matrix
    frauds: Matrix

    @property
    def labelled(self) -> tuple[Matrix, NDArray[np.bool_]]:
        """All rows, and whether each is a fraud."""
        rows = np.concatenate([self.normals, self.later_normals, self.frauds])
        return rows, np.arange(len(rows)) >= len(rows) - len(self.frauds)

    @property
    def centre(self) -> Matrix:
        """What trees expect of each feature, (d,) float32: the normals' median."""
        return np.median(self.normals, axis=0).astype(np.float32)


class Fitted(Protocol):
    """A model of any kind. ``rows`` were fitted on; ``history`` holds an autoencoder's epochs."""

    @property
    def rows(self) -> int:
        """Rows fitted on."""

    @property
    def history(self) -> Sequence["Epoch"]:
        """Every epoch of every network."""

    @property
    def formats(self) -> tuple[str, ...]:
        """What :meth:`export` writes, as in ``model.json``."""

    @property
    def reasons(self) -> str:
        """The method of reasons, as in ``model.json``."""

    def score(self, features: Matrix) -> Scores:
        """Score (n, d) float32 raw features."""

    def export(self, folder: Path) -> None:
        """Write the model's files under ``folder``."""

    def architecture(self) -> dict[str, Any]:
        """What ``model.json`` says of the model."""


def fit_kind(
    rows: TrainingRows,
    spec: Inputs,
    params: TrainParams,
    seed: int,
    progress: Callable[["Epoch"], None] | None = None,
) -> Fitted:
    """Fit a model of the kind ``params.kind``.

    Args:
        rows: what may be learned from.
        spec: name, tail and transform of the d columns.
        params: the kind and its settings.
        seed: of everything random.
        progress: called after every epoch of an autoencoder.

    Raises:
        UsageError: rows do not fit the features, or a library is not installed.
        DataError: a supervised kind has too few known frauds.
    """
    if params.kind in AUTOENCODERS:
        from fraudline.model.fitting import fit

        return fit(rows.normals, rows.later_normals, spec, params, seed, progress)
    if params.kind == HYBRID:
        from fraudline.model.supervised import fit_hybrid

        return fit_hybrid(rows, spec, params, seed, progress)
    from fraudline.model.supervised import TreeModel

    labelled, frauds = rows.labelled
    table = grow(params.kind, labelled, frauds, params.forest, seed)
    return TreeModel(table, spec, rows.centre, params, min(len(labelled), params.forest.max_rows))
