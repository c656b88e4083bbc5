"""The ledger's cells as the figures of each model: over seeds, then over weeks."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.quality.protocol import TEST_START, VALIDATION_START

Cell = dict[str, Any]


@dataclass(frozen=True)
class WeekFigures:
    """One model on one week: means over its seeds.

    Attributes:
        week: first day, ISO form.
        role: ``choice``, ``validation`` or ``test``.
        seeds: how many.
        ap: average precision; ``spread`` is its sd over seeds.
        kinds: average precision of each kind of fraud.
        interval: 5-95 % of ``ap`` over resampled cards, of the first seed; None where it was not drawn.
    """

    week: str
    role: str
    seeds: int
    ap: float
    spread: float
    auc: float
    cp100: float
    kinds: dict[str, float]
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class ModelFigures:
    """One model. ``fit_s`` is CPU seconds a fit, ``row_us`` CPU microseconds a scored row; both over all its cells."""

    model: str
    weeks: dict[str, WeekFigures]
    fit_s: float
    row_us: float

    @property
    def validation(self) -> WeekFigures | None:
        """The validation week."""
        return self.weeks.get(VALIDATION_START.isoformat())

    @property
    def test(self) -> WeekFigures | None:
        """The Handbook's test week."""
        return self.weeks.get(TEST_START.isoformat())

    @property
    def judged(self) -> list[WeekFigures]:
        """The test weeks in order."""
        return [self.weeks[week] for week in sorted(self.weeks) if self.weeks[week].role == "test"]

    @property
    def prequential(self) -> tuple[float, float] | None:
        """Mean and sd of the AP over the test weeks."""
        values = [week.ap for week in self.judged]
        return (float(np.mean(values)), float(np.std(values))) if values else None


def summarise(cells: Sequence[Cell]) -> dict[str, ModelFigures]:
    """All models by name."""
    by_model: dict[str, dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        by_model[cell["model"]][cell["week"]].append(cell)
    return {model: _model(model, weeks) for model, weeks in by_model.items()}


def _model(model: str, weeks: dict[str, list[Cell]]) -> ModelFigures:
    cells = [cell for found in weeks.values() for cell in found]
    return ModelFigures(
        model,
        {week: _week(week, found) for week, found in sorted(weeks.items())},
        _mean(cells, "fit_s"),
        float(np.mean([cell["score_s"] / cell["rows"] * 1e6 for cell in cells])),
    )


def _week(week: str, cells: list[Cell]) -> WeekFigures:
    drawn = next((cell["intervals"]["ap"] for cell in cells if "intervals" in cell), None)
    return WeekFigures(
        week,
        cells[0]["role"],
        len(cells),
        _mean(cells, "ap"),
        float(np.std([cell["ap"] for cell in cells])),
        _mean(cells, "auc"),
        _mean(cells, "cp100"),
        {kind: float(np.mean([cell["kinds"].get(kind, np.nan) for cell in cells])) for kind in cells[0]["kinds"]},
        tuple(drawn) if drawn else None,
    )


def _mean(cells: Sequence[Cell], name: str) -> float:
    return float(np.mean([cell[name] for cell in cells]))
