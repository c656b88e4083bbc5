"""What is written encrypted opens with its key alone, whole and unchanged, and costs what is measured here."""

import errno
import io
import os
import random
import shutil
import tarfile
import time
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fraudline.cli.main import cli
from fraudline.core import sealing
from fraudline.core.errors import FraudlineError, StateError, UnavailableError, UsageError
from fraudline.core.keyfile import read_keys
from fraudline.core.sealing import Encryption, KeysOfFile, Sealer, key_wrapper, unsealed
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.spec import load_spec
from fraudline.model.artifact import load_artifact
from fraudline.stream.checkpoint import Checkpoint, CheckpointStore
from tests.support.artifacts import tiny_artifact
from tests.support.figures import Figure, sized
from tests.support.transactions import table_of, transaction

SIZES = (0, 1, 1_000, 1 << 20, (1 << 20) + 1, 3 * (1 << 20), 3 * (1 << 20) + 77)


def keys_file(path: Path, *names: str) -> Path:
    path.write_text("".join(f"{name} {os.urandom(32).hex()}\n" for name in names))
    return path


@pytest.fixture
def keys(tmp_path: Path) -> KeysOfFile:
    return KeysOfFile(read_keys(keys_file(tmp_path / "master.key", "m1")))


def sealed(path: Path, content: bytes, keys: KeysOfFile, context: bytes = b"x") -> Path:
    rng = random.Random(len(content))
    with path.open("wb") as file, Sealer(file, keys, context) as writer:
        at = 0
        while at < len(content):
            size = rng.randrange(1, 700_000)
            writer.write(content[at : at + size])
            at += size
    return path


def opened(path: Path, keys: KeysOfFile, context: bytes = b"x") -> bytes:
    with path.open("rb") as file:
        return b"".join(unsealed(file, keys, context))


@pytest.mark.parametrize("size", SIZES)
def test_what_is_sealed_opens_and_shows_nothing_until_then(size: int, tmp_path: Path, keys: KeysOfFile) -> None:
    content = (b"card k1_5f0c " * (size // 13 + 1))[:size]
    path = sealed(tmp_path / "s", content, keys)
    assert opened(path, keys) == content
    assert b"card" not in path.read_bytes()
    assert sealed(tmp_path / "again", content, keys).read_bytes() != path.read_bytes()


def test_another_key_another_context_and_every_change_are_found(tmp_path: Path, keys: KeysOfFile) -> None:
    content = os.urandom(3 * (1 << 20) + 500)
    path, rng = sealed(tmp_path / "s", content, keys), random.Random(1)
    whole = path.read_bytes()
    with pytest.raises(StateError, match="another key"):
        opened(path, KeysOfFile({"m1": os.urandom(32)}))
    with pytest.raises(StateError, match="not in the key file"):
        opened(path, KeysOfFile({"m2": os.urandom(32)}))
    with pytest.raises(StateError):
        opened(path, keys, b"y")
    body = len(whole) - len(content) - 4 * 16
    chunk = (1 << 20) + 16
    swapped = (
        whole[:body] + whole[body + chunk : body + 2 * chunk] + whole[body : body + chunk] + whole[body + 2 * chunk :]
    )
    changes = [swapped, whole[: body + chunk], whole[: body + 2 * chunk], whole[:-1], whole + b"x", whole[:body], b""]
    for _ in range(40):
        at = rng.randrange(len(whole))
        changes.append(whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :])
        changes.append(whole[: rng.randrange(len(whole))])
    for change in changes:
        path.write_bytes(change)
        with pytest.raises(StateError):
            opened(path, keys)


def test_a_new_master_key_seals_and_the_old_one_still_opens(tmp_path: Path, keys: KeysOfFile) -> None:
    old = sealed(tmp_path / "old", b"before", keys)
    both = KeysOfFile({"m2": os.urandom(32), **keys._keys})
    assert opened(old, both) == b"before"
    with pytest.raises(StateError, match="m2"):
        opened(sealed(tmp_path / "new", b"after", both), keys)


def test_an_installed_key_service_wraps_instead_of_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = EntryPoints([EntryPoint("ours", "tests.security.test_at_rest:Service", sealing.GROUP)])
    monkeypatch.setattr(sealing, "entry_points", lambda group: found)
    service = key_wrapper(Encryption(service="ours"))
    assert opened(sealed(tmp_path / "s", b"content", service), service) == b"content"  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="known here: ours"):
        key_wrapper(Encryption(service="theirs"))
    with pytest.raises(FraudlineError):
        Encryption.parse({"key_file": "a", "service": "b"}, "params.yaml")


