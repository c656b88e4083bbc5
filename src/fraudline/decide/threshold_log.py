"""Thresholds that change after a model was packaged: a file of one line a version, each naming the one before it.

    log = ThresholdLog.begin(artifact.digest, artifact.thresholds, by="ada")
    log = log.then(Change(...))
    log.write(path)
    ThresholdLog.read(path, model=artifact.digest).newest.thresholds

The file is its own audit trail: who, when, why, the thresholds before and after, the bounds that held, and the SHA-256
of the line before, so that a line that was changed, removed or put in between is found when the file is read.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from fraudline.core.clock import now
from fraudline.core.digest import sha256_bytes
from fraudline.core.errors import StateError, UsageError
from fraudline.core.files import write_text
from fraudline.core.settings import Settings
from fraudline.model.thresholds import Thresholds

_FIRST = "0" * 64


class Bounds(Settings):
    """Lowest and highest score at which each threshold may stand."""

    review: tuple[float, float]
    block: tuple[float, float]


class Change(Settings):
    """One version of the thresholds of one model.

    Attributes:
        sequence: 0 is what the model was packaged with.
        at: when, ISO 8601, UTC.
        by: who.
        why: in words.
        model: digest of the artifact whose scores these thresholds are for.
        thresholds: from now on.
        before: until now; None in the first line.
        bounds: what the change was held to; None where none held.
        evidence: what it was decided on (scores, alert rates).
        previous: SHA-256 of the line before.
    """

    sequence: int = Field(ge=0)
    at: str
    by: str = Field(min_length=1)
    why: str = Field(min_length=1)
    model: str
    thresholds: Thresholds
    before: Thresholds | None = None
    bounds: Bounds | None = None
    evidence: dict[str, Any] = {}
    previous: str = _FIRST

    def line(self) -> str:
        """The line of the file, without its end."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True)
class ThresholdLog:
    """All versions, oldest first; never empty."""

    changes: tuple[Change, ...]

    @classmethod
    def begin(cls, model: str, thresholds: Thresholds, *, by: str) -> "ThresholdLog":
        """The log of a model whose thresholds have never been changed."""
        why = f"packaged with the model {model[:12]}"
        return cls((Change(sequence=0, at=_moment(), by=by, why=why, model=model, thresholds=thresholds),))

    @property
    def newest(self) -> Change:
        """The version that holds."""
        return self.changes[-1]

    @property
    def packaged(self) -> Thresholds:
        """What the model was packaged with."""
        return self.changes[0].thresholds

    def then(
        self,
        thresholds: Thresholds,
        *,
        by: str,
        why: str,
        bounds: Bounds | None = None,
        evidence: dict[str, Any] | None = None,
    ) -> "ThresholdLog":
        """The log with one more version.

        Raises:
            UsageError: nobody, or no reason, is given.
        """
        if not by.strip() or not why.strip():
            raise UsageError("A change of thresholds needs a name and a reason.", "Give --by and --why.")
        newest = self.newest
        change = Change(
            sequence=newest.sequence + 1,
            at=_moment(),
            by=by,
            why=why,
            model=newest.model,
            thresholds=thresholds,
            before=newest.thresholds,
            bounds=bounds,
            evidence=evidence or {},
            previous=sha256_bytes(newest.line().encode()),
        )
        return ThresholdLog((*self.changes, change))

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        write_text(path, "".join(f"{change.line()}\n" for change in self.changes))

    @classmethod
    def read(cls, path: Path, model: str | None = None) -> "ThresholdLog":
        """Read a file and check that every line follows from the one before.

        Args:
            path: the file.
            model: the digest of the artifact that the thresholds must be for.

        Raises:
            StateError: the file cannot be read, was tampered with, or is of another model.
        """
        try:
            lines = path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")  # texts may hold U+2028
            changes = tuple(Change.parse_json(line, f"{path}:{n}") for n, line in enumerate(lines, 1))
        except FileNotFoundError as error:
            raise StateError(
                f"{path} is not there: no threshold has been changed, the model's own hold.",
                "Begin it: `fraudline threshold set` or `adjust`.",
            ) from error
        except (OSError, UnicodeDecodeError, UsageError) as error:
            raise StateError(
                f"{path} is no thresholds file: {error}", "Take it from a backup, or begin anew."
            ) from error
        _check(path, lines, changes)
        if model is not None and changes[0].model != model:
            raise StateError(
                f"{path} holds thresholds of the model {changes[0].model[:12]}, not of {model[:12]}.",
                "Scores of two models are not comparable: begin a file for this model.",
            )
        return cls(changes)


def _check(path: Path, lines: list[str], changes: tuple[Change, ...]) -> None:
    """Every line names the one before it, and goes on from its thresholds."""
    if not changes:
        raise StateError(f"{path} is empty.", "Take it from a backup, or begin anew.")
    previous, before = _FIRST, None
    for number, (line, change) in enumerate(zip(lines, changes, strict=True)):
        follows = change.sequence == number and change.previous == previous and change.before == before
        if not follows or change.model != changes[0].model:
            raise StateError(
                f"{path}: line {number + 1} does not follow from the line before it: the trail was changed.",
                "Take it from a backup and find out who changed it.",
            )
        previous, before = sha256_bytes(line.encode()), change.thresholds


def _moment() -> str:
    return now().isoformat(timespec="seconds")
