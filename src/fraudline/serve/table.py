"""Rows of a table as its columns stand in the file: encoded to features before the request is parsed further."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from fraudline.core.errors import SchemaError
from fraudline.features.table import TableSpec
from fraudline.serve.errors import RequestError
from fraudline.serve.payload import ID_FIELD

INSTANCES = Path("instances")


def encoded(body: Any, spec: TableSpec) -> Any:
    """A V1 body with the features in the place of raw rows.

    A row that is an object of the specification's columns is raw; a body of other rows is given back as it is.

    Args:
        body: decoded JSON, not checked yet.
        spec: of the model.

    Raises:
        RequestError: a raw row lacks a column, or a value is wrong.
    """
    rows = body.get("instances") if isinstance(body, dict) else None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        return body
    raw = [{name: row[name] for name in spec.column_names if name in row} for row in rows]
    if not all(len(row) == len(spec.columns) for row in raw) or set(spec.column_names) == set(spec.names):
        return body
    try:
        matrix = spec.encode(pa.Table.from_pylist(raw), INSTANCES)
    except (SchemaError, pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        problem = error.problem if isinstance(error, SchemaError) else str(error)
        raise RequestError("instances", problem) from error
    ids = [{ID_FIELD: row[ID_FIELD]} if ID_FIELD in row else {} for row in rows]
    instances = [
        dict(zip(spec.names, map(float, values), strict=True)) | kept for values, kept in zip(matrix, ids, strict=True)
    ]
    return {**body, "instances": instances}
