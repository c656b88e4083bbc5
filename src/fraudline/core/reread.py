"""A small file that is read again when it changes: a secret's mount, which Kubernetes swaps under a running process."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from fraudline.core.errors import UsageError
from fraudline.core.log import get_logger

log = get_logger(__name__)

Content = TypeVar("Content")
Stamp = tuple[int, ...]


def stamp_of(path: Path) -> Stamp:
    """What changes with a file: which one it is, its time and its size; empty where there is none.

    Its time alone does not: files of one image or archive have one, and so have two that were written within a tick.
    """
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


class Reread(Generic[Content]):
    """What a file says; what was known stays while the file is missing or wrong.

    Args:
        path: the file.
        read: reads it; raises UsageError where it is not what it should be.
        kept: event of the log line that says that what was known stays; one line for each change of the file.

    Raises:
        UsageError: it is wrong at the beginning.
    """

    def __init__(self, path: Path, read: Callable[[Path], Content], *, kept: str) -> None:
        self._path, self._read, self._kept = path, read, kept
        self._said: tuple[Stamp, str] | None = None
        self._seen, self._content = self._load()

    @property
    def content(self) -> Content:
        """What it says now."""
        stamp = stamp_of(self._path)
        try:
            if stamp != self._seen:
                self._seen, self._content = self._load()
        except UsageError as error:  # tried again each time: another file that belongs to it may still come
            said = (stamp, str(error))
            if said != self._said:
                self._said = said
                log.warning(self._kept, problem=said[1])
        return self._content

    def _load(self) -> tuple[Stamp, Content]:
        return stamp_of(self._path), self._read(self._path)  # the stamp first: a change meanwhile is seen the next time
