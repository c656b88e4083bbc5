"""How a feature is spoken of: a sentence from its value and what the model expected, each in its unit.

    wording = Wording.of(spec)
    wording.sentence(3, 14.2, 0.3)
    # 'the amount lies 14.2 standard deviations above the card's habit, far above the 0.3 expected'

A feature of the packaged specification has a phrase of its own; any other one is spoken of by its name and its unit, so
that a column of any table gets a sentence too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp
from typing import Protocol

from fraudline.data import money
from fraudline.features.spec import FeatureSpec, load_spec
from fraudline.features.table import TableSpec
from fraudline.model.phrases import FLAGS, PHRASES, SIGNED

Formatter = Callable[[float], str]

_FAR = 3.0  # gaps of this many times the smaller of value and expected value are far
_SLIGHT = 0.1
_USUAL = "as expected, but not together with the other features"
_SIDES = {"nats": ("rarer than", "more common than"), "seconds": ("longer than", "shorter than")}
_LEAST = {"standard deviations": 1.0, "base currency": 1.0, "fraud rate": 0.001, "kilometres": 1.0}
_LEAST |= dict.fromkeys(("transactions", "merchants", "frauds"), 0.3)  # one of what none was expected of is far
_TIMES = ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


class Described(Protocol):
    """A feature's name and unit, as a ``Feature`` of the specification has them."""

    @property
    def name(self) -> str:
        """The feature's name."""

    @property
    def unit(self) -> str:
        """The unit of its values."""


class Wording:
    """The sentences of the features of one model.

    Args:
        features: name and unit of the d features, in the order of the columns.
        currency: ISO 4217 code that amounts are said in.
    """

    def __init__(self, features: Sequence[Described], currency: str) -> None:
        self._columns = [_Column.of(feature, currency) for feature in features]

    @classmethod
    def of(cls, spec: FeatureSpec | TableSpec) -> "Wording":
        """The wording of a feature specification."""
        return cls(spec.features, spec.base_currency)

    def said(self, column: int, value: float) -> str:
        """A value of a feature with its unit."""
        words = self._columns[column]
        return words.said(words.possible(value))

    def sentence(self, column: int, value: float, expected: float) -> str:
        """One reason in words.

        Args:
            column: the feature's column.
            value: as observed, in the feature's unit.
            expected: what the model expected, in the same unit.
        """
        words = self._columns[column]
        if words.flag:
            unusual = abs(value - expected) >= 0.5
            return f"{words.phrases[value < 0.5]}, {'which is not expected' if unusual else _USUAL}"
        expected = words.possible(expected)
        observed, normal = words.said(abs(value) if words.signed else value), words.said(expected)
        phrase = words.phrases[value < 0].replace("{}", observed)
        if observed == normal and not (words.signed and value < 0):
            return f"{phrase}, {_USUAL}"
        gap, scale = abs(value - expected), max(min(abs(value), abs(expected)), words.least)
        degree = "far " if gap > _FAR * scale else "slightly " if gap < _SLIGHT * scale else ""
        return f"{phrase}, {degree}{words.sides[value < expected]} the {normal} expected"


@dataclass(frozen=True, slots=True)
class _Column:
    """How one feature is spoken of.

    ``phrases``: above and below zero, or a flag's two readings. ``positive``: no value is below zero,
    whatever a network rebuilds. ``least``: the smallest value that a gap is measured against.
    """

    phrases: tuple[str, str]
    said: Formatter
    flag: bool
    signed: bool
    positive: bool
    least: float
    sides: tuple[str, str]

    @classmethod
    def of(cls, feature: Described, currency: str) -> "_Column":
        name, unit = feature.name, feature.unit
        words = name.replace("_", " ")
        if unit == "flag":
            phrases = FLAGS.get(name) or (f"{words} holds", f"{words} does not hold")
        elif name in SIGNED:
            phrases = SIGNED[name]
        else:
            phrases = (PHRASES.get(name, f"{words} is {{}}"),) * 2
        return cls(
            phrases=phrases,
            said=formatter(unit, currency),
            flag=unit == "flag",
            signed=name in SIGNED,
            positive=name in PHRASES,
            least=_LEAST.get(unit, 0.1),
            sides=_SIDES.get(unit, ("above", "below")),
        )

    def possible(self, value: float) -> float:
        """A network may rebuild less than nothing."""
        return max(value, 0.0) if self.positive else value


class _Plain:
    """A feature of which only the name is known."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.unit = ""


@lru_cache(maxsize=64)
def wording_of(names: tuple[str, ...]) -> Wording:
    """The wording of features known by name alone: units are those of the packaged specification, where it has them."""
    spec = load_spec()
    known = {feature.name: feature for feature in spec.features}
    return Wording([known.get(name) or _Plain(name) for name in names], spec.base_currency)


def formatter(unit: str, currency: str) -> Formatter:
    """How a value of a unit is written.

    >>> formatter("base currency", "EUR")(1234.5)
    '1,234.50 EUR'
    >>> formatter("seconds", "")(5400)
    '1.5 hours'
    >>> formatter("fraud rate", "")(0.032)
    '3.2 %'
    """
    fixed: dict[str, Formatter] = {
        "base currency": lambda value: money.said(value, currency),
        "ratio": lambda value: f"{value:,.0f} times" if abs(value) >= 10 else f"{value:.2g} times",
        "standard deviations": lambda value: f"{value:.1f}",
        "kilometres": lambda value: f"{value:,.0f} km" if abs(value) >= 10 else f"{value:.1f} km",
        "kilometres per hour": lambda value: f"{value:,.0f} km/h",
        "seconds": _duration,
        "days": lambda value: _counted(value, "days"),
        "fraud rate": lambda value: f"{value * 100:.2g} %",
        "nats": _share,
        "flag": lambda value: "yes" if value >= 0.5 else "no",
        "1 - cosine": lambda value: f"{value:.2f}",
        "": _number,
    }
    return fixed.get(unit) or (lambda value: _counted(value, unit))


def _number(value: float) -> str:
    """Three digits that matter, and no exponent below a million million."""
    size = abs(value)
    if size >= 1e12 or 0 < size < 1e-4:
        return f"{value:.3g}"
    text = f"{value:,.0f}" if size >= 100 else f"{value:.3g}"
    return "0" if text == "-0" else text


def _counted(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if abs(value) >= 10 else f"{value:.1f}".removesuffix(".0")
    number = "0" if number == "-0" else number
    return f"{number} {unit.removesuffix('s') if number == '1' else unit}"


def _duration(seconds: float) -> str:
    size, unit = next((entry for entry in _TIMES if seconds >= entry[0]), _TIMES[-1])
    return _counted(max(seconds, 0.0) / size, unit)


def _share(nats: float) -> str:
    """A share given as minus its logarithm: one in so many.

    >>> _share(4.5)
    '1 in 90'
    """
    return f"1 in {exp(min(max(nats, 0.0), 20.0)):,.0f}"
