"""Checkpoints: the state of one partition and the offset it stands at, in one file, written atomically.

    store = CheckpointStore(Path("build/checkpoints"), group="fraudline", topic="transactions")
    store.save(Checkpoint(partition=0, next_offset=1200, ...))
    store.load(0)

A file is a magic line, the length of a JSON header (8 bytes, little-endian), the header, then blocks in LZ4, each
behind its own two lengths, raw and stored, of 8 bytes: those of the feature state and, last, the event ids seen; at its
end the SHA-256 of everything before (32 bytes). A disk is slower than LZ4, which halves a state or better.

A checkpoint saves time and never decides anything: whatever is missing, damaged or of another model is left aside, and
the state is built again from the log.
"""

import hashlib
import io
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO

import msgspec
import pyarrow as pa

from fraudline.core.errors import StateError, UsageError
from fraudline.core.files import atomic_file, clear_leftovers
from fraudline.core.sealing import KeyWrapper, Sealer, is_sealed, unsealed
from fraudline.features.frozen import Frozen

FORMAT = 3
_MAGIC = b"FRAUDLINE-CHECKPOINT\n"
_LENGTH = struct.Struct("<Q")
_BLOCK = struct.Struct("<QQ")
_CODEC = "lz4"
_MOST_RATIO = 256
"""LZ4 packs 255 bytes into one at most: a block that says more is damaged, and is not given that memory."""

_DIGEST_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")
_ACTION = "Nothing to do: the state is built again from the log."


class Blocks:
    """A loaded state in pieces, each unpacked when it is asked for: the whole is never held beside what it becomes.

    ``bytes(blocks)`` is all of it.
    """

    def __init__(self, content: memoryview, places: Sequence[tuple[int, int, int]]) -> None:
        self._content = content
        self._places = places

    @property
    def nbytes(self) -> int:
        """Bytes of all of them, unpacked."""
        return sum(raw for _, raw, _ in self._places)

    def __iter__(self) -> Iterator[bytes]:
        for at, raw, stored in self._places:
            try:
                yield pa.decompress(self._content[at : at + stored], raw, codec=_CODEC, asbytes=True)
            except (OSError, ValueError, pa.ArrowException) as error:
                raise StateError(f"A block of the checkpoint cannot be unpacked: {error}.", _ACTION) from error

    def __bytes__(self) -> bytes:
        return b"".join(self)


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    partition: int
    next_offset: int
    last_digest: str
    last_offset: int
    spec_version: str
    profile_version: str
    written_at: int
    format: int = FORMAT


class Checkpoint(_Header, frozen=True, kw_only=True):
    """Feature state that contains every record before ``next_offset``.

    Attributes:
        partition: of the topic ``transactions``.
        next_offset: the first record that the state does not contain; never above the committed offset.
        last_digest: SHA-256 of the value of the last record taken, and of its offset: tells this log from another of
            the same name. Empty when no record was taken.
        spec_version: the feature specification of the state.
        profile_version: the merchant tables in use when it was written (the state does not depend on them).
        written_at: microseconds since the epoch.
        state: what :meth:`fraudline.features.engine.FeatureEngine.snapshot` gave; once loaded, in pieces.
        seen: what :meth:`fraudline.stream.dedupe.SeenIds.snapshot` gave.
    """

    state: bytes | Blocks = b""
    seen: bytes = b""


_HEADER = _Header.__struct_fields__


def record_digest(offset: int, value: bytes | None) -> str:
    """What a checkpoint remembers of the last record it contains."""
    return hashlib.sha256(f"{offset}:".encode() + (value or b"")).hexdigest()


