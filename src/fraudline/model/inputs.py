"""What the model needs to know of its inputs: a name, a tail and a transform each, and which pairs belong together.

A ``FeatureSpec`` satisfies :class:`Inputs`; so does a ``TableSpec``, for a matrix that no kernel made.
"""

from collections.abc import Sequence
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


class Joint(Protocol):
    """A pair of columns whose rarity counts together."""

    @property
    def name(self) -> str:
        """The pair's name."""

    @property
    def features(self) -> tuple[str, str]:
        """Names of the two columns."""

    @property
    def tails(self) -> tuple[str, str]:
        """In which direction each is suspicious: ``upper``, for the second also ``lower``."""

    @property
    def above(self) -> float:
        """Rows whose first column is not above this are not rare."""


class Inputs(Protocol):
    """All columns, in order."""

    @property
    def features(self) -> Sequence[Input]:
        """One entry a column."""

    @property
    def joints(self) -> Sequence[Joint]:
        """Pairs of columns; may be empty."""
