"""The ledger of results: a test week is scored once by one state of a model, and what replaces it says why.

A cell is one model, one week and one seed. Its digest covers the model's settings, its code and its features. On the
weeks of choice and validation a cell may be measured as often as one likes. On a test week another digest for a model
that has been measured there is refused, unless a new round is opened with a reason; the round, the reason and the
figures that it replaces stay in the file.
"""

import fcntl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fraudline.core.errors import UsageError
from fraudline.core.files import read_json, write_json

FORMAT = 1
FIRST_ROUND = "the first measurement"

Key = tuple[str, str, int]


@dataclass(frozen=True)
class Wanted:
    """A cell that a run would measure: ``week`` is its first day in ISO form."""

    model: str
    week: str
    role: str
    seed: int
    digest: str

    @property
    def key(self) -> Key:
        """What it is found by."""
        return self.model, self.week, self.seed


class Ledger:
    """The results file. Every change is written at once, on top of what other runs have written meanwhile.

    Args:
        path: the file; made with the first cell.

    Raises:
        UsageError: the file is of another format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read()

    def _read(self) -> None:
        first = {"number": 1, "reason": FIRST_ROUND}
        empty: dict[str, Any] = {"format": FORMAT, "rounds": [first], "cells": [], "superseded": []}
        document = read_json(self.path) if self.path.is_file() else empty
        if document.get("format") != FORMAT:
            raise UsageError(f"{self.path} is not a ledger of format {FORMAT}.", "Move it away and measure again.")
        self.rounds: list[dict[str, Any]] = document["rounds"]
        self.superseded: list[dict[str, Any]] = document["superseded"]
        self._cells: dict[Key, dict[str, Any]] = {
            (cell["model"], cell["week"], cell["seed"]): cell for cell in document["cells"]
        }

    @property
    def cells(self) -> list[dict[str, Any]]:
        """All current cells, by model, week and seed."""
        return [self._cells[key] for key in sorted(self._cells)]

    def open_round(self, reason: str) -> None:
        """From now on a test week may be measured again, once, under a new number and this reason.

        Raises:
            UsageError: the reason is empty.
        """
        if not reason.strip():
            raise UsageError("A new round needs a reason.", 'Say what changed: --new-round "merchant streaks".')
        with self._alone():
            self.rounds.append({"number": len(self.rounds) + 1, "reason": reason.strip()})
            self._write()

    def missing(self, wanted: Iterable[Wanted]) -> list[Wanted]:
        """The cells that have not been measured in this state, in the order given.

        Raises:
            UsageError: one of them would score a test week a second time within a round (names model and week).
        """
        missing = []
        for cell in wanted:
            found = self._cells.get(cell.key)
            if found is not None and found["digest"] == cell.digest:
                continue
            self._refuse_second_look(cell)
            missing.append(cell)
        return missing

    def record(self, wanted: Wanted, values: dict[str, Any]) -> None:
        """Write one cell; what it replaces on a test week is kept under ``superseded``.

        Args:
            wanted: the cell.
            values: its figures and seconds.

        Raises:
            UsageError: as in :meth:`missing`.
        """
        with self._alone():
            self._refuse_second_look(wanted)
            old = self._cells.get(wanted.key)
            if old is not None and old["role"] == "test" and old["digest"] != wanted.digest:
                kept = ("model", "week", "seed", "round", "digest", "ap", "auc", "cp100")
                self.superseded.append({name: old[name] for name in kept if name in old})
            self._cells[wanted.key] = {
                "model": wanted.model,
                "week": wanted.week,
                "role": wanted.role,
                "seed": wanted.seed,
                "digest": wanted.digest,
                "round": self.rounds[-1]["number"],
                **values,
            }
            self._write()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the file against other runs, with what it holds now."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with (self.path.parent / f".{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._read()
            yield

    def _refuse_second_look(self, wanted: Wanted) -> None:
        if wanted.role != "test":
            return
        now = self.rounds[-1]["number"]
        for cell in self._cells.values():
            same = cell["model"] == wanted.model and cell["role"] == "test" and cell["round"] == now
            if same and cell["digest"] != wanted.digest:
                raise UsageError(
                    f"{wanted.model} was measured on the test week {cell['week']} in another state (settings, code or "
                    f"features), in round {now}: a test week is scored once.",
                    'Choose on the weeks of choice and validation; open a round with --new-round "what changed".',
                )

    def _write(self) -> None:
        content = {
            "format": FORMAT,
            "rounds": self.rounds,
            "cells": self.cells,
            "superseded": self.superseded,
        }
        write_json(self.path, content)
