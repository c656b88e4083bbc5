"""The graph as ONNX and as a SavedModel: raw features in; score, contributions and expected values out."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from fraudline.model.canonical import write
from fraudline.model.network import ScoreGraph
from fraudline.model.scorer import INPUT, OUTPUTS

OPSET = 17


def write_onnx(graph: ScoreGraph, path: Path) -> None:
    """Write the graph as ONNX; the same graph gives the same bytes in any process."""
    import tf2onnx

    serve = graph.serve

    def ordered(features: tf.Tensor) -> tuple[tf.Tensor, ...]:
        outputs = serve(features)
        return tuple(tf.identity(outputs[name], name=name) for name in OUTPUTS)

    function = tf.function(ordered, input_signature=serve.input_signature, autograph=False)
    model, _ = tf2onnx.convert.from_function(function, input_signature=serve.input_signature, opset=OPSET)
    _name_outputs(model)
    _fuse_limits(model.graph)
    write(model, path)


def write_savedmodel(graph: ScoreGraph, folder: Path) -> None:
    """Write the graph as a SavedModel with the signature ``serving_default``."""
    tf.saved_model.save(graph, str(folder), signatures={"serving_default": graph.serve})


def _name_outputs(model: Any) -> None:
    """Give the outputs the names of ``OUTPUTS`` and the input its plain name, whatever the converter called them."""
    renames = {item.name: name for item, name in zip(model.graph.output, OUTPUTS, strict=True)}
    renames |= {item.name: INPUT for item in model.graph.input}
    for node in model.graph.node:
        node.input[:] = [renames.get(name, name) for name in node.input]
        node.output[:] = [renames.get(name, name) for name in node.output]
    for item in (*model.graph.input, *model.graph.output):
        item.name = renames[item.name]
        item.type.tensor_type.shape.dim[0].dim_param = "n"


def _fuse_limits(graph: Any) -> None:
    """Write the minimum and the maximum of a value and a constant as ``Clip``, one inside the other as a single one."""
    scalars = {constant.name for constant in graph.initializer if not constant.dims}
    makers = {node.output[0]: node for node in graph.node}
    for kind in ("Min", "Max"):
        for node in [node for node in graph.node if node.op_type == kind and len(node.input) == 2]:
            limits = [name for name in node.input if name in scalars]
            if len(limits) != 1:
                continue
            value = next(name for name in node.input if name not in scalars)
            highest = [] if kind == "Max" else limits
            inside = makers.get(value)
            if kind == "Max" and inside is not None and inside.op_type == "Clip" and not any(inside.input[1:2]):
                value, highest = inside.input[0], list(inside.input[2:])
            node.op_type = "Clip"
            node.input[:] = [value, limits[0] if kind == "Max" else "", *highest]
