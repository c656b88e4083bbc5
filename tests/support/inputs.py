"""Columns of any matrix, for tests of the model apart from the feature kernel: see `fraudline.model.inputs`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlainInput:
    """A column of any matrix."""

    name: str
    tail: str = "none"
    transform: str = "none"


@dataclass(frozen=True, slots=True)
class PlainJoint:
    """A pair of columns of any matrix."""

    name: str
    features: tuple[str, str]
    tails: tuple[str, str] = ("upper", "upper")
    above: float = 0.0


@dataclass(frozen=True, slots=True)
class PlainInputs:
    """Columns of any matrix."""

    features: tuple[PlainInput, ...]
    joints: tuple[PlainJoint, ...] = ()
