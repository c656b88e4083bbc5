"""Atomic files and folders: written beside, then renamed, so that nothing is ever half there."""

import ctypes
import errno
import fcntl
import glob
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from fraudline.core.documents import parse_json
from fraudline.core.errors import DataError, FraudlineError, UsageError

_LIBC = ctypes.CDLL(None, use_errno=True)
_SUFFIX_BYTES = 4
_ABANDONED_S = 3_600.0
_HERE, _EXCHANGE = -100, 2
"""``AT_FDCWD`` and ``RENAME_EXCHANGE`` of renameat2(2)."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around what writes ``path``: the error of a full disk, which comes without a name, gets it."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it over ``path`` when the block ends well.

    What killed writers of ``path`` left beside it is removed first.

    Raises:
        UsageError: the path has no name, as ``.``, or is a device, a pipe or a socket.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    clear_leftovers(path)
    temporary.touch(exist_ok=False)  # unlike mkstemp, with the rights that the umask leaves
    try:
        with writing(path):
            yield temporary
            _sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def clear_leftovers(path: Path) -> None:
    """Remove what writers of ``path`` by :func:`atomic_file` left beside it when they were killed.

    What changed within the last hour stays: its writer may be alive.
    """
    before = time.time() - _ABANDONED_S
    for left in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * (2 * _SUFFIX_BYTES)}"):
        with suppress(OSError):  # a folder, another's, or gone meanwhile
            if left.lstat().st_mtime < before:
                left.unlink()


@contextmanager
def atomic_folder(path: Path, *, sometimes: Collection[str] = ()) -> Iterator[Path]:
    """Give an empty folder beside ``path``; put it in the place of ``path`` when the block ends well.

    An earlier folder at ``path`` is replaced as a whole, and stays as it was when the block fails. On Linux and its
    local file systems there is a folder at ``path`` at every moment.

    Args:
        path: the folder.
        sometimes: folders in it that one run writes and another does not.

    Raises:
        UsageError: the path has no name, as ``.``, or is a device, a pipe or a socket; or what is there is something
            else than an earlier folder of this kind, or holds a folder, or a file of a kind, that is none of its own,
            and would be lost.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    temporary.mkdir()
    try:
        with writing(path):
            yield temporary
        _check_replaceable(path, temporary, sometimes)
        if not _exchanged(temporary, path):
            _replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait until nobody else is in such a block for ``path``: who reads a file, changes it and writes it, does it here.

    The lock is of a file beside it, ``NAME.lock``, because the file itself is replaced; it stays there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def sole(handle: int | IO[str]) -> bool:
    """Whether nobody else holds an open file or folder; if so it is held, until it is closed."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def local_path(location: str) -> Path:
    """The path that a plain path or a ``file://`` address names.

    Raises:
        UsageError: the address is of another kind, or none.
    """
    try:
        parts = urlparse(location)
    except ValueError as error:
        raise UsageError(f"{location} is no address: {error}.", "Name a folder or a file:// address.") from error
    if parts.scheme in ("", "file"):
        return Path(url2pathname(parts.path))
    raise UsageError(
        f"{location} is not on this machine.", "Fetch it (on a cluster storageUri does), and name its folder."
    )


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented, key-sorted JSON, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, *, wrong: type[FraudlineError] = DataError, action: str = "Make it again.") -> Any:
    """Read a JSON file.

    Raises:
        FraudlineError: it is not JSON; of the class ``wrong``, with ``action``.
        OSError: it cannot be read.
    """
    return parse_json(path.read_bytes(), str(path), wrong=wrong, action=action)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_own(folder: Path, sign: str, kind: str) -> None:
    """Before long work: a folder that will be replaced as a whole must be new, empty, or have the file ``sign``.

    Raises:
        UsageError: it is none of ``kind``.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / sign).is_file():
        raise UsageError(f"{folder} holds something else than {kind}.", "Name a new folder, or remove this one.")


def _beside(path: Path) -> Path:
    if path.name in ("", ".."):
        raise UsageError(f"{path} cannot be replaced as a whole.", "Give its name, seen from another folder.")
    if path.exists() and not (path.is_file() or path.is_dir()):  # root would put a file in the place of /dev/null
        raise UsageError(f"{path} is a device, a pipe or a socket, which would be replaced.", "Name a file or folder.")
    return path.with_name(f".{path.name}.{secrets.token_hex(_SUFFIX_BYTES)}")


def _check_replaceable(path: Path, new: Path, sometimes: Collection[str]) -> None:
    """Refuse to replace a folder that has no name in common with the new one, or what is of no kind that it has.

    A file's kind is its suffix: names of files change with the days of the data. A folder's is its name.
    """
    found = {each.name: each for each in path.iterdir()} if path.is_dir() else {}
    names = {each.name for each in new.iterdir()}
    kinds = {Path(name).suffix for name in names}
    strange = [name for name in found if name not in names]
    if strange and names & set(found):
        strange = [
            name
            for name in strange
            if (name not in sometimes if found[name].is_dir() else Path(name).suffix not in kinds)
        ]
    if strange:
        raise UsageError(
            f"{path} holds {min(strange)}, which is none of what is written there, and would be lost.",
            "Name another folder, or move it away.",
        )


def _exchanged(one: Path, other: Path) -> bool:
    """Whether two folders changed places, in one step."""
    if other.is_symlink() or not other.is_dir() or not hasattr(_LIBC, "renameat2"):
        return False
    return bool(_LIBC.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)


def _replace(new: Path, path: Path) -> None:
    """Put a folder in the place of what is there, in two steps; what was there comes back when the second fails."""
    if not os.path.lexists(path):
        try:
            new.rename(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not _exchanged(new, path):  # made meanwhile
                raise
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    path.rename(old / "old")
    try:
        new.rename(path)
    except BaseException:
        (old / "old").rename(path)  # where this fails, too, what was there stays in ``old``
        old.rmdir()
        raise
    shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
