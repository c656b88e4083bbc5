"""One ONNX graph, one sequence of bytes.

The converter orders nodes and counts names by iterating over sets, so its file differs from process to process (by
``PYTHONHASHSEED``) although the graph is the same. The artifact's name is a digest over that file: it is written in
one order, with names counted in that order.
"""

from pathlib import Path
from typing import Any

from fraudline.core.errors import ArtifactError
from fraudline.core.files import atomic_file


def canonicalise(model: Any) -> None:
    """Bring a graph into its one form, in place: what it computes does not change.

    Nodes stand in the order in which the outputs need them; values and constants are named by that order, equal
    constants are one; nodes and constants that no output needs are dropped.

    Args:
        model: an ``onnx.ModelProto`` without nested graphs; the names of its inputs and outputs stay.

    Raises:
        ArtifactError: a node holds a nested graph, or the graph has a cycle.
    """
    graph = model.graph
    if any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute):
        raise ArtifactError("The exported graph holds a nested graph.", "Write the model without loops and branches.")
    nodes = _needed_order(graph)
    kept = {item.name: item.name for item in (*graph.input, *graph.output)}
    constants = {item.name: item for item in graph.initializer}
    unique: dict[bytes, str] = {}
    ordered: list[Any] = []
    names = {"": "", **kept}
    for position, node in enumerate(nodes):
        for name in node.input:
            if name in constants and name not in names:
                names[name] = unique.setdefault(_content(constants[name]), f"c{len(unique)}")
                if len(unique) > len(ordered):
                    ordered.append(constants[name])
        for place, name in enumerate(node.output):
            names.setdefault(name, f"v{position}_{place}")
    for node, position in zip(nodes, range(len(nodes)), strict=True):
        node.name, node.doc_string = f"n{position}", ""
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
        attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
        del node.attribute[:]
        node.attribute.extend(attributes)
    for constant in ordered:
        constant.name = names[constant.name]
    _replace(graph.node, nodes)
    _replace(graph.initializer, ordered)
    del graph.value_info[:]
    _replace(model.opset_import, sorted(model.opset_import, key=lambda opset: str(opset.domain)))


def write(model: Any, path: Path) -> None:
    """Write an ``onnx.ModelProto`` in its one form, under fraudline's name, whole or not at all.

    Raises:
        ArtifactError: as :func:`canonicalise`.
    """
    canonicalise(model)
    model.producer_name, model.producer_version, model.doc_string = "fraudline", "", ""
    model.graph.name, model.graph.doc_string = "fraudline", ""
    with atomic_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


def _needed_order(graph: Any) -> list[Any]:
    """Nodes in depth-first order from the outputs: a node stands after all that it needs."""
    maker = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    done: dict[int, bool] = {}  # False: begun, True: placed
    order: list[Any] = []
    pending = [(maker[item.name], False) for item in reversed(graph.output) if item.name in maker]
    while pending:
        index, ready = pending.pop()
        if ready:
            done[index] = True
            order.append(graph.node[index])
        elif index not in done:
            done[index] = False
            pending.append((index, True))
            needs = [maker[name] for name in graph.node[index].input if name in maker]
            if any(done.get(need) is False for need in needs):
                raise ArtifactError("The exported graph has a cycle.", "Report the versions of the lock files.")
            pending.extend((need, False) for need in reversed(needs) if need not in done)
    return order


def _content(constant: Any) -> bytes:
    """A constant without its name."""
    copy = type(constant)()
    copy.CopyFrom(constant)
    copy.name, copy.doc_string = "", ""
    content: bytes = copy.SerializeToString(deterministic=True)
    return content


def _replace(field: Any, items: list[Any]) -> None:
    copies = []
    for item in items:
        copy = type(item)()
        copy.CopyFrom(item)
        copies.append(copy)
    del field[:]
    field.extend(copies)
