"""From request bodies to an (n, d) matrix, each mistake with the path of the field that is wrong.

V1 rows are objects of features, or lists of features in the order of the spec. An object may carry a
``transaction_id`` beside its features: events drop their key on the way, so the id travels in the data.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.serve.errors import RequestError

INPUT = "features"
ID_FIELD = "transaction_id"
MAX_ROWS = 4_096
"""Rows a request: one batch of the worker is at most this, and a row costs microseconds."""

_SPARE = 2
"""Times the values of the largest request: an event has attributes, an id may have commas."""

FLOAT32_MAX = float(np.finfo(np.float32).max)
"""Largest value of a feature."""

_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one request.

    Attributes:
        features: (n, d) float32, all finite.
        transaction_ids: one a row, None where the caller sent none.
    """

    features: NDArray[np.float32]
    transaction_ids: tuple[str | None, ...]


def parse_instances(body: object, names: Sequence[str], max_rows: int = MAX_ROWS) -> Batch:
    """The rows of a V1 body ``{"instances": [...]}``.

    Args:
        body: decoded JSON.
        names: feature names in the order of the spec.
        max_rows: largest number of rows.

    Raises:
        RequestError: names the field, for example ``instances[3].amount``.
    """
    if not isinstance(body, dict):
        raise RequestError("body", f"expected a JSON object, got {kind(body)}.", 'Send {"instances": [...]}.')
    if "instances" not in body:
        raise RequestError("instances", f"missing; the body has {_few(body)}.", 'Send {"instances": [...]}.')
    instances = body["instances"]
    if not isinstance(instances, list):
        raise RequestError("instances", f"expected a list of rows, got {kind(instances)}.")
    _check_rows("instances", len(instances), max_rows)
    known = frozenset(names)
    rows, ids = [], []
    for i, instance in enumerate(instances):
        row, transaction_id = _parse_row(f"instances[{i}]", instance, names, known)
        rows.append(row)
        ids.append(transaction_id)
    return Batch(np.array(rows, dtype=np.float32).reshape(len(rows), len(names)), tuple(ids))


def json_values(fields: int, rows: int = MAX_ROWS) -> int:
    """How many values the JSON of a request may hold: rows of so many fields, and an id each."""
    return _SPARE * rows * (fields + 2)


def instances_schema(names: Sequence[str], max_rows: int = MAX_ROWS) -> dict[str, Any]:
    """What :func:`parse_instances` takes, as JSON Schema, for the served OpenAPI document."""
    number = {"type": "number", "minimum": -FLOAT32_MAX, "maximum": FLOAT32_MAX}
    fields = dict.fromkeys(names, number) | {ID_FIELD: {"type": ["string", "null"]}}
    row = {"type": "object", "properties": fields, "required": list(names), "additionalProperties": False}
    in_order = {"type": "array", "items": number, "minItems": len(names), "maxItems": len(names)}
    rows = {"type": "array", "items": {"anyOf": [row, in_order]}, "minItems": 1, "maxItems": max_rows}
    return {"type": "object", "properties": {"instances": rows}, "required": ["instances"]}


def parse_tensor(
    shape: Sequence[Any], data: object, names: Sequence[str], max_rows: int = MAX_ROWS
) -> NDArray[np.float32]:
    """The rows of the V2 input ``features``.

    Args:
        shape: as sent; must be [n, d].
        data: a flat or nested list of numbers, or a numpy array of a numeric type.
        names: feature names in the order of the spec.
        max_rows: largest number of rows.

    Returns:
        (n, d) float32, all finite.

    Raises:
        RequestError: names the field, for example ``inputs.features.shape``.
    """
    path = f"inputs.{INPUT}"
    d = len(names)
    whole = all(isinstance(size, int) and not isinstance(size, bool) for size in shape)
    if len(shape) != 2 or not whole or shape[1] != d or shape[0] < 0:
        raise RequestError(f"{path}.shape", f"expected [n, {d}], got {_shown(list(shape))}.")
    _check_rows(path, shape[0], max_rows)
    values = data if isinstance(data, np.ndarray) else _flat_numbers(f"{path}.data", data, d)
    if values.size != shape[0] * d:
        raise RequestError(
            f"{path}.data", f"expected {shape[0] * d} values for the shape {list(shape)}, got {values.size}."
        )
    values = values.reshape(shape[0], d)
    wrong = ~(np.abs(values) <= FLOAT32_MAX)
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise RequestError(
            f"{path}.data[{row}][{column}] ({names[column]})",
            f"expected a finite 32-bit number, got {values[row, column]}.",
        )
    return np.ascontiguousarray(values, dtype=np.float32)


