"""CEL conditions (Common Expression Language), checked by Google's compiler and evaluated over whole columns.

    environment = Environment({"amount": "double", "country": "string", "embargo": "list"})
    condition = environment.compile('amount > 500.0 && country in embargo')
    condition.where(columns.__getitem__, n)      # (n,) bool

The compiler knows each name's type, so a wrong name or type is refused before the first transaction. Its checked tree
is turned into Arrow's kernels, one call a node and batch: evaluated row by row, through the compiler's own runtime, one
condition costs more than everything else the worker does with a transaction. What has no kernel here (arithmetic on
whole numbers, comprehensions, messages) is refused too; what is left cannot fail on any row.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fraudline.core.errors import UsageError

Type = Literal["double", "int", "string", "bool", "list"]
"""``list`` is a named collection of strings, the right side of ``in``."""

Column = Callable[[str], Any]
"""Gives a column by name: a pyarrow array of n values without nulls, or for a list its members."""

_Node = Callable[[Column], Any]
_WRONG = re.compile(r"ERROR: <input>:(?P<line>\d+):(?P<column>\d+): (?P<what>[^\n]*)")
_FRACTION = "'(double, int)'"
_ARROW: Mapping[Type, pa.DataType] = {
    "double": pa.float64(),
    "int": pa.int64(),
    "string": pa.string(),
    "bool": pa.bool_(),
}
_KERNELS: Mapping[str, Callable[..., Any]] = {
    "logical_and": pc.and_,
    "logical_or": pc.or_,
    "logical_not": pc.invert,
    "conditional": pc.if_else,
    "equals": pc.equal,
    "not_equals": pc.not_equal,
    "add_double": pc.add,
    "subtract_double": pc.subtract,
    "multiply_double": pc.multiply,
    "divide_double": pc.divide,
    "negate_double": pc.negate,
    "int64_to_double": partial(pc.cast, target_type=pa.float64()),
    "string_size": pc.utf8_length,
    "size_string": pc.utf8_length,
    **{
        f"{name}_{kind}": kernel
        for name, kernel in (
            ("less", pc.less),
            ("less_equals", pc.less_equal),
            ("greater", pc.greater),
            ("greater_equals", pc.greater_equal),
        )
        for kind in ("double", "int64", "string")
    },
}
_PATTERNS: Mapping[str, Callable[..., Any]] = {
    "starts_with_string": pc.starts_with,
    "ends_with_string": pc.ends_with,
    "contains_string": pc.match_substring,
    "matches": pc.match_substring_regex,
    "matches_string": pc.match_substring_regex,
}


@dataclass(frozen=True)
class Condition:
    """A checked condition.

    Attributes:
        names: the columns and lists that it reads.
    """

    names: frozenset[str]
    _evaluate: _Node

    def where(self, column: Column, n: int) -> NDArray[np.bool_]:
        """Whether it holds, ``(n,)`` bool.

        Args:
            column: gives what ``names`` name.
            n: rows.
        """
        found = self._evaluate(column)
        if isinstance(found, pa.Scalar):
            return np.full(n, found.as_py(), bool)
        return np.asarray(found.to_numpy(zero_copy_only=False), bool)


class Environment:
    """The names that conditions may use.

    Args:
        types: of each name.

    Raises:
        UsageError: the compiler is not installed.
    """

    def __init__(self, types: Mapping[str, Type]) -> None:
        try:
            from cel_expr_python import cel
        except ImportError as error:
            raise UsageError(
                "Rules need the CEL compiler, which is not installed.", "Install the extra: fraudline[rules]."
            ) from error
        kinds = {"double": cel.Type.DOUBLE, "int": cel.Type.INT, "string": cel.Type.STRING, "bool": cel.Type.BOOL}
        kinds["list"] = cel.Type.List(cel.Type.STRING)
        self._probe = {name: [] if kind == "list" else pa.array([0]).cast(_ARROW[kind]) for name, kind in types.items()}
        self._compiler = cel.NewEnv(variables={name: kinds[kind] for name, kind in types.items()})

    def compile(self, text: str) -> Condition:
        """Check a condition and make it ready to evaluate.

        Raises:
            UsageError: it is no condition; ``problem`` has line and column, and what was expected.
        """
        try:
            checked = self._compiler.compile(text)
        except RuntimeError as error:
            raise UsageError(_said(str(error)), "Correct the condition.") from error
        if (kind := str(checked.return_type())) != "BOOL":
            raise UsageError(f"it gives {kind}, not true or false", "Compare it with something.")
        tree = _Tree(text, checked.serialize())
        condition = Condition(frozenset(tree.names), tree.root)
        try:
            condition.where(self._probe.__getitem__, 1)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise UsageError(f"it cannot be evaluated: {error}", "Correct the condition.") from error
        return condition


def _said(text: str) -> str:
    found = _WRONG.search(text)
    if found is None:
        return text
    hint = "; a fraction is compared with a fraction: write 5.0, not 5" if _FRACTION in found["what"] else ""
    return f"line {found['line']}, column {found['column']}: {found['what'].strip()}{hint}"


class _Tree:
    """The compiler's checked tree as nested functions of the columns."""

    def __init__(self, text: str, serialized: bytes) -> None:
        from google.protobuf.any_pb2 import Any as Packed

        self._text = text
        self._checked = _message("CheckedExpr").FromString(Packed.FromString(serialized).value)
        self._overloads = {entry.key: list(entry.value.overload_id) for entry in self._checked.reference_map}
        self.names: set[str] = set()
        self.root = self._node(self._checked.expr)

    def _node(self, expr: Any) -> _Node:
        if expr.HasField("const_expr"):
            scalar = pa.scalar(_constant(expr))
            return lambda _: scalar
        if expr.HasField("ident_expr"):
            name = expr.ident_expr.name
            self.names.add(name)
            return lambda column: column(name)
        if expr.HasField("call_expr"):
            return self._call(expr)
        raise self._refused(expr, "this has no meaning for a transaction")

    def _call(self, expr: Any) -> _Node:
        call = expr.call_expr
        arguments = [*([call.target] if call.HasField("target") else ()), *call.args]
        overload = next(iter(self._overloads.get(expr.id, ())), "")
        if overload == "in_list":
            return self._membership(*arguments)
        if overload in _PATTERNS and arguments[1].HasField("const_expr"):
            kernel, text = partial(_PATTERNS[overload], pattern=_constant(arguments[1])), self._node(arguments[0])
            return lambda column: kernel(text(column))
        if overload not in _KERNELS:
            raise self._refused(expr, f"{call.function} on these ({overload}) is not among what rules can do")
        apply, nodes = _KERNELS[overload], [self._node(argument) for argument in arguments]
        return lambda column: apply(*(node(column) for node in nodes))

    def _membership(self, item: Any, among: Any) -> _Node:
        value = self._node(item)
        if among.HasField("ident_expr"):
            name = among.ident_expr.name
            self.names.add(name)
            return lambda column: _listed(value(column), column(name))
        elements = among.list_expr.elements
        if not among.HasField("list_expr") or not all(element.HasField("const_expr") for element in elements):
            raise self._refused(among, "the right side of `in` is a named list or constants in brackets")
        constants = [pa.scalar(_constant(element)) for element in elements]
        return lambda column: _any_of(value(column), constants)

    def _refused(self, expr: Any, what: str) -> UsageError:
        at = next((entry.value for entry in self._checked.source_info.positions if entry.key == expr.id), 0)
        line, column = self._text.count("\n", 0, at) + 1, at - self._text.rfind("\n", 0, at)
        return UsageError(f"line {line}, column {column}: {what}", "Correct the condition.")


