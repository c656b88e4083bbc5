"""The journal of renewal: JSON lines, only ever appended to, of what was decided and what became of it."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fraudline.core.documents import parse_json
from fraudline.core.errors import DataError
from fraudline.core.files import sole, writing
from fraudline.core.log import get_logger
from fraudline.monitor.renewal import Past, Signs

log = get_logger(__name__)

JOURNAL, LOCK = "journal.jsonl", "lock"
MADE = ("trained", "found")
"""States of a run that has its model."""
OVERTAKEN = "overtaken"
"""State of a run whose data or parameters were replaced before anything was trained on them: it never was."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the journal, as it stands."""

    past: Past
    state: str
    noted: Mapping[str, Any]

    @property
    def tried_as(self) -> str:
        """What its training is called: a try that failed keeps its name, and what it left, to itself."""
        return f"{self.past.run}-{self.past.refused + 1}" if self.past.refused else self.past.run


class Journal:
    """The file of one renewal. Use :func:`opened`."""

    def __init__(self, path: Path, lock: int) -> None:
        self._path, self.lock = path, lock
        self.lines = read_journal(path)

    def note(self, now: datetime, **what: Any) -> dict[str, Any]:
        """Append a line; it is on disk when this returns."""
        line = {"at": now.isoformat(timespec="seconds"), **what}
        content = json.dumps(line, sort_keys=True, ensure_ascii=False).encode() + b"\n"
        handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                content = b"\n" + content  # a line that a kill left torn
            with writing(self._path):
                while content:  # a full disk takes a part without a word, and refuses the rest
                    content = content[os.write(handle, content) :]
                os.fsync(handle)
        finally:
            os.close(handle)
        self.lines.append(line)
        return line

    def runs(self) -> list[Run]:
        """Every run that began and was not overtaken, oldest first, with its newest state."""
        found: dict[str, Run] = {}
        refused = Counter[str]()
        for line in self.lines:
            name = line.get("run", "")
            if line.get("state") == "begun" and (name not in found or found[name].state == "refused"):
                past = Past(name, datetime.fromisoformat(line["at"]), int(line["signs"]["frauds"]))
                found.pop(name, None)  # a new try is the newest run
                found[name] = Run(replace(past, refused=refused[name]), "begun", line)
            elif line.get("state") == OVERTAKEN:
                found.pop(name, None)
            elif "state" in line and name in found:
                run = found[name]
                past = replace(run.past, found=True) if line["state"] == "found" else run.past
                if line["state"] == "refused":
                    refused[name] += 1
                    past = replace(past, refused=refused[name])
                elif line["state"] in MADE:
                    past = replace(past, refused=0)
                found[name] = Run(past, line["state"], {**run.noted, **line})
        return list(found.values())

    def drifting_since(self, signs: Signs, now: datetime, flicker: timedelta) -> datetime:
        """When the champion's drift was first seen, in looks that saw some since or could not tell.

        Args:
            signs: of now.
            now: the present; what is given where there is no drift that goes on.
            flicker: a quiet that is shorter does not end a drift.
        """
        since = now
        for line in reversed(self.lines):
            if "signs" not in line or not (line["signs"].get("measured", True) or line["signs"]["drifted"]):
                continue
            at = datetime.fromisoformat(line["at"])
            if at > now:  # by a clock that was ahead
                continue
            if line["signs"]["champion"] != signs.champion or (not line["signs"]["drifted"] and since - at >= flicker):
                break
            if line["signs"]["drifted"]:
                since = at
        return since


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal, oldest first; one that a kill left torn is left out."""
    found = []
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            found.append(parse_json(line, str(path)))
        except DataError:
            log.warning("journal.torn", path=str(path), bytes=len(line))
    return found


@contextmanager
def opened(folder: Path) -> Iterator[Journal | None]:
    """The journal of a folder, locked; None while another look is at work."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield Journal(folder / JOURNAL, handle) if sole(handle) else None
    finally:
        os.close(handle)
