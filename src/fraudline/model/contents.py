"""What the verified files of an artifact may contain: known names, plain graphs, plain tables. Nothing is run here.

A digest says that an artifact is the one that was named, not that its maker meant well. So a pickle, a Keras file, an
ONNX graph that reads other files or calls custom operators, and a SavedModel that does more than compute
(:mod:`fraudline.model.saved_model`) are refused with the reason before anything is loaded.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fraudline.core.errors import ArtifactError

ONNX_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
"""Operator sets of ONNX Runtime itself; any other is code that somebody adds."""

_NAMES = re.compile(
    r"model\.json|model\.onnx|golden\.parquet|trees\.parquet|card\.md|reference/[a-z_]{1,64}\.parquet|"
    r"savedmodel/1/(saved_model\.pb|fingerprint\.pb|variables/variables\.(index|data-\d{5}-of-\d{5}))"
)
_EXTENSION = b"ARROW:extension:name"
_MOST_VALUES = 1 << 26
"""Of one table: 256 MB of 32-bit numbers."""
_DEPTH = 64
_TAG_BITS = 32
"""Of a larger tag readers differ in what they take: Google's drops the rest, and would find another field than this."""
TAKE_FROM_YOUR_OWN = "Take artifacts only from your own training pipeline; see docs/how-to/secure.md."


def check_name(path: str) -> None:
    """Refuse a file that is no part of a model artifact.

    Raises:
        ArtifactError: names it.
    """
    if not _NAMES.fullmatch(path):
        raise ArtifactError(f"{path!r:.100} is no part of a model artifact.", TAKE_FROM_YOUR_OWN)


def check_schema(schema: Any, name: str) -> None:
    """Refuse columns of a parquet file that are not plain values.

    Args:
        schema: a ``pyarrow.Schema``.
        name: the file, for the error.

    Raises:
        ArtifactError: names the column.
    """
    for field in schema:
        text = str(field.type)
        if _EXTENSION in (field.metadata or {}) or text.startswith(("extension", "binary", "large_binary")):
            raise ArtifactError(
                f"{name}: the column {field.name!r:.60} holds objects ({text:.60}).", TAKE_FROM_YOUR_OWN
            )


def check_size(metadata: Any, name: str) -> None:
    """Refuse a parquet file that would fill the memory: a column of one value takes no room in it, whatever its rows.

    Args:
        metadata: a ``pyarrow.parquet.FileMetaData``.
        name: the file, for the error.

    Raises:
        ArtifactError: it has more than ``_MOST_VALUES``.
    """
    rows = sum(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
    if rows * metadata.num_columns > _MOST_VALUES:
        raise ArtifactError(f"{name} has {rows:,} rows of {metadata.num_columns} columns.", TAKE_FROM_YOUR_OWN)


def check_onnx(content: bytes) -> None:
    """Walk an ONNX model on the wire: no external data, no functions, no operators but ONNX's own.

    Raises:
        ArtifactError: the reason; also bytes that are no protobuf message.
    """
    try:
        _walk(content, "model", 0)
    except (IndexError, RecursionError) as error:
        raise ArtifactError("model.onnx is not an ONNX graph.", "Build the artifact again.") from error


# What a field of a message is, by its number (onnx.proto3); fields that are not here hold nothing to look at.
_FIELDS: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 8: "opset", 20: "training", 25: "functions"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute", 7: "domain"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external", 14: "location"},
    "opset": {1: "domain"},
}


def _walk(content: bytes, message: str, depth: int) -> None:
    if depth > _DEPTH:
        raise ArtifactError(f"The graph nests more than {_DEPTH} messages.", TAKE_FROM_YOUR_OWN)
    fields = _FIELDS[message]
    for number, value in fields_of(content):
        what = fields.get(number, "")
        if what in _FIELDS:
            if not isinstance(value, bytes):
                raise IndexError
            _walk(value, what, depth + 1)
        elif what:
            _REFUSALS[what](value)


def fields_of(content: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Fields of a protobuf message: number, and a number or bytes.

    Raises:
        IndexError: it is cut off, or no such message.
    """
    at, end = 0, len(content)
    while at < end:
        tag, at = _varint(content, at)
        if tag >> _TAG_BITS:
            raise IndexError(tag)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(content, at)
            yield tag >> 3, value
            continue
        if kind == 2:
            size, at = _varint(content, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise IndexError(kind)
        if at + size > end:
            raise IndexError(at)
        yield tag >> 3, content[at : at + size]
        at += size


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise IndexError(at)


def _external(_: bytes | int) -> None:
    raise ArtifactError("model.onnx keeps tensors in other files (external data).", TAKE_FROM_YOUR_OWN)


def _location(value: bytes | int) -> None:
    if value != 0:
        _external(value)


def _domain(value: bytes | int) -> None:
    name = value.decode(errors="replace") if isinstance(value, bytes) else ""
    if name not in ONNX_DOMAINS:
        raise ArtifactError(f"model.onnx uses operators of {name!r:.60}: only ONNX's own are run.", TAKE_FROM_YOUR_OWN)


def _functions(_: bytes | int) -> None:
    raise ArtifactError("model.onnx defines operators of its own.", TAKE_FROM_YOUR_OWN)


def _training(_: bytes | int) -> None:
    raise ArtifactError("model.onnx carries training steps.", TAKE_FROM_YOUR_OWN)


_REFUSALS: Mapping[str, Callable[[bytes | int], None]] = {
    "domain": _domain,
    "external": _external,
    "functions": _functions,
    "location": _location,
    "training": _training,
}