class CheckpointStore:
    """Checkpoints of one group and topic in a folder, one file a partition.

    Args:
        folder: a local or mounted folder, shared by the group's workers where they share partitions.
        group: consumer group.
        topic: the topic whose state it is.
        keys: encrypts what is written, and only what it encrypted is read; None for plain files.
    """

    def __init__(self, folder: Path, *, group: str, topic: str, keys: KeyWrapper | None = None) -> None:
        for name in (group, topic):
            if not _NAME.fullmatch(name):
                raise UsageError(f"{name!r} cannot name a checkpoint.", "Use letters, digits, dot, dash, underscore.")
        self._folder = folder / group
        self._topic = topic
        self._keys = keys

    def path(self, partition: int) -> Path:
        """The file of a partition."""
        return self._folder / f"{self._topic}-{partition}.checkpoint"

    def save(self, checkpoint: Checkpoint, frozen: Frozen | None = None) -> None:
        """Write a checkpoint in the place of the partition's earlier one, whole or not at all.

        Args:
            checkpoint: what to write.
            frozen: its state, to be read in pieces while the stream goes on, instead of ``checkpoint.state``.
        """
        header = msgspec.json.encode(_Header(**{name: getattr(checkpoint, name) for name in _HEADER}))
        head = (_MAGIC, _LENGTH.pack(len(header)), header)
        whole = checkpoint.state if isinstance(checkpoint.state, Blocks) else (checkpoint.state,)
        pieces: Iterable[bytes | memoryview] = whole if frozen is None else frozen.pieces()
        digest = hashlib.sha256()
        with atomic_file(self.path(checkpoint.partition)) as temporary, self._writer(temporary) as file:
            for part in chain(head, _packed(chain(pieces, (checkpoint.seen,)))):
                file.write(part)
                digest.update(part)
            file.write(digest.digest())

    def load(self, partition: int) -> Checkpoint | None:
        """The checkpoint of a partition; None where there is none. What killed workers left half written is removed.

        Raises:
            StateError: the file is damaged, of another format, or of another partition.
        """
        path = self.path(partition)
        clear_leftovers(path)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"{path} cannot be read: {error.strerror}.", _ACTION) from error
        checkpoint = _parse(self._plain(content, path), path)
        if checkpoint.partition != partition:
            raise StateError(f"{path} is of partition {checkpoint.partition}.", _ACTION)
        return checkpoint

    @contextmanager
    def _writer(self, path: Path) -> Iterator[IO[bytes] | Sealer]:
        with path.open("wb") as file:
            if self._keys is None:
                yield file
            else:
                with Sealer(file, self._keys, self._context) as sealed:
                    yield sealed

    def _plain(self, content: bytes, path: Path) -> bytes:
        """What was sealed; with keys a plain file is none of ours, without them a sealed one cannot be read."""
        if self._keys is None:
            if is_sealed(content[:64]):
                raise StateError(f"{path} is encrypted, and stream.encryption names no key.", _ACTION)
            return content
        try:
            return b"".join(unsealed(io.BytesIO(content), self._keys, self._context))
        except StateError as error:
            raise StateError(f"{path} cannot be opened: {error.problem}", _ACTION) from error

    @property
    def _context(self) -> bytes:
        return f"checkpoint {self._folder.name} {self._topic}".encode()


def _parse(content: bytes, path: Path) -> Checkpoint:
    body = memoryview(content)[:-_DIGEST_BYTES]
    start = len(_MAGIC) + _LENGTH.size
    whole = len(body) >= start and hashlib.sha256(body).digest() == content[-_DIGEST_BYTES:]
    if not whole or bytes(body[: len(_MAGIC)]) != _MAGIC:
        raise StateError(f"{path} is damaged or no checkpoint.", _ACTION)
    end = start + _LENGTH.unpack_from(body, len(_MAGIC))[0]
    try:
        header = msgspec.json.decode(body[start:end], type=_Header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StateError(f"{path} has a header that cannot be read: {error}.", _ACTION) from error
    if header.format != FORMAT:
        raise StateError(f"{path} is of format {header.format}, not {FORMAT}.", _ACTION)
    try:
        *state, seen = _places(body, end)
    except (struct.error, ValueError) as error:
        raise StateError(f"{path} has a block that cannot be read: {error}.", _ACTION) from error
    known = msgspec.structs.asdict(header)
    return Checkpoint(**known, state=Blocks(body, state), seen=bytes(Blocks(body, [seen])))


def _packed(parts: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    for part in parts:
        stored = pa.compress(part, codec=_CODEC, asbytes=True)
        yield _BLOCK.pack(len(part), len(stored))
        yield stored


def _places(content: memoryview, at: int) -> Iterator[tuple[int, int, int]]:
    """Where each block begins, its bytes unpacked, and those that lie there."""
    while at < len(content):
        raw, stored = _BLOCK.unpack_from(content, at)
        at += _BLOCK.size
        if stored > len(content) - at or raw > _MOST_RATIO * (stored + 1):
            raise ValueError(f"{raw} bytes in {stored}, of which {len(content) - at} are there")
        yield at, raw, stored
        at += stored
