"""An artifact that is not what was named and signed is never ready, and a hostile one is refused before it runs."""

import errno
import io
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from onnx import TensorProto, helper

from fraudline.core.errors import ArtifactError, FraudlineError, UsageError
from fraudline.model.artifact import MANIFEST, load_artifact, write_manifest
from fraudline.model.saved_model import check_saved_model
from fraudline.model.scorer import Scorer
from fraudline.model.signature import RELEASE, SIGNATURE, Trust, sign
from fraudline.ops.local.predictor import LocalPredictor
from fraudline.stream.champion import proven
from tests.support.artifacts import tiny_artifact
from tests.support.figures import Figure, sized


def write_keys(folder: Path, curve: ec.EllipticCurve | None = None) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(curve or ec.SECP256R1())
    private, public = folder / "key.pem", folder / "key.pub"
    pkcs8 = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, serialization.NoEncryption()))
    shown = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, shown))
    return private, public


def tiny_with_savedmodel(folder: Path, seed: int = 0) -> Path:
    tiny_artifact(folder, seed=seed)
    (folder / "savedmodel" / "1" / "variables").mkdir(parents=True)
    (folder / "savedmodel" / "1" / "saved_model.pb").write_bytes(b"\x08\x01" + b"\x52\x05graph" * 40)
    (folder / "savedmodel" / "1" / "variables" / "variables.index").write_bytes(b"index" * 40)
    write_manifest(folder)
    return folder


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, keys: tuple[Path, Path]) -> list[Path]:
    """An old release and a new one, each of another model."""
    folders = []
    for release in (1, 2):
        folder = tiny_with_savedmodel(tmp_path_factory.mktemp("signed") / "model", seed=release)
        sign(folder, load_artifact(folder).digest, keys[0], release)
        folders.append(folder)
    return folders


@pytest.fixture(scope="module")
def trust(keys: tuple[Path, Path]) -> Trust:
    return Trust(public_key=str(keys[1]), minimum_release=2)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flip(folder: Path, rng: random.Random, _: Path) -> None:
    path = rng.choice([path for path in files(folder) if path.stat().st_size])
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def cut(folder: Path, rng: random.Random, _: Path) -> None:
    path = rng.choice(files(folder))
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size or 1)])


def remove(folder: Path, rng: random.Random, _: Path) -> None:
    rng.choice(files(folder)).unlink()


def add(folder: Path, rng: random.Random, _: Path) -> None:
    name = rng.choice(["x", "weights.pkl", "model.keras", ".hidden", "conftest.py", "a/b/c", "savedmodel/1/assets/x"])
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(rng.randbytes(rng.randrange(40)))


def swap(folder: Path, rng: random.Random, _: Path) -> None:
    one, other = rng.sample(files(folder), 2)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def of_the_other_release(folder: Path, rng: random.Random, old: Path) -> None:
    some = [path for path in files(old) if path.read_bytes() != (folder / path.relative_to(old)).read_bytes()]
    for path in rng.sample(some, rng.randrange(1, len(some) + 1)):
        shutil.copyfile(path, folder / path.relative_to(old))


def link_out(folder: Path, rng: random.Random, old: Path) -> None:
    path = rng.choice(files(folder))
    kept = folder.parent / f"kept-{rng.randrange(10**9)}"
    path.rename(kept)  # the very same bytes, elsewhere
    path.symlink_to(kept)


def link_folder(folder: Path, rng: random.Random, _: Path) -> None:
    inner = rng.choice([folder / "reference", folder / "savedmodel"])
    kept = folder.parent / f"kept-{rng.randrange(10**9)}"
    inner.rename(kept)
    inner.symlink_to(kept)


def pipe(folder: Path, rng: random.Random, _: Path) -> None:
    path = rng.choice(files(folder))
    path.unlink()
    os.mkfifo(path)


def rebuilt_manifest(folder: Path, rng: random.Random, _: Path) -> None:
    """A thief without the key: the manifest is made to fit the changed file."""
    path = folder / rng.choice(["card.md", "model.json", "model.onnx"])
    path.write_bytes(path.read_bytes() + b"\n")
    write_manifest(folder)


