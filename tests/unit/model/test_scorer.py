"""The scorer gives the golden scores, and refuses what the model was not made for."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fraudline.core.errors import ArtifactError, MessageError
from fraudline.model import scorer as scorer_module
from fraudline.model.artifact import load_artifact, write_manifest
from fraudline.model.golden import read_golden
from fraudline.model.scorer import GraphScorer, Scorer
from tests.support.artifacts import tiny_artifact


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifact(tmp_path_factory.mktemp("scorer") / "model")


@pytest.fixture(scope="module")
def scorer(folder: Path) -> Scorer:
    return Scorer(load_artifact(folder))


def test_the_golden_rows_are_reproduced_and_contributions_sum_to_the_score(scorer: Scorer) -> None:
    features, golden = read_golden(scorer.artifact.table("golden.parquet"), scorer.names)
    scores = scorer.score(features)
    np.testing.assert_allclose(scores.score, golden.score, rtol=1e-5)
    np.testing.assert_allclose(scores.contributions, golden.contributions, rtol=1e-5)
    np.testing.assert_allclose(scores.expected, golden.expected, rtol=1e-5)
    np.testing.assert_allclose(scores.contributions.sum(axis=1), scores.score, rtol=1e-5)


def test_a_large_matrix_is_scored_in_pieces_with_the_same_result(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = np.random.default_rng(0).normal(size=(25, len(scorer.names))).astype(np.float32)
    whole = scorer.score(features)
    monkeypatch.setattr(scorer_module, "CHUNK_ROWS", 10)
    pieces = scorer.score(features)
    np.testing.assert_array_equal(pieces.score, whole.score)
    np.testing.assert_array_equal(pieces.contributions, whole.contributions)


_SCORE_A_ROW = """
import sys
from pathlib import Path
import numpy as np
from fraudline.model.artifact import load_artifact
from fraudline.model.scorer import Scorer

scorer = Scorer(load_artifact(Path(sys.argv[1])))
print(scorer.score(np.zeros((1, len(scorer.names)), np.float32)).score.shape)
"""


def test_scoring_keeps_no_identifier_of_the_machine_for_telemetry(folder: Path, tmp_path: Path) -> None:
    """ONNX Runtime's builds for Linux would look for Microsoft's collector, and keep an id of the device in HOME."""
    home = {**os.environ, "HOME": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    home = {name: value for name, value in home.items() if name not in {"ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"}}
    done = subprocess.run(
        [sys.executable, "-c", _SCORE_A_ROW, str(folder)], env=home, capture_output=True, text=True, check=True
    )
    assert done.stdout == "(1,)\n"
    assert [path.name for path in tmp_path.rglob("*") if "microsoft" in str(path).lower()] == []


def test_no_rows_give_no_scores(scorer: Scorer) -> None:
    assert scorer.score(np.empty((0, len(scorer.names)), np.float32)).score.shape == (0,)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_with_row_and_feature(scorer: Scorer, value: float) -> None:
    features = np.zeros((4, len(scorer.names)), np.float32)
    features[2, 1] = value
    with pytest.raises(MessageError, match=f"Row 2: the feature {scorer.names[1]}"):
        scorer.score(features)


@pytest.mark.parametrize("shape", [(3,), (2, 5), (1, 2, 3)])
def test_a_matrix_of_the_wrong_shape_is_refused(scorer: Scorer, shape: tuple[int, ...]) -> None:
    with pytest.raises(MessageError, match="shape"):
        scorer.score(np.zeros(shape, np.float32))


def test_bytes_that_are_no_graph_are_an_artifact_error(tmp_path: Path) -> None:
    folder = tiny_artifact(tmp_path / "model")
    (folder / "model.onnx").write_bytes(b"no graph")
    write_manifest(folder)
    with pytest.raises(ArtifactError, match="not an ONNX graph"):
        Scorer(load_artifact(folder))


def test_a_graph_of_another_width_or_with_other_outputs_is_refused(folder: Path) -> None:
    onnx = (folder / "model.onnx").read_bytes()
    with pytest.raises(ArtifactError, match="features"):
        GraphScorer(onnx, ("only", "two"))
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph(
        [node], "other", [value("x", TensorProto.FLOAT, ["n", 2])], [value("y", TensorProto.FLOAT, ["n", 2])]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ArtifactError, match="outputs"):
        GraphScorer(model.SerializeToString(), ("a", "b"))
