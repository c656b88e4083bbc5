"""The model artifact: a folder whose digest is its name, verified before a byte of it is parsed.

    model.json      what the model is (:class:`ModelMeta`)
    model.onnx      raw features in, score, contributions and expected values out
    savedmodel/1/   the same graph for TensorFlow Serving and GPUs (not byte-reproducible: hashed, not named)
    golden.parquet  rows with the scores that every server must reproduce
    reference/      distributions of the training data, for drift and skew; the scores that thresholds were chosen on
    card.md         the model card
    manifest.json   {"format": 1, "digest": ..., "files": {path: sha256}, "unnamed": {path: sha256}}
    model.sig, release.json   who made it, and its number (:mod:`fraudline.model.signature`); outside the digest

``load_artifact(folder, expected_digest)`` reads each file once and hands out those verified bytes, so a file changed
after the check is never used. Stable: format 1 will be readable by every later version.
"""

import io
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fraudline.core.digest import digest_of, sha256_bytes
from fraudline.core.documents import parse_json
from fraudline.core.errors import ArtifactError, DigestMismatch, UsageError
from fraudline.core.files import write_json
from fraudline.core.settings import Settings
from fraudline.features.spec import FeatureSpec
from fraudline.features.table import TableSpec
from fraudline.model import signature
from fraudline.model.contents import check_name, check_onnx, check_schema, check_size
from fraudline.model.saved_model import check_saved_model
from fraudline.model.signature import ANYBODY, BESIDE, NEIGHBOUR, Trust
from fraudline.model.thresholds import Thresholds

FORMAT = 1
MANIFEST = "manifest.json"
REQUIRED = ("golden.parquet", "model.json", "model.onnx")
UNNAMED_PREFIX = "savedmodel/"
MAX_MANIFEST_BYTES = 1 << 20
MAX_FILE_BYTES = 1 << 30
_HEX = re.compile(r"[0-9a-f]{64}")
_REBUILD = "Fetch the artifact again from its store, or run the train step."


class TrainedOn(Settings):
    """The days whose known normals the model was fitted on: half-open, ISO dates."""

    start: str
    end: str
    rows: int


class ModelMeta(Settings):
    """The content of ``model.json``."""

    format: int
    name: str
    feature_spec: dict[str, Any]
    architecture: dict[str, Any]
    thresholds: Thresholds
    data_md5: str
    params: dict[str, Any]
    formats: tuple[str, ...]
    reasons: str
    trained_on: TrainedOn
    contamination: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Artifact:
    """A verified artifact. ``content`` holds the verified bytes of every named file, by relative path."""

    path: Path
    digest: str
    spec: FeatureSpec | TableSpec
    meta: ModelMeta
    content: Mapping[str, bytes]

    @property
    def version(self) -> str:
        """The first 12 hex digits of the digest: the model version stamped on decisions."""
        return self.digest[:12]

    @property
    def card_spec(self) -> FeatureSpec:
        """The specification of a model of cards: what the feature engine needs.

        Raises:
            ArtifactError: it is a model of a table.
        """
        if isinstance(self.spec, TableSpec):
            raise ArtifactError(
                f"The model {self.version} scores rows of the table {self.spec.name}, not transactions of cards.",
                "Serve it with `fraudline serve`, or name a model of cards.",
            )
        return self.spec

    @property
    def thresholds(self) -> Thresholds:
        """The review and block thresholds chosen in training."""
        return self.meta.thresholds

    @property
    def onnx(self) -> bytes:
        """The verified ONNX graph."""
        return self.content["model.onnx"]

    def table(self, name: str) -> pa.Table:
        """A verified parquet file of the artifact, for example ``golden.parquet`` or ``reference/features.parquet``.

        Raises:
            ArtifactError: there is no such file, or it is not parquet.
        """
        if name not in self.content:
            raise ArtifactError(f"The artifact {self.version} has no {name}.", _REBUILD)
        try:
            file = pq.ParquetFile(io.BytesIO(self.content[name]))
            check_schema(file.schema_arrow, name)
            check_size(file.metadata, name)
            return file.read()
        except (pa.ArrowException, OSError) as error:
            raise ArtifactError(f"{name} of the artifact {self.version} is not parquet: {error}.", _REBUILD) from error


def write_manifest(folder: Path) -> str:
    """Hash every file under ``folder`` and write its manifest.

    Returns:
        The digest: hex SHA-256 over all files but those of ``savedmodel/`` and the manifest.

    Raises:
        ArtifactError: a required file is missing, or something is not a regular file.
    """
    paths = [path for path in _walk(folder) if path not in (MANIFEST, *BESIDE, NEIGHBOUR)]
    hashes = {path: sha256_bytes(_read(folder, path)) for path in paths}
    named = {path: value for path, value in hashes.items() if not path.startswith(UNNAMED_PREFIX)}
    unnamed = {path: value for path, value in hashes.items() if path.startswith(UNNAMED_PREFIX)}
    _require(named, folder)
    digest = digest_of(named)
    write_json(folder / MANIFEST, {"format": FORMAT, "digest": digest, "files": named, "unnamed": unnamed})
    return digest


def load_artifact(folder: Path, expected_digest: str | None = None, trust: Trust = ANYBODY) -> Artifact:
    """Verify an artifact folder, then parse it.

    Args:
        folder: the artifact; it may itself be reached through a link, nothing inside it may be one.
        expected_digest: the full digest that the caller was told to load, if any.
        trust: whose signature it must have, if any.

    Raises:
        DigestMismatch: a file is changed, missing or extra, or the digest is not ``expected_digest``.
        ArtifactError: the folder is no artifact, holds a link or hostile content, is of another format, or not signed
            as ``trust`` asks.
    """
    digest, content = verify(folder, expected_digest, trust)
    meta, spec = _parse_model(content["model.json"])
    return Artifact(folder, digest, spec, meta, MappingProxyType(content))


