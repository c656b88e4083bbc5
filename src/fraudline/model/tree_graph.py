"""Tree ensembles as ONNX: raw features in, score and expected values out, alone or behind an autoencoder's graph.

The nodes of :class:`~fraudline.model.trees.TreeTable` are written as they stand, whatever library grew them, so that
what is served is what is explained.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.model.canonical import write
from fraudline.model.scorer import HYBRID_OUTPUTS, INPUT, INSIDE, SHARES
from fraudline.model.trees import LEAF, TreeTable

OPSET, ML_OPSET = 17, 3
IR_VERSION = 8
_RENAMED = "inside_"


def write_tree_onnx(table: TreeTable, centre: NDArray[np.float32], path: Path) -> None:
    """Write trees over raw features.

    Args:
        table: the ensemble.
        centre: (d,) float32, what is expected of each feature: the same for every row.
        path: the file.
    """
    from onnx import helper, numpy_helper

    nodes = [
        *_trees(table, INPUT),
        helper.make_node("Mul", [INPUT, "nothing"], ["blank"]),
        helper.make_node("Add", ["blank", "centre"], ["expected"]),
    ]
    constants = {"nothing": np.zeros(1, np.float32), "centre": centre.astype(np.float32), "flat": np.array([-1])}
    graph = helper.make_graph(
        nodes,
        "fraudline",
        [_value(INPUT, len(centre))],
        [_value("score"), _value("expected", len(centre))],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    write(helper.make_model(graph, opset_imports=_opsets(), ir_version=IR_VERSION), path)


def write_hybrid_onnx(table: TreeTable, autoencoder: Path, width: int, path: Path) -> None:
    """Write trees over raw features, the autoencoder's score and its contributions, as one graph.

    Args:
        table: the ensemble over 2 d + 1 columns: features, score, contributions.
        autoencoder: its ``model.onnx``.
        width: d.
        path: the file.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(autoencoder))
    names = {"score": INSIDE, "contributions": SHARES}
    for node in model.graph.node:
        for field in (node.input, node.output):
            field[:] = [names.get(name, name if name in ("", INPUT, "expected") else _RENAMED + name) for name in field]
    for constant in model.graph.initializer:
        constant.name = _RENAMED + constant.name
    model.graph.node.extend(
        [
            helper.make_node("Reshape", [INSIDE, "column"], ["inside_column"]),
            helper.make_node("Concat", [INPUT, "inside_column", SHARES], ["columns"], axis=1),
            *_trees(table, "columns"),
        ]
    )
    model.graph.initializer.extend(
        [numpy_helper.from_array(np.array([-1, 1]), "column"), numpy_helper.from_array(np.array([-1]), "flat")]
    )
    del model.graph.output[:]
    wide = ("expected", SHARES)
    model.graph.output.extend([_value(name, width if name in wide else None) for name in HYBRID_OUTPUTS])
    del model.opset_import[:]
    model.opset_import.extend(_opsets())
    model.ir_version = IR_VERSION
    write(model, path)


def _trees(table: TreeTable, source: str) -> list[Any]:
    """The ensemble over the columns of ``source``, giving ``score``."""
    from onnx import helper

    leaf = table.feature == LEAF
    first = table.roots[table.tree]
    number = np.arange(len(table.tree)) - first  # nodes are counted tree by tree
    ensemble = helper.make_node(
        "TreeEnsembleRegressor",
        [source],
        ["margin"],
        domain="ai.onnx.ml",
        n_targets=1,
        base_values=[-table.mean],
        nodes_treeids=table.tree.tolist(),
        nodes_nodeids=number.tolist(),
        nodes_featureids=np.where(leaf, 0, table.feature).tolist(),
        nodes_modes=["LEAF" if is_leaf else "BRANCH_LEQ" for is_leaf in leaf.tolist()],
        nodes_values=table.threshold.tolist(),
        nodes_truenodeids=np.where(leaf, 0, table.left - first).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, table.right - first).tolist(),
        nodes_missing_value_tracks_true=[0] * len(leaf),
        target_treeids=table.tree[leaf].tolist(),
        target_nodeids=number[leaf].tolist(),
        target_ids=[0] * int(leaf.sum()),
        target_weights=table.value[leaf].tolist(),
    )
    return [ensemble, helper.make_node("Reshape", ["margin", "flat"], ["score"])]


def _value(name: str, width: int | None = None) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"] if width is None else ["n", width])


def _opsets() -> list[Any]:
    from onnx import helper

    return [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
