"""What the converter's graph becomes before it is written."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from fraudline.model.export import _fuse_limits

ROWS = np.array([[-3, -0.5, 0], [0.25, 1, 7]], np.float32)


def _graph() -> onnx.ModelProto:
    """Limits on both sides, on one side, on one side twice and once more, and of two values: y, z."""
    constants = {"low": -1.0, "high": 1.0, "none": 0.0, "least": -2.0}
    nodes = [
        helper.make_node("Min", ["x", "high"], ["a"]),
        helper.make_node("Max", ["low", "a"], ["b"]),
        helper.make_node("Min", ["b", "none"], ["c"]),
        helper.make_node("Max", ["a", "none"], ["d"]),
        helper.make_node("Max", ["b", "least"], ["twice"]),
        helper.make_node("Add", ["a", "c"], ["e"]),
        helper.make_node("Add", ["e", "d"], ["f"]),
        helper.make_node("Add", ["f", "twice"], ["y"]),
        helper.make_node("Max", ["x", "b"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("y", "z")],
        [numpy_helper.from_array(np.float32(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _run(model: onnx.ModelProto) -> list[np.ndarray]:
    onnx.checker.check_model(model)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(["y", "z"], {"x": ROWS})


def test_limits_become_clips_that_give_the_same() -> None:
    model = _graph()
    before = _run(model)
    _fuse_limits(model.graph)
    for fused, plain in zip(_run(model), before, strict=True):
        np.testing.assert_array_equal(fused, plain)
    assert [node.op_type for node in model.graph.node] == [*["Clip"] * 5, *["Add"] * 3, "Max"]
    both = model.graph.node[1]
    assert list(both.input) == ["x", "low", "high"]