def check_datatype(datatype: str) -> None:
    """Accept FP32, and FP64 whose values fit into float32.

    Raises:
        RequestError: another type.
    """
    if datatype not in ("FP32", "FP64"):
        raise RequestError(f"inputs.{INPUT}.datatype", f"expected FP32, got {_shown(datatype)}.")


def _parse_row(
    path: str, instance: object, names: Sequence[str], known: frozenset[str]
) -> tuple[list[float], str | None]:
    if isinstance(instance, dict):
        return _parse_object(path, instance, names, known)
    if isinstance(instance, list):
        if len(instance) != len(names):
            raise RequestError(path, f"expected {len(names)} features, got {len(instance)}.")
        return [_number(f"{path}[{j}] ({names[j]})", value) for j, value in enumerate(instance)], None
    raise RequestError(path, f"expected an object of features or a list of {len(names)} numbers, got {kind(instance)}.")


def _parse_object(
    path: str, instance: Mapping[str, object], names: Sequence[str], known: frozenset[str]
) -> tuple[list[float], str | None]:
    transaction_id = instance.get(ID_FIELD)
    if transaction_id is not None and not isinstance(transaction_id, str):
        raise RequestError(f"{path}.{ID_FIELD}", f"expected a string, got {kind(transaction_id)}.")
    for name in instance:
        if name not in known and name != ID_FIELD:
            action = "`fraudline artifact inspect` of the model lists its features."
            raise RequestError(f"{path}.{_shown(name, quote=False)}", "unknown feature.", action)
    missing = [name for name in names if name not in instance]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise RequestError(f"{path}.{missing[0]}", f"missing{more}; all {len(names)} features are needed.")
    return [_number(f"{path}.{name}", instance[name]) for name in names], transaction_id


def _number(path: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestError(path, f"expected a number, got {kind(value)}.")
    # The bound is checked on the value itself: an integer may be too large for a float.
    if not -FLOAT32_MAX <= value <= FLOAT32_MAX:
        raise RequestError(path, f"expected a finite 32-bit number, got {_shown(value, quote=False)}.")
    return float(value)


def _flat_numbers(path: str, data: object, d: int) -> NDArray[np.float64]:
    """Values of a flat list, or of a list of rows, as the V2 protocol allows both."""
    if not isinstance(data, list):
        raise RequestError(path, f"expected a list of numbers, got {kind(data)}.")
    if data and isinstance(data[0], list):
        for i, row in enumerate(data):
            if not isinstance(row, list) or len(row) != d:
                got = f"{len(row)} values" if isinstance(row, list) else kind(row)
                raise RequestError(f"{path}[{i}]", f"expected a row of {d} numbers, got {got}.")
        data = [value for row in data for value in row]
    for i, value in enumerate(data):
        # NaN and infinity are refused with row and feature by the caller
        if type(value) is not float or not math.isfinite(value):
            _number(f"{path}[{i}]", value)
    return np.array(data, dtype=np.float64)


def _check_rows(path: str, rows: int, max_rows: int) -> None:
    if rows == 0:
        raise RequestError(path, "empty; at least one row is needed.")
    if rows > max_rows:
        raise RequestError(path, f"{rows} rows, at most {max_rows} are taken at once.", "Split the request.")


def kind(value: object) -> str:
    """The JSON name of a value's type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return f"the string {_shown(value)}"
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else type(value).__name__


def _few(body: Mapping[str, object]) -> str:
    return ", ".join(_shown(name) for name in list(body)[:5]) or "no fields"


def _shown(value: object, *, quote: bool = True) -> str:
    value = value[: _SHOWN + 1] if isinstance(value, str) else value
    text = repr(value) if quote else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
