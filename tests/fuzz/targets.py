"""The parsers of everything that comes from outside, each as a function of bytes that may raise one kind of error."""

import atexit
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from fraudline.core.errors import ArtifactError, FraudlineError, MessageError, StateError, UsageError
from fraudline.core.masking import mask_bytes
from fraudline.core.sealing import KeysOfFile, unsealed
from fraudline.data.importers.table import Mapping
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.spec import load_spec
from fraudline.model.artifact import MANIFEST, load_artifact
from fraudline.model.contents import check_onnx
from fraudline.model.saved_model import check_saved_model
from fraudline.model.signature import Trust, check
from fraudline.serve.dataplane import StrictDataPlane, decode_json, parse_binary_request
from fraudline.serve.payload import parse_instances
from fraudline.stream.checkpoint import Checkpoint, CheckpointStore
from fraudline.stream.decoding import Decoder
from fraudline.stream.messages import encode
from tests.support.artifacts import tiny_artifact
from tests.support.transactions import table_of, transaction
from tests.unit.stream.fakes import GOOD


@dataclass(frozen=True)
class Target:
    """A parser: what it does with bytes, what it may raise, and good input to begin from."""

    parse: Callable[[bytes], Any]
    refuses: type[FraudlineError]
    seeds: Callable[[], list[bytes]]

    def run(self, content: bytes) -> bool:
        """Whether it took the bytes; anything but a refusal comes out as it is."""
        try:
            self.parse(content)
        except self.refuses:
            return False
        return True


_SPEC = load_spec()
_NAMES = tuple(_SPEC.names)
_decoder = Decoder(_SPEC.currencies)
_EVENT = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": dict.fromkeys(_NAMES, 1.0)}
_TENSOR = {"name": "features", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": 4}}
_V2 = json.dumps({"inputs": [_TENSOR]}).encode()
_SAVED_MODEL = b"\x08\x01\x12\x0f\x12\x0d\x0a\x0b\x0a\x01x\x12\x06MatMul"
"""One graph with one operation."""
_MAPPING = """\
name: bank
columns:
  transaction_id: {column: id}
  event_time: {column: time, format: "%Y-%m-%d"}
  card_id: {column: card}
  merchant_id: {column: shop}
  amount_minor: {column: amount, unit: minor}
  currency: {constant: EUR}
  channel: {constant: pos}
"""


@cache
def _folder(name: str) -> Path:
    folder = Path(mkdtemp(prefix=f"fraudline-fuzz-{name}-"))
    atexit.register(rmtree, folder, ignore_errors=True)
    return folder


@cache
def _model() -> Path:
    return tiny_artifact(_folder("model") / "model")


@cache
def _read(name: str) -> bytes:
    return (_model() / name).read_bytes()


def _plane() -> StrictDataPlane:
    return StrictDataPlane.__new__(StrictDataPlane)


def _structured(content: bytes) -> None:
    body, _ = _plane().decode(content, {"content-type": "application/cloudevents+json"})
    parse_instances(body, _NAMES)


def _binary_event(content: bytes) -> None:
    headers = {f"ce-{name}": "1.0" for name in ("specversion", "id", "source", "type")}
    body, _ = _plane().decode(content, headers)
    parse_instances(body, _NAMES)


def _v1(content: bytes) -> None:
    parse_instances(decode_json(content, "body"), _NAMES)


def _v2(content: bytes) -> None:
    size, _, body = content.partition(b"\n")
    parse_binary_request(body, size.decode("latin-1"), "fraud")


def _manifest(content: bytes) -> None:
    (_model() / MANIFEST).write_bytes(content)
    load_artifact(_model())


def _meta(content: bytes) -> None:
    from fraudline.model.artifact import _parse_model

    _parse_model(content)


def _signature(content: bytes) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    path = _folder("key") / "key.pub"
    if not path.exists():
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        path.write_bytes(key.public_bytes(serialization.Encoding.PEM, form))
    check(Trust(public_key=str(path)), "0" * 64, {"model.sig": content, "release.json": content})


def _checkpoint(content: bytes) -> None:
    import hashlib

    store = CheckpointStore(_folder("checkpoint"), group="g", topic="t")
    store.path(0).parent.mkdir(parents=True, exist_ok=True)
    store.path(0).write_bytes(content + hashlib.sha256(content).digest())
    found = store.load(0)
    if found is not None:
        FeatureEngine(load_spec()).restore(found.state)


def _checkpoint_seeds() -> list[bytes]:
    store = CheckpointStore(_folder("seed"), group="g", topic="t")
    some = Checkpoint(
        partition=0, next_offset=5, last_digest="d", last_offset=4, spec_version="s", profile_version="p", written_at=1,
        seen=b"seen",
    )  # fmt: skip
    engine = FeatureEngine(load_spec())
    engine.advance(columns_from_table(table_of([transaction(i, card_id=f"c{i}") for i in range(3)])))
    store.save(some, engine.freeze())
    return [store.path(0).read_bytes()[:-32]]


def _sealed(content: bytes) -> None:
    for _ in unsealed(io.BytesIO(content), KeysOfFile({"k": b"0" * 32}), b"x"):
        pass


def _sealed_seeds() -> list[bytes]:
    from fraudline.core.sealing import Sealer

    out = io.BytesIO()
    with Sealer(out, KeysOfFile({"k": b"0" * 32}), b"x") as sealer:
        sealer.write(b"content" * 20)
    return [out.getvalue()]


def _mapping(content: bytes) -> None:
    path = _folder("mapping") / "map.yaml"
    path.write_bytes(content)
    Mapping.load(path)


def _mask(content: bytes) -> None:
    once = mask_bytes(content)
    if len(once) != len(content) or mask_bytes(once) != once:
        raise AssertionError(content)


TARGETS: dict[str, Target] = {
    "transaction": Target(_decoder.decode, MessageError, lambda: [encode(GOOD)]),
    "transactions": Target(
        lambda content: _decoder.decode_all(content.split(b"\n")), MessageError, lambda: [encode(GOOD)]
    ),
    "structured CloudEvent": Target(_structured, MessageError, lambda: [json.dumps(_EVENT).encode()]),
    "binary CloudEvent": Target(_binary_event, MessageError, lambda: [json.dumps(_EVENT["data"]).encode()]),
    "V1 body": Target(_v1, MessageError, lambda: [json.dumps({"instances": [_EVENT["data"]]}).encode()]),
    "V2 binary body": Target(_v2, MessageError, lambda: [b"%d\n" % len(_V2) + _V2 + b"    "]),
    "artifact manifest": Target(_manifest, ArtifactError, lambda: [_read(MANIFEST)]),
    "artifact model.json": Target(_meta, ArtifactError, lambda: [_read("model.json")]),
    "artifact ONNX": Target(check_onnx, ArtifactError, lambda: [_read("model.onnx")]),
    "artifact SavedModel": Target(check_saved_model, ArtifactError, lambda: [_SAVED_MODEL]),
    "artifact signature": Target(
        _signature, ArtifactError, lambda: [b'{"dsseEnvelope": {"payload": "", "signatures": []}}']
    ),
    "checkpoint": Target(_checkpoint, StateError, _checkpoint_seeds),
    "sealed file": Target(_sealed, StateError, _sealed_seeds),
    "mapping YAML": Target(_mapping, UsageError, lambda: [_MAPPING.encode()]),
    "masking": Target(_mask, MessageError, lambda: [b"card 4111 1111 1111 1111 and 1735689600000000"]),
}