def test_a_key_service_that_does_not_answer_is_unavailable_and_what_it_refuses_to_open_is_not_its_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = EntryPoints([EntryPoint("ours", "tests.security.test_at_rest:Service", sealing.GROUP)])
    monkeypatch.setattr(sealing, "entry_points", lambda group: found)
    service = key_wrapper(Encryption(service="ours"))
    assert service is not None
    path = sealed(tmp_path / "s", b"content", service)  # type: ignore[arg-type]
    for error, told in ((RuntimeError("no route to host"), UnavailableError), (StateError("changed"), StateError)):
        monkeypatch.setattr(Service, "error", error)
        with pytest.raises(told, match=str(error)):
            opened(path, service)  # type: ignore[arg-type]
    monkeypatch.setattr(Service, "__init__", lambda _: os.environ["NOT_SET"])
    with pytest.raises(UnavailableError, match=r"'ours' does not answer: KeyError: 'NOT_SET'"):
        key_wrapper(Encryption(service="ours"))


class Service:
    """As one of a cloud: it never gives its key."""

    error: Exception | None = None

    def wrap(self, data_key: bytes, context: bytes) -> tuple[str, bytes]:
        return "arn:1", bytes(byte ^ 7 for byte in data_key)

    def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        if self.error:
            raise self.error
        return bytes(byte ^ 7 for byte in wrapped)


def checkpoint_of(state: bytes) -> Checkpoint:
    return Checkpoint(
        partition=0, next_offset=5, last_digest="d", last_offset=4, spec_version="s", profile_version="p", written_at=1,
        state=state, seen=b"seen",
    )  # fmt: skip


def test_a_checkpoint_is_read_with_its_key_alone_and_never_as_a_plain_one(tmp_path: Path, keys: KeysOfFile) -> None:
    def store(wrapper: KeysOfFile | None, topic: str = "t") -> CheckpointStore:
        return CheckpointStore(tmp_path, group="g", topic=topic, keys=wrapper)

    store(keys).save(checkpoint_of(b"secret state" * 99))
    found = store(keys).load(0)
    assert found is not None
    assert bytes(found.state) == b"secret state" * 99
    assert b"secret" not in store(keys).path(0).read_bytes()
    with pytest.raises(StateError, match="encrypted"):
        store(None).load(0)
    with pytest.raises(StateError, match="cannot be opened"):
        store(KeysOfFile({"m1": os.urandom(32)})).load(0)
    shutil.copyfile(store(keys).path(0), store(keys, "other").path(0))
    with pytest.raises(StateError, match="cannot be opened"):
        store(keys, "other").load(0)
    store(None).save(checkpoint_of(b"planted"))
    with pytest.raises(StateError, match="not sealed"):
        store(keys).load(0)


def test_the_cost_of_an_encrypted_checkpoint(tmp_path: Path, keys: KeysOfFile, figure: Figure) -> None:
    """A checkpoint of the feature state of many cards, plain and encrypted in one run, three times each in turn."""
    cards = sized(2_000, 100_000, 1_000_000)
    engine = FeatureEngine(load_spec())
    for first in range(0, cards, 50_000):
        some = range(first, min(first + 50_000, cards))
        engine.advance(columns_from_table(table_of([transaction(i / 1_000, card_id=f"c{i}") for i in some])))
    state = engine.snapshot()
    seconds: dict[bool, list[float]] = {False: [], True: []}
    stores = {kind: CheckpointStore(tmp_path / str(kind), group="g", topic="t", keys=keys if kind else None)
              for kind in seconds}  # fmt: skip
    for _ in range(3):
        for kind, store in stores.items():
            begun = time.perf_counter()
            store.save(checkpoint_of(state))
            seconds[kind].append(time.perf_counter() - begun)
    plain, hidden = (float(np.median(seconds[kind])) for kind in (False, True))
    size = stores[True].path(0).stat().st_size / 1e6
    assert bytes(stores[True].load(0).state) == state  # type: ignore[union-attr]
    figure(
        f"{cards:,} cards, {len(state) / 1e6:.0f} MB of state, {size:.0f} MB on disk: {plain:.2f} s plain, "
        f"{hidden:.2f} s encrypted, {hidden / plain:.2f} times",
        ratio=hidden / plain,
    )


