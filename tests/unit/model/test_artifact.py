"""An artifact is used only when every byte of it is what its digest says."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fraudline.core.errors import ArtifactError, DigestMismatch
from fraudline.model.artifact import MAX_FILE_BYTES, MAX_MANIFEST_BYTES, load_artifact, write_manifest
from tests.support.artifacts import tiny_artifact


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_artifact(tmp_path_factory.mktemp("artifact") / "model")
    (folder / "savedmodel" / "1").mkdir(parents=True)
    (folder / "savedmodel" / "1" / "saved_model.pb").write_bytes(b"\x08\x01")
    write_manifest(folder)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "model"))


def flip(path: Path, position: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(bytes(content))


def test_an_untouched_artifact_loads_with_its_specification_and_thresholds(folder: Path) -> None:
    artifact = load_artifact(folder)
    assert artifact.version == artifact.digest[:12]
    assert artifact.thresholds.review == 0.6
    assert artifact.spec.to_dict() == artifact.meta.feature_spec
    assert artifact.table("golden.parquet").num_rows == 64


def test_a_digest_cut_short_is_asked_for_whole(folder: Path) -> None:
    digest = load_artifact(folder).digest
    with pytest.raises(DigestMismatch, match=digest) as caught:
        load_artifact(folder, digest[:12])
    assert "64" in caught.value.action


def test_the_same_model_has_the_same_digest_and_another_seed_another(tmp_path: Path) -> None:
    first, again = tiny_artifact(tmp_path / "a", seed=1), tiny_artifact(tmp_path / "b", seed=1)
    other = tiny_artifact(tmp_path / "c", seed=2)
    assert load_artifact(first).digest == load_artifact(again).digest != load_artifact(other).digest


@pytest.mark.parametrize(
    "name",
    [
        "model.onnx",
        "model.json",
        "golden.parquet",
        "card.md",
        "reference/quantiles.parquet",
        "savedmodel/1/saved_model.pb",
    ],
)
def test_one_flipped_bit_in_any_file_is_refused(folder: Path, name: str) -> None:
    flip(folder / name, (folder / name).stat().st_size // 2)
    with pytest.raises(DigestMismatch, match=name):
        load_artifact(folder)


def add_extra(folder: Path) -> None:
    (folder / "extra.py").write_text("import os")


def add_extra_beside_the_savedmodel(folder: Path) -> None:
    (folder / "savedmodel" / "1" / "assets.extra").mkdir()
    (folder / "savedmodel" / "1" / "assets.extra" / "x").write_text("x")


def remove_reference(folder: Path) -> None:
    (folder / "reference" / "quantiles.parquet").unlink()


def remove_savedmodel(folder: Path) -> None:
    shutil.rmtree(folder / "savedmodel")


def swap_two_files(folder: Path) -> None:
    card, model = folder / "card.md", folder / "model.json"
    content = card.read_bytes()
    card.write_bytes(model.read_bytes())
    model.write_bytes(content)


def edit_model_and_its_hash_only(folder: Path) -> None:
    from fraudline.core.digest import sha256_file

    flip(folder / "model.onnx", 10)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["model.onnx"] = sha256_file(folder / "model.onnx")
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "tamper",
    [
        add_extra,
        add_extra_beside_the_savedmodel,
        remove_reference,
        remove_savedmodel,
        swap_two_files,
        edit_model_and_its_hash_only,
    ],
)
def test_a_tampered_folder_is_refused(folder: Path, tamper: Callable[[Path], None]) -> None:
    tamper(folder)
    with pytest.raises(DigestMismatch):
        load_artifact(folder)


def test_the_provenance_that_kserve_fetches_along_with_a_folder_of_a_bucket_does_no_harm(folder: Path) -> None:
    digest = load_artifact(folder).digest
    (folder / ".provenance.json").write_text("{}")  # the rest of <digest>.provenance.json, which begins with the digest
    assert load_artifact(folder, digest).digest == digest
    (folder / "reference" / ".provenance.json").write_text("{}")
    with pytest.raises(DigestMismatch, match="extra files"):
        load_artifact(folder)


def test_a_consistently_rewritten_artifact_is_refused_when_its_digest_was_named(folder: Path) -> None:
    named = load_artifact(folder).digest
    (folder / "card.md").write_text("another card")
    write_manifest(folder)
    load_artifact(folder)
    with pytest.raises(DigestMismatch, match=named[:12]):
        load_artifact(folder, expected_digest=named)


def test_the_wrong_digest_is_told_before_any_file_is_parsed(folder: Path) -> None:
    (folder / "model.json").write_text("{ not json")
    write_manifest(folder)
    with pytest.raises(DigestMismatch):
        load_artifact(folder, expected_digest="0" * 64)


def link_a_file(folder: Path) -> None:
    target = folder.parent / "card.md"
    (folder / "card.md").rename(target)
    (folder / "card.md").symlink_to(target)


def link_a_folder(folder: Path) -> None:
    target = folder.parent / "reference"
    (folder / "reference").rename(target)
    (folder / "reference").symlink_to(target)


@pytest.mark.parametrize("tamper", [link_a_file, link_a_folder])
def test_a_link_inside_the_folder_is_refused_even_with_the_right_bytes(
    folder: Path, tamper: Callable[[Path], None]
) -> None:
    tamper(folder)
    with pytest.raises(ArtifactError, match="link"):
        load_artifact(folder)


@pytest.mark.parametrize(
    "manifest",
    [
        "[]",
        "{",
        '{"format": 2}',
        '{"format": 1, "digest": "", "files": {"model.onnx": "short"}, "unnamed": {}}',
        '{"format": 1, "digest": "", "files": {"savedmodel/x": "' + "0" * 64 + '"}, "unnamed": {}}',
        '{"format": 1, "digest": "", "files": {}, "unnamed": {"model.onnx": "' + "0" * 64 + '"}}',
        "[" * 100_000,
        '{"format": ' + "1" * 5_000 + "}",
    ],
)
def test_a_malformed_manifest_is_an_artifact_error(folder: Path, manifest: str) -> None:
    (folder / "manifest.json").write_text(manifest)
    with pytest.raises(ArtifactError):
        load_artifact(folder)


def test_a_file_too_large_to_be_one_of_an_artifact_is_refused_before_it_is_read(folder: Path) -> None:
    os.truncate(folder / "manifest.json", MAX_MANIFEST_BYTES + 1)
    with pytest.raises(ArtifactError, match="manifest.json is not a regular file under"):
        load_artifact(folder)
    write_manifest(folder)
    os.truncate(folder / "golden.parquet", MAX_FILE_BYTES + 1)  # sparse: it takes no room on the disk
    with pytest.raises(ArtifactError, match="golden.parquet is not a regular file under"):
        load_artifact(folder)


def test_a_folder_without_manifest_or_without_a_graph_is_no_artifact(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match="not a model artifact"):
        load_artifact(tmp_path / "empty")
    with pytest.raises(ArtifactError, match="not a folder"):
        load_artifact(tmp_path / "nowhere")
    (folder / "model.onnx").unlink()
    with pytest.raises(ArtifactError, match=r"model\.onnx"):
        write_manifest(folder)


def test_a_model_of_an_unknown_format_or_with_wrong_fields_is_refused(folder: Path) -> None:
    values = json.loads((folder / "model.json").read_text())
    for change in ({"format": 2}, {"surprise": 1}, {"thresholds": {"review": 2.0, "block": 1.0}}, {"feature_spec": {}}):
        (folder / "model.json").write_text(json.dumps(values | change))
        write_manifest(folder)
        with pytest.raises(ArtifactError):
            load_artifact(folder)


def test_a_table_that_is_missing_or_no_parquet_is_an_artifact_error(folder: Path) -> None:
    (folder / "golden.parquet").write_bytes(b"not parquet")
    write_manifest(folder)
    artifact = load_artifact(folder)
    with pytest.raises(ArtifactError, match="not parquet"):
        artifact.table("golden.parquet")
    with pytest.raises(ArtifactError, match="has no"):
        artifact.table("reference/none.parquet")