def edited_json(folder: Path, rng: random.Random, _: Path) -> None:
    path = folder / rng.choice([MANIFEST, RELEASE, SIGNATURE])
    value = json.loads(path.read_text())
    key = rng.choice(list(value))
    value[key] = rng.choice([None, 3, 99, "x", [], {}, {"../../x": "0" * 64}, {"x": 5}])
    path.write_text(json.dumps(value))


MUTATIONS = (
    flip, cut, remove, add, swap, of_the_other_release, link_out, link_folder, pipe, rebuilt_manifest, edited_json,
)  # fmt: skip


def test_no_mutation_of_a_signed_artifact_is_ever_ready(
    signed: list[Path], trust: Trust, tmp_path: Path, figure: Figure
) -> None:
    """A signed artifact with one change: flipped bits, cut, missing, extra and swapped files, files of an older
    release, links and pipes, a manifest made to fit, edited JSON. Loaded as the server does: with key and minimum."""
    old, new = signed
    rng, seen = random.Random(6), Counter[str]()
    rounds = sized(220, 1_100, 11_000)
    for i in range(rounds):
        mutation = MUTATIONS[i % len(MUTATIONS)]
        folder = Path(shutil.copytree(new, tmp_path / f"{i}" / "model"))
        mutation(folder, rng, old)
        try:
            load_artifact(folder, trust=trust)
        except ArtifactError:
            seen[mutation.__name__] += 1
        else:
            pytest.fail(f"round {i}: {mutation.__name__} was loaded")
        shutil.rmtree(tmp_path / f"{i}")
    assert load_artifact(new, trust=trust).digest
    figure(f"{rounds} mutated signed artifacts, 0 loaded ({len(seen)} kinds of change)", rounds=rounds)


def test_an_old_signed_release_is_refused_where_a_minimum_is_set(signed: list[Path], trust: Trust) -> None:
    old, _ = signed
    assert load_artifact(old, trust=trust.model_copy(update={"minimum_release": 1}))
    with pytest.raises(ArtifactError, match="is release 1; the oldest that is loaded is 2"):
        load_artifact(old, trust=trust)


def test_the_release_of_an_old_artifact_cannot_be_raised_without_the_key(
    signed: list[Path], trust: Trust, tmp_path: Path
) -> None:
    old = Path(shutil.copytree(signed[0], tmp_path / "model"))
    record = json.loads((old / RELEASE).read_text()) | {"release": 9}
    (old / RELEASE).write_text(json.dumps(record))
    with pytest.raises(ArtifactError, match=r"of other files: release\.json"):
        load_artifact(old, trust=trust)


def test_another_key_and_no_signature_are_refused(signed: list[Path], tmp_path: Path) -> None:
    _, public = write_keys(tmp_path / "other")
    with pytest.raises(ArtifactError, match="not by the key"):
        load_artifact(signed[1], trust=Trust(public_key=str(public)))
    with pytest.raises(ArtifactError, match="is not signed"):
        load_artifact(tiny_artifact(tmp_path / "model"), trust=Trust(public_key=str(public)))


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_the_larger_curves_of_model_signing_verify(curve: ec.EllipticCurve, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, curve)
    folder = tiny_artifact(tmp_path / "model")
    sign(folder, load_artifact(folder).digest, private, 5)
    assert load_artifact(folder, trust=Trust(public_key=str(public), minimum_release=5))


def test_an_artifact_that_is_named_from_its_store_is_signed_again_with_another_key(
    signed: list[Path], keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(signed[0], tmp_path / "model"))
    (folder / ".provenance.json").write_text("{}")  # as fetched by KServe from a bucket
    private, public = write_keys(tmp_path / "other")
    monkeypatch.chdir(tmp_path)
    sign(Path("model"), load_artifact(folder).digest, private, 3)
    assert load_artifact(folder, trust=Trust(public_key=str(public), minimum_release=3))


