import json
import shutil
from contextlib import closing, nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from fraudline.core.errors import ArtifactError, DigestMismatch, UsageError
from fraudline.features.spec import load_spec
from fraudline.model.artifact import load_artifact, write_manifest
from fraudline.stream.champion import ChampionWatch, first_champion, proven
from tests.support.artifacts import tiny_artifact, tree_artifact
from tests.support.until import until


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return tiny_artifact(tmp_path / "old", seed=0)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return tiny_artifact(tmp_path / "new", seed=1)


def point(folder: Path, model: Path, digest: str = "") -> Path:
    path = folder / "champion.yaml"
    beside = folder / ".champion.yaml"
    beside.write_text(yaml.safe_dump({"uri": model.name, "digest": digest or load_artifact(model).digest}))
    return beside.replace(path)


def watching(path: Path, model: Path) -> closing[ChampionWatch]:
    return closing(ChampionWatch(path, load_artifact(model), interval_s=0.01, again_s=0.02))


def test_a_changed_pointer_gives_the_new_champion_once(tmp_path: Path, old: Path, new: Path) -> None:
    path = point(tmp_path, old)
    with watching(path, old) as watch:
        assert watch.take() is None
        point(tmp_path, new)
        scorer = until(watch.take)
        assert scorer.artifact.digest == load_artifact(new).digest
        assert watch.take() is None
        point(tmp_path, old)
        assert until(watch.take).artifact.digest == load_artifact(old).digest


def test_a_broken_champion_is_refused_with_a_reason_and_taken_when_it_is_mended(
    tmp_path: Path, old: Path, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = load_artifact(new).digest
    whole = (new / "model.onnx").read_bytes()
    (new / "model.onnx").write_bytes(whole[:-1] + b"x")
    with watching(point(tmp_path, old), old) as watch:
        point(tmp_path, new, digest)
        assert "model.onnx is not the file" in str(until(lambda: watch.problem))
        assert watch.take() is None
        (new / "model.onnx").write_bytes(whole)
        assert until(watch.take).artifact.digest == digest
        assert watch.problem == ""
    assert "".join(capsys.readouterr()).count("champion.refused") == 1


def test_a_champion_that_misses_its_golden_scores_is_refused(tmp_path: Path, old: Path, new: Path) -> None:
    shutil.copy(old / "golden.parquet", new / "golden.parquet")
    write_manifest(new)
    with watching(point(tmp_path, old), old) as watch:
        point(tmp_path, new)
        assert "golden scores" in str(until(lambda: watch.problem))
        assert watch.take() is None


def test_a_champion_is_held_to_its_golden_scores_as_closely_as_the_pipeline_held_it(tmp_path: Path) -> None:
    model = tree_artifact(tmp_path / "model")
    golden = pq.read_table(model / "golden.parquet")
    scores = golden["score"].to_numpy()
    for off, refused in ((8e-6, False), (2e-5, True)):  # seven digits of a float32, and a little more than that
        table = golden.set_column(golden.column_names.index("score"), "score", pa.array(scores * np.float32(1 + off)))
        pq.write_table(table, model / "golden.parquet")
        write_manifest(model)
        with pytest.raises(ArtifactError, match="golden scores") if refused else nullcontext():
            proven(load_artifact(model))


def test_a_champion_of_another_feature_spec_is_refused_while_the_worker_runs(tmp_path: Path, old: Path) -> None:
    other = tiny_artifact(tmp_path / "other", spec=load_spec().without(["weekend"]))
    with watching(point(tmp_path, old), old) as watch:
        point(tmp_path, other)
        assert "feature spec" in str(until(lambda: watch.problem))
        assert watch.take() is None


@pytest.mark.parametrize(
    "content", ["", "uri: x", "[", "uri: s3://bucket/model\ndigest: a", "uri: file://[x\ndigest: a"]
)
def test_a_pointer_that_names_nothing_here_is_refused(tmp_path: Path, old: Path, content: str) -> None:
    path = point(tmp_path, old)
    with watching(path, old) as watch:
        path.write_text(content)
        until(lambda: watch.problem)
        assert watch.take() is None
        point(tmp_path, old)
        until(lambda: not watch.problem)
        assert watch.take() is None, "it is in use already"


def test_a_pointer_that_goes_away_is_said_and_the_champion_stays(tmp_path: Path, old: Path) -> None:
    path = point(tmp_path, old)
    with watching(path, old) as watch:
        path.unlink()
        assert "cannot be read" in str(until(lambda: watch.problem))
        assert watch.take() is None


def test_a_worker_begins_with_the_champion_or_with_the_model_it_was_given(tmp_path: Path, old: Path, new: Path) -> None:
    path = point(tmp_path, new)
    assert first_champion(path, old).digest == load_artifact(new).digest
    point(tmp_path, new, "0" * 64)
    assert first_champion(path, old).digest == load_artifact(old).digest
    with pytest.raises(DigestMismatch):
        first_champion(path, None)
    assert issubclass(DigestMismatch, ArtifactError)
    with pytest.raises(UsageError):
        first_champion(tmp_path / "missing.yaml", None)
    shutil.copy(old / "golden.parquet", new / "golden.parquet")
    write_manifest(new)
    point(tmp_path, new)
    assert first_champion(path, old).digest == load_artifact(old).digest
    with pytest.raises(ArtifactError, match="golden scores"):
        first_champion(path, None)


@pytest.mark.parametrize("uri", ["http://[::1", "m" * 5_000, "a\0b", "s3://models/new"])
def test_a_pointer_that_names_no_folder_that_can_be_had_leaves_the_model_that_was_given(
    tmp_path: Path, old: Path, uri: str
) -> None:
    path = tmp_path / "champion.yaml"
    path.write_text(json.dumps({"uri": uri, "digest": "0" * 64}))
    assert first_champion(path, old).digest == load_artifact(old).digest
