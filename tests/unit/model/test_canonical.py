"""One graph, one sequence of bytes, whatever order and names the converter chose."""

import random

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from fraudline.core.errors import ArtifactError
from fraudline.model.canonical import canonicalise


def _graph(seed):
    """y = relu(x·w + b) + c·c; z = x·w — with shuffled nodes, other names and a node that nobody needs."""
    rng = random.Random(seed)
    tag = f"s{seed}"
    constants = {
        f"w{tag}": np.arange(6, dtype=np.float32).reshape(3, 2),
        f"b{tag}": np.array([1, -9], np.float32),
        f"c{tag}": np.array([2], np.float32),
        f"d{tag}": np.array([2], np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", f"w{tag}"], ["z"], name=f"a{seed}"),
        helper.make_node("Add", ["z", f"b{tag}"], [f"t{tag}"], name=f"b{rng.random()}"),
        helper.make_node("Relu", [f"t{tag}"], [f"r{tag}"]),
        helper.make_node("Mul", [f"c{tag}", f"d{tag}"], [f"m{tag}"]),
        helper.make_node("Add", [f"r{tag}", f"m{tag}"], ["y"]),
        helper.make_node("Neg", ["x"], [f"unused{tag}"]),
    ]
    rng.shuffle(nodes)
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    rng.shuffle(initializers)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("y", "z")],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _bytes(seed):
    model = _graph(seed)
    canonicalise(model)
    return model.SerializeToString(deterministic=True)


def test_order_and_names_of_the_converter_do_not_change_a_byte():
    assert len({_bytes(seed) for seed in range(8)}) == 1


def test_it_computes_the_same():
    raw = _bytes(3)
    onnx.checker.check_model(onnx.load_from_string(raw))
    x = np.array([[1, 2, 3], [-4, 0, 1]], np.float32)
    y, z = onnxruntime.InferenceSession(raw).run(["y", "z"], {"x": x})
    product = x @ np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(z, product)
    np.testing.assert_array_equal(y, np.maximum(product + np.array([1, -9], np.float32), 0) + 4)


def test_another_constant_gives_other_bytes():
    model = _graph(0)
    constant = next(item for item in model.graph.initializer if item.name.startswith("b"))
    constant.CopyFrom(numpy_helper.from_array(np.array([1, -8], np.float32), constant.name))
    canonicalise(model)
    assert model.SerializeToString(deterministic=True) != _bytes(0)


def test_equal_constants_are_one_and_unused_nodes_are_gone():
    model = onnx.load_from_string(_bytes(1))
    assert len(model.graph.initializer) == 3
    assert "Neg" not in {node.op_type for node in model.graph.node}


def test_a_nested_graph_is_refused():
    model = _graph(0)
    inner = helper.make_graph([], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], ["q"], then_branch=inner, else_branch=inner))
    with pytest.raises(ArtifactError, match="nested"):
        canonicalise(model)
