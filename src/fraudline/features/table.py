"""The table specification: how the columns of any table become the feature matrix of a model.

    kind: table
    name: nsl-kdd
    columns:
      duration: {kind: log, tail: upper}
      service: {kind: category, encode: [onehot, rarity]}
      land: {kind: flag}
    label: {column: label, normal: normal}
    ignore: [difficulty]

    spec = TableSpec.load(path).learned(normals)   # what data must say is filled in: categories and their rarity
    spec.encode(table)                             # (n, d) float32, columns as spec.names

Where a model of cards carries a ``FeatureSpec``, a model of a table carries this: training, evaluation, the gate and
the predictor take either. Every column of a file is named once, as a feature, as the label or to be ignored.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from fraudline.core.errors import SchemaError, UsageError
from fraudline.core.settings import Settings
from fraudline.data.importers import reading
from fraudline.data.importers.source import column
from fraudline.features.spec import Joint
from fraudline.features.versioned import Versioned

Tail = Literal["none", "upper", "both"]


@dataclass(frozen=True, slots=True)
class TableFeature:
    """One column of the matrix, with what a ``Feature`` of cards has."""

    name: str
    meaning: str
    unit: str
    tail: Literal["upper", "none"] = "none"
    transform: Literal["none", "log1p"] = "none"
    window: str = "row"


class TableColumn(Settings):
    """One column of the table.

    Attributes:
        name: in the file.
        kind: ``numeric``; ``log`` for a number from 0 on with a long tail; ``flag`` for 0 and 1, true and false;
            ``category`` for a text.
        tail: ``upper`` when a large value is suspicious by itself, ``both`` when a small one is too.
        encode: of a category: ``onehot`` is a flag for each, ``rarity`` the decades of how rare it is among normals.
        categories: of a category, those that get a flag; learned when none are given.
        rarity: of a category, its decades; learned when none are given.
        unseen: decades of a category that no normal has; learned with ``rarity``.
        unit: of the values, for the reasons.
    """

    name: str
    kind: Literal["numeric", "log", "flag", "category"] = "numeric"
    tail: Tail = "none"
    encode: tuple[Literal["onehot", "rarity"], ...] = ("onehot",)
    categories: tuple[str, ...] = ()
    rarity: dict[str, float] = {}
    unseen: float = 0.0
    unit: str = ""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind in ("flag", "category") and self.tail == "both":
            raise ValueError(f"a {self.kind} has no small values: tail is none or upper")
        if self.kind != "category" and self.categories:
            raise ValueError("only a category has categories")
        return self


class TableLabel(Settings):
    """The column that tells normal rows, and the value that it has there; any other value is the kind of anomaly."""

    column: str
    normal: str


class TableSpec(Versioned):
    """All columns of a table, in order: a mapping in YAML, a list afterwards, because JSON objects are sorted."""

    what: ClassVar[str] = "table specification"

    kind: Literal["table"]
    format: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    columns: tuple[TableColumn, ...] = Field(min_length=1)
    label: TableLabel | None = None
    ignore: tuple[str, ...] = ()
    least_rows: int = Field(default=20, ge=1, description="normals that a category needs to get a flag of its own")

    @field_validator("columns", mode="before")
    @classmethod
    def _listed(cls, columns: object) -> object:
        if not isinstance(columns, Mapping):
            return columns
        return [{"name": name, **(entry or {})} for name, entry in columns.items()]

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        names = [*self.column_names, *self.ignore, *([self.label.column] if self.label else [])]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"named twice: {', '.join(twice)}")
        return self

    @cached_property
    def features(self) -> tuple[TableFeature, ...]:
        """The columns of the matrix, in order."""
        return tuple(feature for entry in self.columns for feature in _features(entry))

    @property
    def joints(self) -> tuple[Joint, ...]:
        """Pairs of features whose rarity counts together: a table names none."""
        return ()

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        """The columns of the file that are features, in order."""
        return tuple(entry.name for entry in self.columns)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Feature names in column order: ``duration``, ``duration:low``, ``service=http``, ``service:rarity``."""
        return tuple(feature.name for feature in self.features)

    @property
    def base_currency(self) -> str:
        """A table has no amounts."""
        return ""

    def without(self, names: Sequence[str]) -> "TableSpec":
        """The same specification with the named columns ignored.

        Raises:
            UsageError: a name is not a column of this specification.
        """
        unknown = sorted(set(names) - set(self.column_names))
        if unknown:
            raise UsageError(
                f"Columns to leave out are unknown: {', '.join(unknown)}.", f"Choose from {self.column_names}."
            )
        kept = [entry for entry in self.columns if entry.name not in names]
        values = self.model_dump() | {"columns": kept, "ignore": (*self.ignore, *names)}
        return TableSpec.parse(values, "table specification")

    def learned(self, normals: pa.Table, source: Path) -> "TableSpec":
        """The specification with categories and rarities filled in from normal rows; those it has stay.

        Args:
            normals: rows of the training period that are normal, with the columns of the file.
            source: the file that they come from, for errors.

        Raises:
            SchemaError: a column is missing, or has a value that is no category.
        """
        columns = [
            _learned(entry, reading.strings(column(source, normals, entry.name)), self.least_rows)
            if entry.kind == "category" and not entry.rarity
            else entry
            for entry in self.columns
        ]
        return TableSpec.parse(self.model_dump() | {"columns": columns}, "table specification")

    def encode(self, table: pa.Table, source: Path) -> NDArray[np.float32]:
        """The feature matrix of rows of a file, (n, d) float32.

        Args:
            table: the columns of the file; those not in the specification are refused.
            source: the file, for errors.

        Raises:
            SchemaError: a column is missing or not in the specification, or a value is wrong (says row and column).
        """
        known = {*self.column_names, *self.ignore, *([self.label.column] if self.label else [])}
        extra = [name for name in table.column_names if name not in known]
        if extra:
            raise SchemaError(
                f"{source} has the columns {', '.join(extra[:5])}, which the specification does not name.",
                "Name each under columns, or under ignore.",
            )
        parts = [part for entry in self.columns for part in _encoded(entry, column(source, table, entry.name))]
        return np.column_stack(parts).astype(np.float32)

    def anomalies(self, table: pa.Table, source: Path) -> NDArray[np.object_]:
        """The kind of anomaly of each row, (n,) str; "" for a normal one and where the table has no label.

        Raises:
            SchemaError: the label's column is missing or has gaps.
        """
        if self.label is None:
            return np.full(table.num_rows, "", dtype=object)
        texts = reading.strings(column(source, table, self.label.column))
        kinds: NDArray[np.object_] = texts.to_numpy(zero_copy_only=False).astype(object)
        kinds[kinds == self.label.normal] = ""
        return kinds