def test_a_signature_stays_good_when_another_one_cannot_be_made(
    signed: list[Path], keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(signed[0], tmp_path / "model"))
    digest, trust = load_artifact(folder).digest, Trust(public_key=str(keys[1]))
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    (tmp_path / "rsa.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )
    for wrong in (tmp_path / "rsa.pem", tmp_path / "none.pem"):
        with pytest.raises(UsageError, match="is no EC private key"):
            sign(folder, digest, wrong, 9)
        assert load_artifact(folder, trust=trust)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("fraudline.model.signature.write_text", full)
    with pytest.raises(OSError, match="No space"):
        sign(folder, digest, keys[0], 9)
    assert load_artifact(folder, trust=trust)
    assert json.loads((folder / RELEASE).read_text())["release"] == 1


def test_the_command_line_of_model_signing_agrees_with_our_check(
    signed: list[Path], keys: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(signed[1], tmp_path / "model"))
    command = [sys.executable, "-m", "model_signing", "verify", "key", folder, "--signature", folder / SIGNATURE]
    command += ["--public_key", keys[1]]
    good = subprocess.run(command, capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stderr
    flip(folder, random.Random(1), folder)
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_bytes_that_change_after_the_check_are_not_those_that_are_loaded(tmp_path: Path) -> None:
    folder = tiny_artifact(tmp_path / "model")
    artifact = load_artifact(folder)
    rows = np.zeros((2, len(artifact.spec.names)), np.float32)
    before = Scorer(artifact).score(rows).score
    for path in files(folder):
        path.write_bytes(b"another")
    np.testing.assert_array_equal(Scorer(artifact).score(rows).score, before)
    assert artifact.table("golden.parquet").num_rows == 64


# ---- hostile, with a digest that fits -------------------------------------------------------------------------------


class Touch:
    """What a pickle of it does when it is loaded."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self._canary}",)


def pickle_beside(folder: Path, canary: Path) -> None:
    (folder / "model.pkl").write_bytes(pickle.dumps(Touch(canary)))


def pickle_as_model_json(folder: Path, canary: Path) -> None:
    (folder / "model.json").write_bytes(pickle.dumps(Touch(canary)))


def pickle_as_onnx(folder: Path, canary: Path) -> None:
    (folder / "model.onnx").write_bytes(pickle.dumps(Touch(canary)))


def pickle_as_golden(folder: Path, canary: Path) -> None:
    (folder / "golden.parquet").write_bytes(pickle.dumps(Touch(canary)))


def objects_in_numpy(folder: Path, canary: Path) -> None:
    np.save(folder / "reference" / "scores.npy", np.array([Touch(canary)], dtype=object))


def objects_in_numpy_as_golden(folder: Path, canary: Path) -> None:
    sink = io.BytesIO()
    np.save(sink, np.array([Touch(canary)], dtype=object))
    (folder / "golden.parquet").write_bytes(sink.getvalue())


def objects_in_parquet(folder: Path, canary: Path) -> None:
    table = pq.read_table(folder / "golden.parquet")
    table = table.append_column("evil", pa.array([pickle.dumps(Touch(canary))] * table.num_rows))
    pq.write_table(table, folder / "golden.parquet")


def a_table_without_end(folder: Path, canary: Path) -> None:
    """Millions of rows in a few kilobytes."""
    table = pa.table({"score": pa.array(np.zeros(1 << 20, np.float32))})
    with pq.ParquetWriter(folder / "golden.parquet", table.schema, compression="zstd") as writer:
        for _ in range(65):
            writer.write_table(table)


def extension_type_in_parquet(folder: Path, canary: Path) -> None:
    table = pq.read_table(folder / "golden.parquet")
    about = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Touch(canary)),
    }
    field = pa.field("evil", pa.int64(), metadata=about)
    pq.write_table(table.append_column(field, pa.array([1] * table.num_rows)), folder / "golden.parquet")


def keras_lambda(folder: Path, canary: Path) -> None:
    import zipfile

    config = {"class_name": "Lambda", "config": {"function": ["YnVsbA==", None, None], "canary": str(canary)}}
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(config))


def keras_metadata_in_savedmodel(folder: Path, canary: Path) -> None:
    (folder / "savedmodel" / "1").mkdir(parents=True)
    (folder / "savedmodel" / "1" / "saved_model.pb").write_bytes(b"\x08\x01")
    (folder / "savedmodel" / "1" / "keras_metadata.pb").write_bytes(b'{"class_name": "Lambda"}' + str(canary).encode())


def saved_model(folder: Path, graph: bytes) -> None:
    (folder / "savedmodel" / "1").mkdir(parents=True)
    (folder / "savedmodel" / "1" / "saved_model.pb").write_bytes(b"\x08\x01" + _field(2, _field(2, graph)))


def python_in_savedmodel(folder: Path, canary: Path) -> None:
    saved_model(folder, _field(1, _field(1, b"evil") + _field(2, b"PyFunc") + _field(3, str(canary).encode())))


def files_in_a_function_of_a_savedmodel(folder: Path, canary: Path) -> None:
    node = _field(1, b"evil") + _field(2, b"WriteFile") + _field(3, str(canary).encode())
    saved_model(folder, _field(2, _field(1, _field(3, node))))


def files_in_savedmodel_behind_a_length_of_two_bytes(folder: Path, canary: Path) -> None:
    saved_model(folder, _field(1, _field(1, b"evil") + b"\x12\x89\x00WriteFile" + _field(3, str(canary).encode())))


def a_reader_of_files_in_savedmodel(folder: Path, canary: Path) -> None:
    saved_model(folder, _field(1, _field(1, b"evil") + _field(2, b"TextLineDataset") + _field(3, b"/etc/hostname")))


def no_savedmodel(folder: Path, canary: Path) -> None:
    (folder / "savedmodel" / "1").mkdir(parents=True)
    (folder / "savedmodel" / "1" / "saved_model.pb").write_bytes(pickle.dumps(Touch(canary)))


def graph(folder: Path) -> onnx.ModelProto:
    return onnx.load_from_string((folder / "model.onnx").read_bytes())


def keep(folder: Path, model: onnx.ModelProto) -> None:
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def external_data(folder: Path, canary: Path) -> None:
    model = graph(folder)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")
    keep(folder, model)


def external_data_in_an_attribute(folder: Path, canary: Path) -> None:
    model = graph(folder)
    node = model.graph.node.add(op_type="Constant", output=["evil"])
    attribute = node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR)
    attribute.t.CopyFrom(TensorProto(dims=[1], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL))
    attribute.t.external_data.add(key="location", value="../../secret")
    keep(folder, model)


def external_data_in_a_subgraph(folder: Path, canary: Path) -> None:
    model = graph(folder)
    inner = helper.make_graph([], "inner", [], [])
    inner.initializer.add(name="x", data_type=1, data_location=TensorProto.EXTERNAL)
    branch = model.graph.node.add(op_type="If", input=["mu"], output=["evil"])
    branch.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g.CopyFrom(inner)
    keep(folder, model)


def external_data_behind_a_large_tag(folder: Path, canary: Path) -> None:
    entry = _field(1, b"location") + _field(2, b"/etc/hostname")
    tensor = _field(8, b"evil") + _varint((1 << 32) + (13 << 3 | 2)) + _length(entry) + entry
    with (folder / "model.onnx").open("ab") as stream:  # Google's reader takes the tag's low 32 bits: external_data
        stream.write(_field(7, _field(5, tensor)))


def custom_operator(folder: Path, canary: Path) -> None:
    model = graph(folder)
    model.graph.node.add(op_type="Shell", domain="evil.ops", input=["features"], output=["evil"])
    keep(folder, model)


def custom_operator_set(folder: Path, canary: Path) -> None:
    model = graph(folder)
    model.opset_import.add(domain="com.evil", version=1)
    keep(folder, model)


def python_operator(folder: Path, canary: Path) -> None:
    model = graph(folder)
    model.graph.node.add(op_type="PyOp", domain="com.microsoft", input=["features"], output=["evil"])
    keep(folder, model)


def model_functions(folder: Path, canary: Path) -> None:
    model = graph(folder)
    model.functions.add(name="Sub", domain="")
    keep(folder, model)


def training_steps(folder: Path, canary: Path) -> None:
    model = graph(folder)
    model.training_info.add()
    keep(folder, model)


def a_graph_nested_without_end(folder: Path, canary: Path) -> None:
    content = b""
    for _ in range(200):  # a GraphProto holding a node holding an attribute holding a graph
        for tag in (b"\x32", b"\x2a", b"\x0a"):
            content = tag + _length(content) + content
    (folder / "model.onnx").write_bytes(b"\x3a" + _length(content) + content)


def _length(content: bytes) -> bytes:
    return _varint(len(content))


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _length(content) + content


def _varint(value: int) -> bytes:
    text = b""
    while value >= 0x80:
        text += bytes([value & 0x7F | 0x80])
        value >>= 7
    return text + bytes([value])


def yaml_with_python(folder: Path, canary: Path) -> None:
    (folder / "model.json").write_text(f"!!python/object/apply:os.system ['touch {canary}']")


def an_import_hook(folder: Path, canary: Path) -> None:
    (folder / "sitecustomize.py").write_text(f"open({str(canary)!r}, 'w')")


def a_name_that_climbs(folder: Path, canary: Path) -> None:
    (folder / "reference" / "..evil.parquet").write_bytes(b"PAR1")


HOSTILE: dict[Callable[[Path, Path], None], str] = {
    pickle_beside: "no part of a model artifact",
    pickle_as_model_json: "not JSON",
    pickle_as_onnx: "not an ONNX graph",
    pickle_as_golden: "not parquet",
    objects_in_numpy: "no part of a model artifact",
    objects_in_numpy_as_golden: "not parquet",
    objects_in_parquet: "holds objects",
    extension_type_in_parquet: "holds objects",
    a_table_without_end: "68,157,440 rows of 1 columns",
    keras_lambda: "no part of a model artifact",
    keras_metadata_in_savedmodel: "no part of a model artifact",
    python_in_savedmodel: "calls PyFunc",
    files_in_a_function_of_a_savedmodel: "calls WriteFile",
    files_in_savedmodel_behind_a_length_of_two_bytes: "calls WriteFile",
    a_reader_of_files_in_savedmodel: "calls TextLineDataset",
    no_savedmodel: "not a SavedModel",
    external_data: "external data",
    external_data_in_an_attribute: "external data",
    external_data_in_a_subgraph: "external data",
    external_data_behind_a_large_tag: "not an ONNX graph",
    custom_operator: "operators of 'evil.ops'",
    custom_operator_set: "operators of 'com.evil'",
    python_operator: "operators of 'com.microsoft'",
    model_functions: "operators of its own",
    training_steps: "training steps",
    a_graph_nested_without_end: "nests more than",
    yaml_with_python: "not JSON",
    an_import_hook: "no part of a model artifact",
    a_name_that_climbs: "no part of a model artifact",
}


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_hostile_artifact_with_a_fitting_digest_is_refused_with_its_reason_and_nothing_runs(
    make: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    folder, canary = tiny_artifact(tmp_path / "model"), tmp_path / "canary"
    make(folder, canary)
    write_manifest(folder)
    with pytest.raises(FraudlineError, match=HOSTILE[make]) as caught:
        proven(load_artifact(folder))
    assert isinstance(caught.value, ArtifactError)
    assert not canary.exists()


# ---- SavedModels that TensorFlow itself made ------------------------------------------------------------------------


def made(folder: Path, serve: Callable[[Any], Any]) -> bytes:
    """A SavedModel of one variable; ``serve`` is called with its input and gives what it adds."""
    import tensorflow as tf

    module = tf.Module()
    module.weight = tf.Variable([1.0])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def signature(features: Any) -> Any:
        with tf.control_dependencies(serve(tf)):
            return {"score": tf.tanh(features * module.weight)}

    tf.saved_model.save(module, str(folder), signatures={"serving_default": signature})
    return (folder / "saved_model.pb").read_bytes()


BEYOND: dict[str, Callable[[Any], list[Any]]] = {
    "SaveV2": lambda tf: [tf.raw_ops.SaveV2(prefix="/x", tensor_names=["a"], shape_and_slices=[""], tensors=[[1.0]])],
    "MergeV2Checkpoints": lambda tf: [tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=["a"], destination_prefix="b")],
    "RestoreV2": lambda tf: [
        tf.raw_ops.RestoreV2(prefix="/x", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32])[0]
    ],
    "RecordInput": lambda tf: [tf.raw_ops.RecordInput(file_pattern="/etc/*")],
    "FixedUnigramCandidateSampler": lambda tf: [
        tf.raw_ops.FixedUnigramCandidateSampler(
            true_classes=[[1]], num_true=1, num_sampled=1, unique=True, range_max=2, vocab_file="/etc/passwd"
        )[0]
    ],
    "Abort": lambda tf: [tf.raw_ops.Abort(error_msg="bye")],
    "EagerPyFunc": lambda tf: [tf.py_function(lambda: 1.0, [], tf.float32)],
    "ReadFile": lambda tf: [tf.io.read_file("/etc/passwd")],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("operator", BEYOND)
def test_a_savedmodel_that_does_more_than_compute_is_refused(operator: str, tmp_path: Path) -> None:
    content = made(tmp_path / "m", BEYOND[operator])
    with pytest.raises(ArtifactError, match=f"calls {operator}"):
        check_saved_model(content)


@pytest.mark.filterwarnings("ignore")
def test_a_savedmodel_keeps_its_variables_and_what_keeps_them_is_not_served(tmp_path: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    content = made(tmp_path / "m", lambda _: [])
    check_saved_model(content)
    good = saved_model_pb2.SavedModel.FromString(content)
    saver = good.meta_graphs[0].saver_def

    served = saved_model_pb2.SavedModel.FromString(content)
    served.meta_graphs[0].signature_def["serving_default"].outputs["score"].name = saver.save_tensor_name
    called = saved_model_pb2.SavedModel.FromString(content)
    called.meta_graphs[0].graph_def.node.add(name="evil", op="Identity", input=[saver.save_tensor_name])
    loaded = saved_model_pb2.SavedModel.FromString(content)
    loaded.meta_graphs[0].collection_def["saved_model_main_op"].node_list.value.append(
        saver.save_tensor_name.split(":")[0]
    )
    for hostile in (served, called, loaded):
        with pytest.raises(ArtifactError, match="which keeps its variables"):
            check_saved_model(hostile.SerializeToString())

    swapped = saved_model_pb2.SavedModel.FromString(content)  # what restores at loading is what writes
    swapped.meta_graphs[0].saver_def.restore_op_name = saver.save_tensor_name.split(":")[0]
    again = saved_model_pb2.SavedModel.FromString(content)
    saving = next(n for n in good.meta_graphs[0].graph_def.node if n.name == saver.save_tensor_name.split(":")[0])
    again.meta_graphs[0].graph_def.node.add().CopyFrom(saving)
    again.meta_graphs[0].graph_def.node[-1].name = "evil"
    for hostile in (swapped, again):
        with pytest.raises(ArtifactError, match="beyond keeping its variables"):
            check_saved_model(hostile.SerializeToString())


@pytest.mark.integration
def test_the_server_refuses_an_unsigned_and_a_hostile_artifact_and_ends_with_the_reason(
    signed: list[Path], keys: tuple[Path, Path], tmp_path: Path, figure: Figure
) -> None:
    """The corpus of hostile artifacts: pickles, object arrays, Keras lambdas, Python and files in a SavedModel, ONNX
    with external data, custom operators and functions. One, and an old signed release, at the server itself."""
    folder, canary = tiny_artifact(tmp_path / "model"), tmp_path / "canary"
    custom_operator(folder, canary)
    write_manifest(folder)
    with pytest.raises(ArtifactError, match="evil"), LocalPredictor(folder):
        pytest.fail("it became ready")
    command = [sys.executable, "-m", "fraudline.serve", "--model_dir", signed[0], "--public_key", keys[1]]
    ended = subprocess.run([*command, "--minimum_release", "2"], capture_output=True, text=True, check=False)
    assert ended.returncode == ArtifactError.exit_code
    assert "is release 1" in ended.stderr
    figure(f"{len(HOSTILE)} hostile artifacts with a fitting digest: all refused with the reason, nothing executed")