def verify(folder: Path, expected_digest: str | None = None, trust: Trust = ANYBODY) -> tuple[str, dict[str, bytes]]:
    """Check every file of an artifact against its manifest, then its signature, then what it contains.

    Returns:
        The digest, and the verified bytes of the named files by relative path.

    Raises:
        DigestMismatch: a file is changed, missing or extra, or the digest is not ``expected_digest``.
        ArtifactError: the folder is no artifact, holds a link or hostile content, or is not signed as ``trust`` asks.
    """
    present = set(_walk(folder))
    if MANIFEST not in present:
        raise ArtifactError(f"{folder} has no {MANIFEST}: it is not a model artifact.", _REBUILD)
    manifest = _read(folder, MANIFEST, MAX_MANIFEST_BYTES)
    digest, named, unnamed = _parse_manifest(manifest)
    if expected_digest is not None and digest != expected_digest:
        short = digest.startswith(expected_digest)
        raise DigestMismatch(
            f"{folder} holds the model {digest if short else digest[:12]}, but {expected_digest[:12]} was asked for.",
            "Give all 64 digits." if short else "Correct the storage address or the digest.",
        )
    _require(named, folder)
    listed = set(named) | set(unnamed) | {MANIFEST}
    beside = present & set(BESIDE)
    present -= {*beside, NEIGHBOUR}
    if present != listed:
        extra, missing = sorted(present - listed), sorted(listed - present)
        raise DigestMismatch(f"{folder}: extra files {extra[:5]}, missing files {missing[:5]}.", _REBUILD)
    content = {path: _checked(folder, path, value) for path, value in named.items()}
    for path, value in unnamed.items():
        unread = _checked(folder, path, value)
        if path.endswith("saved_model.pb"):
            check_saved_model(unread)
    if trust.public_key:
        aside = {path: _read(folder, path, MAX_MANIFEST_BYTES) for path in beside}
        signature.check(trust, digest, {**named, **unnamed, MANIFEST: manifest, **aside})
    check_onnx(content["model.onnx"])
    return digest, content


def _parse_model(raw: bytes) -> tuple[ModelMeta, FeatureSpec | TableSpec]:
    values = parse_json(raw, "model.json", wrong=ArtifactError, action=_REBUILD)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ArtifactError(f"model.json is not of format {FORMAT}.", "Upgrade fraudline, or rebuild the artifact.")
    try:
        meta = ModelMeta.parse(values, "model.json")
        kind = TableSpec if meta.feature_spec.get("kind") == "table" else FeatureSpec
        return meta, kind.from_dict(meta.feature_spec)
    except UsageError as error:
        raise ArtifactError(error.problem, _REBUILD) from error


def _parse_manifest(raw: bytes) -> tuple[str, dict[str, str], dict[str, str]]:
    manifest = parse_json(raw, MANIFEST, wrong=ArtifactError, action=_REBUILD)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtifactError(f"{MANIFEST} is not of format {FORMAT}.", "Upgrade fraudline, or rebuild the artifact.")
    named, unnamed = _hashes(manifest.get("files")), _hashes(manifest.get("unnamed"))
    if any(path.startswith(UNNAMED_PREFIX) for path in named):
        raise ArtifactError(f"{MANIFEST} names a file of {UNNAMED_PREFIX}.", _REBUILD)
    if not all(path.startswith(UNNAMED_PREFIX) for path in unnamed):
        raise ArtifactError(f"{MANIFEST} leaves a file outside {UNNAMED_PREFIX} unnamed.", _REBUILD)
    for path in (*named, *unnamed):
        check_name(path)
    if manifest.get("digest") != digest_of(named):
        raise DigestMismatch(f"{MANIFEST}: its digest does not cover the files it lists.", _REBUILD)
    return digest_of(named), named, unnamed


def _hashes(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) and _HEX.fullmatch(v) for v in value.values()):
        raise ArtifactError(f"{MANIFEST} is malformed: files and unnamed map a path to a SHA-256.", _REBUILD)
    return value


def _checked(folder: Path, path: str, expected: str) -> bytes:
    content = _read(folder, path)
    if sha256_bytes(content) != expected:
        raise DigestMismatch(f"{folder}: {path} is not the file that the manifest describes.", _REBUILD)
    return content


def _require(named: Mapping[str, str], folder: Path) -> None:
    missing = [path for path in REQUIRED if path not in named]
    if missing:
        raise ArtifactError(f"{folder} lacks {', '.join(missing)}.", _REBUILD)


def _walk(folder: Path) -> list[str]:
    """Relative POSIX paths of all files; a link or a special file anywhere is refused."""
    if not folder.is_dir():
        raise ArtifactError(f"{folder} is not a folder.", "Name the folder of a model artifact.")
    found: list[str] = []
    pending = [""]
    while pending:
        parent = pending.pop()
        with os.scandir(folder / parent) as entries:
            for entry in entries:
                path = f"{parent}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{path}/")
                elif entry.is_file(follow_symlinks=False):
                    found.append(path)
                else:
                    raise ArtifactError(f"{folder}: {path} is a link or a special file.", _REBUILD)
    return sorted(found)


def _read(folder: Path, path: str, limit: int = MAX_FILE_BYTES) -> bytes:
    """All bytes of a regular file, never through a link."""
    try:
        handle = os.open(folder / path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        raise ArtifactError(f"{folder}: {path} cannot be read: {error.strerror}.", _REBUILD) from error
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            raise ArtifactError(f"{folder}: {path} is not a regular file under {limit} bytes.", _REBUILD)
        return stream.read()