def _features(entry: TableColumn) -> list[TableFeature]:
    name = entry.name
    if entry.kind == "category":
        flags = [TableFeature(f"{name}={c}", f"{name} is {c}", "flag") for c in entry.categories]
        decades = TableFeature(f"{name}:rarity", f"how rare the {name} is among normals", "decades", tail="upper")
        return [*(flags if "onehot" in entry.encode else []), *([decades] if "rarity" in entry.encode else [])]
    unit = "flag" if entry.kind == "flag" else entry.unit
    upper: Literal["upper", "none"] = "none" if entry.tail == "none" else "upper"
    first = TableFeature(name, name, unit, upper, "log1p" if entry.kind == "log" else "none")
    if entry.tail != "both":
        return [first]
    return [first, TableFeature(f"{name}:low", f"how small {name} is", "", tail="upper")]


def _encoded(entry: TableColumn, given: Any) -> list[NDArray[Any]]:
    """The parts of the matrix that one column gives, in the order of :func:`_features`."""
    if entry.kind == "category":
        texts = reading.strings(given)
        flags = [pc.equal(texts, c).to_numpy(zero_copy_only=False) for c in entry.categories]
        decades = [np.array([entry.rarity.get(text, entry.unseen) for text in texts.to_pylist()])]
        return [*(flags if "onehot" in entry.encode else []), *(decades if "rarity" in entry.encode else [])]
    if entry.kind == "flag":
        return [reading.booleans(given)]
    values = reading.decimals(given)
    if entry.kind == "log":
        reading.refuse(given, values < 0, "a number that is not negative")
    low = -np.log1p(values) if entry.kind == "log" else -values
    return [values, low] if entry.tail == "both" else [values]


def _learned(entry: TableColumn, texts: pa.Array, least_rows: int) -> TableColumn:
    counted = pc.value_counts(texts).to_pylist()
    counts = {item["values"]: int(item["counts"]) for item in counted}
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    rows = len(texts)
    return entry.model_copy(
        update={
            "categories": entry.categories or tuple(name for name in ranked if counts[name] >= least_rows),
            "rarity": {name: _decades(counts[name], rows) for name in sorted(counts)},
            "unseen": _decades(0, rows),
        }
    )


def _decades(count: int, rows: int) -> float:
    return round(-math.log10((count + 0.5) / (rows + 1)), 6)
