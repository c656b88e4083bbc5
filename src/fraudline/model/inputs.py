"""What the model needs to know of its inputs: a name, a tail and a transform each.

A ``FeatureSpec`` satisfies :class:`Inputs`; so does :class:`PlainInputs`, for a matrix that no kernel made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Input(Protocol):
    """One column of the matrix."""

    @property
    def name(self) -> str:
        """The feature's name."""

    @property
    def tail(self) -> str:
        """``upper`` when a large value is suspicious by itself, else ``none``."""

    @property
    def transform(self) -> str:
        """``log1p`` when the model may take log(1 + x), else ``none``."""


class Inputs(Protocol):
    """All columns, in order."""

    @property
    def features(self) -> Sequence[Input]:
        """One entry a column."""


@dataclass(frozen=True, slots=True)
class PlainInput:
    """A column of any matrix."""

    name: str
    tail: str = "none"
    transform: str = "none"


@dataclass(frozen=True, slots=True)
class PlainInputs:
    """Columns of any matrix, for use of the model apart from the feature kernel."""

    features: tuple[PlainInput, ...]