def _constant(expr: Any) -> Any:
    ((_, value),) = expr.const_expr.ListFields() or [(None, None)]
    return value


def _listed(values: Any, members: Collection[str]) -> Any:
    if isinstance(values, pa.Scalar):
        return pa.scalar(values.as_py() in members)
    return pa.array([value in members for value in values.to_pylist()], pa.bool_())


def _any_of(values: Any, constants: Sequence[Any]) -> Any:
    return reduce(pc.or_, [pc.equal(values, constant) for constant in constants], pa.scalar(False))


_FIELDS: Mapping[str, Sequence[tuple[str, int, str]]] = {
    "CheckedExpr": [("reference_map", 2, "References*"), ("expr", 4, "Expr"), ("source_info", 5, "SourceInfo")],
    "References": [("key", 1, "int64"), ("value", 2, "Reference")],
    "Reference": [("overload_id", 3, "string*")],
    "SourceInfo": [("positions", 4, "Positions*")],
    "Positions": [("key", 1, "int64"), ("value", 2, "int32")],
    "Expr": [("id", 2, "int64"), ("const_expr", 3, "Constant"), ("ident_expr", 4, "Ident"), ("call_expr", 6, "Call"),
             ("list_expr", 7, "CreateList")],
    "Constant": [("bool_value", 2, "bool"), ("int64_value", 3, "int64"), ("uint64_value", 4, "uint64"),
                 ("double_value", 5, "double"), ("string_value", 6, "string")],
    "Ident": [("name", 1, "string")],
    "Call": [("target", 1, "Expr"), ("function", 2, "string"), ("args", 3, "Expr*")],
    "CreateList": [("elements", 1, "Expr*")],
}  # fmt: skip
"""What is read of cel.expr's checked.proto and syntax.proto (google/cel-spec): name, number, type; ``*``: repeated."""


@lru_cache(maxsize=1)
def _pool() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool

    file = descriptor_pb2.FileDescriptorProto(name="fraudline/cel.proto", package="fraudline.cel", syntax="proto2")
    field = descriptor_pb2.FieldDescriptorProto
    for message, fields in _FIELDS.items():
        described = file.message_type.add(name=message)
        for name, number, kind in fields:
            plain = kind.removesuffix("*")
            label = field.LABEL_REPEATED if plain != kind else field.LABEL_OPTIONAL
            added = described.field.add(name=name, number=number, label=label)
            if plain in _FIELDS:
                added.type, added.type_name = field.TYPE_MESSAGE, f".fraudline.cel.{plain}"
            else:
                added.type = field.Type.Value(f"TYPE_{plain.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


@lru_cache
def _message(name: str) -> Any:
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"fraudline.cel.{name}"))