def test_an_artifact_and_an_export_are_sealed_and_come_back_the_same(tmp_path: Path) -> None:
    keys, folder = keys_file(tmp_path / "master.key", "m1"), tiny_artifact(tmp_path / "model")
    export = tmp_path / "decisions.jsonl"
    export.write_bytes(b"{}\n" * 900_000)
    for source in (folder, export):
        out, back = tmp_path / f"{source.name}.sealed", tmp_path / f"{source.name}.back"
        for arguments in (["seal", source, "-o", out], ["unseal", out, "-o", back]):
            ended = CliRunner().invoke(cli, [*map(str, arguments), "--key-file", str(keys)], catch_exceptions=False)
            assert ended.exit_code == 0, ended.output
    assert load_artifact(tmp_path / "model.back").digest == load_artifact(folder).digest
    assert (tmp_path / "decisions.jsonl.back").read_bytes() == export.read_bytes()
    other = keys_file(tmp_path / "other.key", "m1")
    with pytest.raises(StateError):
        CliRunner().invoke(
            cli, ["unseal", str(tmp_path / "model.sealed"), "-o", str(tmp_path / "no"), "--key-file", str(other)],
            catch_exceptions=False,
        )  # fmt: skip
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("filtered", [True, False], ids=["as it is", "Python 3.11.3 and older"])
@pytest.mark.parametrize("kind", ["above", "absolute", "link", "device"])
def test_what_a_seal_never_writes_is_not_unsealed(
    tmp_path: Path, keys: KeysOfFile, monkeypatch: pytest.MonkeyPatch, kind: str, filtered: bool
) -> None:
    if not filtered:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    member = tarfile.TarInfo({"above": "../loose", "absolute": f"{tmp_path}/loose"}.get(kind, "loose"))
    member.type, member.linkname = {"link": (tarfile.SYMTYPE, "/etc"), "device": (tarfile.CHRTYPE, "")}.get(
        kind, (tarfile.REGTYPE, "")
    )
    with (tmp_path / "sealed").open("wb") as file, Sealer(file, keys, b"export") as sealed:
        sealed.write(b"D")
        with tarfile.open(fileobj=sealed, mode="w|") as archive:  # type: ignore[call-overload]
            archive.addfile(member)
    out = tmp_path / "folder" / "out"
    given = ["unseal", str(tmp_path / "sealed"), "-o", str(out), "--key-file", str(tmp_path / "master.key")]
    with pytest.raises(StateError if kind in ("above", "absolute") else UsageError, match="loose"):
        CliRunner().invoke(cli, given, catch_exceptions=False)
    assert not list(tmp_path.rglob("loose"))
    assert not out.exists()


def test_a_disk_that_is_full_while_a_folder_is_sealed_is_told_as_that(tmp_path: Path, keys: KeysOfFile) -> None:
    class Full(io.BytesIO):
        def write(self, content: bytes) -> int:  # type: ignore[override]
            if self.tell():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(content)

    (tmp_path / "weights").write_bytes(os.urandom(3 << 20))
    with (
        pytest.raises(OSError, match="No space left"),
        Sealer(Full(), keys, b"x") as sealed,
        tarfile.open(fileobj=sealed, mode="w|") as archive,  # type: ignore[call-overload]
    ):
        archive.add(tmp_path, arcname=".")
