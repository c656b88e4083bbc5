"""What a SavedModel may call: arithmetic, calls of its own functions, and files only where its variables are kept.

    check_saved_model(content)       # of saved_model.pb; nothing is run

TensorFlow has some 1,900 operators, and each release more; among them are some that read, write or delete files, open
ports, or end the process. So this is a list of what is allowed. A SavedModel keeps its variables by two calls, which
its ``saver_def`` names: only what these two reach may touch files, and nothing that is served or runs at loading does.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from fraudline.core.errors import ArtifactError
from fraudline.model.contents import TAKE_FROM_YOUR_OWN, fields_of

_ARITHMETIC = """
Abs Add AddN AddV2 All Any ArgMax ArgMin AssignVariableOp BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchToSpaceND
BiasAdd BroadcastArgs BroadcastTo Bucketize Cast Ceil CheckNumerics ClipByValue Concat ConcatV2 Const Conv1D Conv2D
Cos Cumprod Cumsum DepthwiseConv2dNative DisableCopyOnRead DynamicStitch Einsum Elu Empty EnsureShape Equal Erf Erfc
Exp ExpandDims Expm1 Fill Floor FloorDiv FloorMod FusedBatchNormV3 Gather GatherNd GatherV2 Greater GreaterEqual
Identity IdentityN InvertPermutation IsFinite IsInf IsNan L2Loss LeakyRelu Less LessEqual Lgamma LinSpace Log Log1p
LogSoftmax LogicalAnd LogicalNot LogicalOr MatMul MatrixBandPart MatrixDiagV3 Max MaxPool Maximum Mean Min Minimum
Mod Mul MulNoNan Neg NoOp NotEqual OneHot OnesLike Pack Pad PadV2 ParallelConcat Placeholder
PlaceholderWithDefault Pow PreventGradient Prod Range Rank ReadVariableOp RealDiv Reciprocal Relu Relu6 Reshape
ResourceGather ReverseSequence ReverseV2 Rint Round Rsqrt ScatterNd Select SelectV2 Selu Shape ShapeN Sigmoid Sign
Sin Size Slice Softmax Softplus Softsign SpaceToBatchND Split SplitV Sqrt Square SquaredDifference Squeeze
StaticRegexFullMatch StopGradient StridedSlice StringJoin Sub Sum Tan Tanh TensorListElementShape
TensorListFromTensor TensorListGetItem TensorListReserve TensorListSetItem TensorListStack Tile TopKV2 Transpose
TruncateDiv Unpack UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentSum VarHandleOp VarIsInitializedOp Where Xdivy
Xlogy ZerosLike
PartitionedCall StatefulPartitionedCall If StatelessIf While StatelessWhile Case StatelessCase
"""
_PLAIN = frozenset(_ARITHMETIC.split())
_RESTORING = frozenset({"RestoreV2"})
_SAVING = frozenset({"SaveV2", "MergeV2Checkpoints", "ShardedFilename", "ShardedFilespec"})
_NODE_NAME, _NODE_OP, _NODE_INPUT, _NODE_ATTRIBUTE = 1, 2, 3, 5


@dataclass(slots=True)
class _Graph:
    """Nodes of a graph, or of one of its functions; what the saver needs of them."""

    calls: set[str] = field(default_factory=set)
    """Operators that touch files."""

    reaches: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By a node's name the functions that it calls."""

    inputs: set[str] = field(default_factory=set)
    """Names of nodes that others depend on."""


def check_saved_model(content: bytes) -> None:
    """Refuse a SavedModel that can do more than compute, and keep its variables.

    Raises:
        ArtifactError: the reason; also bytes that are no protobuf message.
    """
    try:
        for meta in _messages(content, 2):
            _check(meta)
    except IndexError as error:
        raise ArtifactError("saved_model.pb is not a SavedModel.", "Build the artifact again.") from error


def _check(meta: bytes) -> None:
    graph, functions = _Graph(), defaultdict[str, _Graph](_Graph)
    for definition in _messages(meta, 2):
        _read_nodes(graph, _messages(definition, 1))
        for library in _messages(definition, 2):
            for function in _messages(library, 1):
                names = [_text(name) for signature in _messages(function, 1) for name in _messages(signature, 1)]
                _read_nodes(functions[names[-1] if names else ""], _messages(function, 3))
    saver = [*_messages(meta, 3)]
    saving = {_node(name) for each in saver for name in _messages(each, 2)}
    restoring = {_node(name) for each in saver for name in _messages(each, 3)}
    named = [part for number in (4, 5) for part in _messages(meta, number)]  # collections and signatures
    for name in saving | restoring:
        if name in graph.inputs or any(name.encode() in part for part in named):
            _refuse(f"serves {name}, which keeps its variables")
    served = {to for name, names in graph.reaches.items() if name not in saving | restoring for to in names}
    restored = {to for name in restoring for to in graph.reaches[name]}
    saved = _closure({to for name in saving for to in graph.reaches[name]}, functions) if saving else set()
    _forbid(graph.calls, "in its graph")
    for name in _closure(served, functions) | (functions.keys() - saved - _closure(restored, functions)):
        _forbid(functions[name].calls, f"in {name}")
    for name in _closure(restored, functions):
        _forbid(functions[name].calls - _RESTORING, f"in {name}")


def _read_nodes(graph: _Graph, nodes: Iterable[bytes]) -> None:
    for node in nodes:
        fields = defaultdict[int, list[bytes]](list)
        for number, value in fields_of(node):
            if isinstance(value, bytes):
                fields[number].append(value)
        for operator in map(_text, fields[_NODE_OP]):
            if operator in _RESTORING | _SAVING:
                graph.calls.add(operator)
            elif operator not in _PLAIN:
                _refuse(f"calls {operator:.60}")
        graph.inputs.update(map(_node, fields[_NODE_INPUT]))
        called = {to for attribute in fields[_NODE_ATTRIBUTE] for to in _called(attribute)}
        for name in fields[_NODE_NAME] or [b""] if called else ():
            graph.reaches[_text(name)] |= called


def _called(attribute: bytes) -> Iterator[str]:
    """The functions that an attribute of a node names."""
    for value in _messages(attribute, 2):
        for number, content in fields_of(value):
            if isinstance(content, bytes) and number in (1, 10):  # a list, or one function
                for function in _messages(content, 9) if number == 1 else [content]:
                    yield from map(_text, _messages(function, 1))


def _closure(begin: set[str], functions: Mapping[str, _Graph]) -> set[str]:
    """The functions that these call, and they themselves."""
    found, ahead = set[str](), [*begin]
    while ahead:
        name = ahead.pop()
        if name not in found and name in functions:
            found.add(name)
            ahead += [to for names in functions[name].reaches.values() for to in names]
    return found


def _forbid(calls: set[str], where: str) -> None:
    for operator in sorted(calls):
        _refuse(f"calls {operator} {where:.80}, beyond keeping its variables")


def _refuse(what: str) -> None:
    raise ArtifactError(f"saved_model.pb {what}: it may only compute.", TAKE_FROM_YOUR_OWN)


def _messages(content: bytes, number: int) -> Iterator[bytes]:
    """The fields of that number; as readers do, only those that hold bytes."""
    for found, value in fields_of(content):
        if found == number and isinstance(value, bytes):
            yield value


def _node(name: bytes) -> str:
    """The node of a tensor's or a control input's name."""
    return _text(name).removeprefix("^").split(":")[0]


def _text(name: bytes) -> str:
    return name.decode(errors="replace")
