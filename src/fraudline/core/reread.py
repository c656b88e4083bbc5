"""A small file that is read again when it changes: a secret's mount, which Kubernetes swaps under a running process."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from fraudline.core.errors import UsageError
from fraudline.core.log import get_logger

log = get_logger(__name__)

Content = TypeVar("Content")
_MISSING = -1


class Reread(Generic[Content]):
    """What a file says; what was known stays while the file is missing or wrong.

    Args:
        path: the file.
        read: reads it; raises UsageError where it is not what it should be.
        kept: event of the log line that says that what was known stays.

    Raises:
        UsageError: it is wrong at the beginning.
    """

    def __init__(self, path: Path, read: Callable[[Path], Content], *, kept: str) -> None:
        self._path, self._read, self._kept = path, read, kept
        self._seen, self._content = self._load()

    @property
    def content(self) -> Content:
        """What it says now."""
        try:
            if self._stamp() != self._seen:
                self._seen, self._content = self._load()
        except UsageError as error:
            log.warning(self._kept, problem=str(error))
        return self._content

    def _load(self) -> tuple[int, Content]:
        return self._stamp(), self._read(self._path)  # the time first: a change meanwhile is seen the next time

    def _stamp(self) -> int:
        try:
            return os.stat(self._path).st_mtime_ns
        except OSError:
            return _MISSING
