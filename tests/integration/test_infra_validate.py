"""The step infra_validate with the real server, on artifacts that are right and wrong."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraudline.core.errors import ArtifactError, DigestMismatch
from fraudline.model.artifact import load_artifact, write_manifest
from fraudline.steps.infra_validate import TOLERANCE, Golden, difference, infra_validate, mismatch, savedmodel_scores
from fraudline.steps.params import Params
from tests.support.artifacts import tiny_artifact, tree_artifact

pytestmark = pytest.mark.integration


def test_every_protocol_reproduces_the_golden_scores(tmp_path: Path) -> None:
    model = tiny_artifact(tmp_path / "model")
    result = infra_validate(model=model, report=tmp_path / "report", params=Params())
    written = json.loads((tmp_path / "report" / "infra.json").read_text())
    assert written["ok"] is True
    assert written["digest"] == result["digest"] == load_artifact(model).digest
    assert set(written["differences"]) == {
        "v1",
        "v2_json",
        "v2_binary",
        "cloudevents_structured",
        "cloudevents_binary",
    }
    assert result["max_difference"] <= 1e-5
    assert result["rows"] == 64


def test_a_score_that_is_not_reproduced_stops_the_pipeline_with_protocol_row_and_both_values(tmp_path: Path) -> None:
    model = tiny_artifact(tmp_path / "model")
    golden = pq.read_table(model / "golden.parquet")
    scores = golden["score"].to_numpy().copy()
    right = f"{scores[17]:.9f}"[:7]
    scores[17] += 1e-3
    index = golden.column_names.index("score")
    pq.write_table(golden.set_column(index, "score", pa.array(scores)), model / "golden.parquet")
    write_manifest(model)
    with pytest.raises(ArtifactError, match=r"v1: row 17 has the score") as caught:
        infra_validate(model=model, report=tmp_path / "report", params=Params())
    assert right in caught.value.problem
    assert f"{float(np.float32(scores[17]))!r}" in caught.value.problem
    written = json.loads((tmp_path / "report" / "infra.json").read_text())
    assert written["ok"] is False
    assert written["differences"]["v2_binary"] > 1e-4


def test_a_changed_artifact_is_refused_before_a_server_is_started(tmp_path: Path) -> None:
    model = tiny_artifact(tmp_path / "model")
    (model / "card.md").write_text("another card")
    with pytest.raises(DigestMismatch, match=r"card\.md"):
        infra_validate(model=model, report=tmp_path / "report", params=Params())
    assert not (tmp_path / "report").exists()


def test_a_savedmodel_is_held_to_the_golden_scores_too(tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    signature = tf.TensorSpec((None, 3), tf.float32, name="features")
    serve = tf.function(lambda features: {"score": tf.reduce_sum(features, axis=1)}, input_signature=[signature])
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"serving_default": serve})
    features = np.random.default_rng(0).normal(size=(1100, 3)).astype(np.float32)
    golden = Golden(("a", "b", "c"), features, features.sum(axis=1), features)
    found = savedmodel_scores(tmp_path / "1", golden)
    assert len(found) == 1100
    assert difference(found, golden.scores) <= TOLERANCE
    assert mismatch("savedmodel", found, golden) == ""
    found[3] = np.nan
    assert mismatch("savedmodel", found, golden).startswith("savedmodel: row 3 has the score nan")
    with pytest.raises(ArtifactError, match="savedmodel"):
        savedmodel_scores(tmp_path / "2", golden)


def test_a_supervised_challenger_is_served_by_the_same_predictor_and_its_reasons_are_checked(tmp_path: Path) -> None:
    model = tree_artifact(tmp_path / "model")
    infra_validate(model=model, report=tmp_path / "report", params=Params())
    written = json.loads((tmp_path / "report" / "infra.json").read_text())
    assert written["ok"] is True
    assert written["reasons"]["method"] == "tree-shap"
    assert written["reasons"]["difference"] <= TOLERANCE


def test_reasons_that_are_not_reproduced_stop_the_pipeline(tmp_path: Path) -> None:
    model = tiny_artifact(tmp_path / "model")
    golden = pq.read_table(model / "golden.parquet")
    name = "contribution:amount"
    changed = golden[name].to_numpy() + np.float32(1e-2)
    pq.write_table(
        golden.set_column(golden.column_names.index(name), name, pa.array(changed)), model / "golden.parquet"
    )
    write_manifest(model)
    with pytest.raises(ArtifactError, match="exact-shares: contributions differ"):
        infra_validate(model=model, report=tmp_path / "report", params=Params())


def test_without_the_servers_package_no_server_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fraudline.steps.infra_validate.find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError) as missing:
        infra_validate(model=tiny_artifact(tmp_path / "model"), report=tmp_path / "report", params=Params())
    assert missing.value.name == "kserve"  # the command line names the extra that has it
