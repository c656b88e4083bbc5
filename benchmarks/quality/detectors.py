"""The unsupervised baselines, on both sets of features."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from benchmarks.quality.family import Family, Outcome, timed
from benchmarks.quality.rows import Week
from benchmarks.quality.settings import BOOK, OURS, SETS
from fraudline.model import baselines
from fraudline.model.baselines import BASELINES, fit_baseline

ROWS = 20_000
"""Known normals that a baseline sees."""


def families() -> list[Family]:
    """Every baseline on our features, then on the book's."""
    return [_family(name, columns) for columns in (OURS, BOOK) for name in BASELINES]


def _family(name: str, columns: str) -> Family:
    title = f"{name.replace('_', ' ')} ({columns})"
    return Family(
        name=title,
        group=f"Unsupervised, on {SETS[columns]}",
        columns=columns,
        outputs=(title,),
        settings={"baseline": name, "rows": ROWS},
        sources=(Path(baselines.__file__),),
        run=partial(_run, name, title),
    )


def _run(name: str, title: str, week: Week, seed: int) -> Mapping[str, Outcome]:
    return timed(title, partial(fit_baseline, name, week.normals, seed=seed, limit=ROWS), week.test)
