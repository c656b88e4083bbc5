"""The search space: which parameters are tried, and over what values.

    space = load_space()
    space.parameters[0].name      # 'train.learning_rate'

The packaged ``search.yaml`` is the default. A value is plain JSON, so that the same definition serves a local search
and a Katib experiment, whose trials get it as text.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from fraudline.core.digest import sha256_bytes
from fraudline.core.errors import UsageError
from fraudline.core.settings import Settings

OBJECTIVE = "validation_ap"
"""What is maximised: average precision on the later validation days."""


class SearchParameter(Settings):
    """One parameter: a range of numbers, or a list of values.

    Attributes:
        name: dotted name in params.yaml.
        kind: ``float``, ``int`` or ``choice``.
        low: smallest number.
        high: largest number.
        log: whether the logarithm is uniform (``float``).
        step: distance between numbers (``int``).
        values: what is chosen from (``choice``): numbers, texts, flags or lists.
    """

    name: str = Field(pattern=r"^[a-z_]+(\.[a-z_]+)+$")
    kind: Literal["float", "int", "choice"]
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: int = Field(default=1, ge=1)
    values: tuple[Any, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind == "choice":
            if len(self.values) < 2 or self.low is not None or self.high is not None:
                raise ValueError(f"{self.name}: a choice has at least two values, and neither low nor high")
        elif self.low is None or self.high is None or not self.low < self.high or self.values:
            raise ValueError(f"{self.name}: a range has low < high, and no values")
        if self.log and (self.low or 0) <= 0:
            raise ValueError(f"{self.name}: the logarithm needs a low above 0")
        return self

    @property
    def ends(self) -> list[Any]:
        """Both ends of a range, or every value of a choice."""
        if self.kind == "choice":
            return list(self.values)
        return [int(end) if self.kind == "int" and end is not None else end for end in (self.low, self.high)]

    @property
    def choices(self) -> list[str]:
        """The values of a choice as JSON."""
        return [json.dumps(value) for value in self.values]


class SearchSpace(Settings):
    """All parameters that are tried."""

    format: Literal[1]
    parameters: tuple[SearchParameter, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _once(self) -> Self:
        names = [parameter.name for parameter in self.parameters]
        if len(set(names)) != len(names):
            raise ValueError("a parameter is named twice")
        return self

    @cached_property
    def version(self) -> str:
        """Twelve hex digits over the content."""
        return sha256_bytes(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode())[:12]


def load_space(path: Path | None = None) -> SearchSpace:
    """The packaged search space, or that of a YAML file.

    Raises:
        UsageError: the file is missing, not YAML, or a range is wrong.
    """
    if path is not None:
        return SearchSpace.load(path)
    text = files("fraudline.model").joinpath("search.yaml").read_text(encoding="utf-8")
    return SearchSpace.parse(yaml.safe_load(text), "search.yaml")


def parse_point(settings: tuple[str, ...]) -> dict[str, Any]:
    """Values given as ``name=value``, the value as JSON or as plain text.

    >>> parse_point(("train.epochs=12", "train.scaling=robust", "train.hidden=[64, 32]"))
    {'train.epochs': 12, 'train.scaling': 'robust', 'train.hidden': [64, 32]}
    """
    point = {}
    for setting in settings:
        name, sign, text = setting.partition("=")
        if not sign or not name.strip():
            raise UsageError(f"{setting} is no setting.", "Write it as train.epochs=12.")
        try:
            point[name.strip()] = json.loads(text)
        except ValueError:
            point[name.strip()] = text
    return point


def nested(point: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as nested mappings: a fragment of params.yaml.

    >>> nested({"train.epochs": 12, "train.clip": 5.0})
    {'train': {'epochs': 12, 'clip': 5.0}}
    """
    tree: dict[str, Any] = {}
    for name, value in point.items():
        *sections, last = name.split(".")
        at = tree
        for section in sections:
            at = at.setdefault(section, {})
        at[last] = value
    return tree


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``changes``, section by section."""
    result = dict(base)
    for name, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(result.get(name), Mapping)
        result[name] = merged(result[name], value) if both else value
    return result
