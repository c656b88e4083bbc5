"""What ``fraudline simulate`` does: the year, and what it says."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.cli.simulate.world import Change, World, amounts, gift_cards, make_world, payment_app, poison
from fraudline.cli.simulate.year import Noted, Year
from fraudline.core.errors import StateError
from fraudline.core.files import check_own, sole, write_json
from fraudline.data.params import GenerateParams
from fraudline.steps.params import Params

BUDGET = 0.03
"""Share of each day's transactions that may be alerted."""
BEFORE_DAYS = 77
WEEKS_BEFORE, WEEKS_AFTER = 6, 6
YEAR = "year.json"
"""What every folder of a simulation has."""
CHANGES = (
    Change(98, "an app takes a fifth of the purchases", "drift", payment_app),
    Change(182, "a new kind of fraud", "drift", gift_cards),
    Change(238, "frauds without labels on six cards for a week", "poison", poison),
    Change(266, "amounts double", "drift", amounts(2.0)),
    Change(343, "a policy with eight times the alerts", "candidate"),
)

SETTINGS: dict[str, Any] = {
    "label_delay_days": 7,
    "registry": {"tracking_uri": ""},
    "split": {"warmup_days": 14, "validation_days": 7, "test_days": 14},
    "train": {"bottlenecks": [3], "surprise_bottlenecks": [], "epochs": 6, "max_rows": 20_000,
              "trim": {"rounds": 0}, "forest": {"trees": 80, "depth": 4}},
    "threshold": {"review_rate": 0.02, "block_rate": 0.004},
    "evaluate": {"bootstrap": {"resamples": 100}, "baselines": []},
    "gate": {"rules": [
        {"metric": "ap", "min": 0.10},
        {"metric": "roc_auc", "min": 0.65},
        {"metric": "ap", "against": "champion", "min_change": -0.05, "confidence": 0.8},
    ]},
    "monitor": {"classifier_rows": 0, "confidence": 0.99},
    "renew": {"schedule_days": 91, "window_weeks": 11, "debounce_hours": 24 * 20, "budget": 1},
    "rollout": {
        "require_clean_code": False,
        "steps": [20, 50],
        "judge": {
            "stratum_s": 86_400, "min_rows": 50, "min_minutes": 1_000,
            "checks": {
                "errors": {"margin": 2.0, "floor": 0.05},
                "alerts": {"margin": 4.0, "worse_than": 2.0},
            },
        },
    },
}  # fmt: skip
"""Small: a few hundred cards, wide margins of the judge because a canary sees a hundred transactions a day."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder as long as a simulation is at work in it.

    Raises:
        StateError: another one is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        if not sole(handle):
            raise StateError(f"Another simulation is at work in {folder}.", "Wait for it, or name another folder (-o).")
        yield
    finally:
        os.close(handle)


def simulate(*, days: int, cards: int, seed: int, kind: str, folder: Path, tell: Any = lambda _: None) -> Year:
    """Run the year; see the command.

    Raises:
        UsageError: the folder holds something else than an earlier year.
    """
    check_own(folder, YEAR, "a simulated year")
    params = Params.parse(SETTINGS, "fraudline simulate")
    params = params.model_copy(update={"train": params.train.model_copy(update={"kind": kind})})
    world = world_of(params, days=days, cards=cards, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():  # the folder itself stays: whoever is at work in it holds it
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    write_json(folder / YEAR, {})  # what is killed may be replaced
    year = Year(world, CHANGES, params, params.features.resolve(), folder, Path("kserve/inferenceservice.yaml"), tell)
    year.run(days)
    return year


def world_of(params: Params, *, days: int, cards: int, seed: int) -> World:
    """The traffic, changes included."""
    size = GenerateParams(days=BEFORE_DAYS, cards=cards, merchants=max(cards // 2, 120), seed=seed, fraud_rate=0.015)
    return make_world(
        size, before=BEFORE_DAYS, days=days, changes=[c for c in CHANGES if c.day < days],
        spec=params.features.resolve(), label_delay_days=params.label_delay_days,
    )  # fmt: skip


def figures(year: Year, days: int) -> dict[str, Any]:
    """What the year says: recall by week, the events, and for each drift the level before and after."""
    own, static = (each[: days // 7] for each in year.weekly_recall(BUDGET))
    begins = sorted(change.day for change in CHANGES)
    drifts = []
    for change in (c for c in CHANGES if c.kind == "drift" and c.day < days):
        ends = min([day for day in begins if day > change.day and _drift(day)] + [days]) // 7
        drifts.append(_recovery(change, own, static, change.day // 7, ends))
    return {
        "days": days,
        "budget": BUDGET,
        "recall": own.round(4).tolist(),
        "recall_without": static.round(4).tolist(),
        "events": [vars(noted) for noted in year.notes],
        "drifts": drifts,
        "needless": needless(year.notes, begins[0]),
        "stationary_days": min(begins[0], days),
        "runs": sum(noted.what == "retrained" for noted in year.notes),
        "duplicates": year.duplicates(),
    }


def needless(notes: list[Noted], until: int) -> int:
    """Runs before anything changed."""
    return sum(noted.what in ("retrained", "refused") and noted.day < until for noted in notes)


def _drift(day: int) -> bool:
    return any(change.day == day and change.kind == "drift" for change in CHANGES)


def _recovery(
    change: Change, own: NDArray[np.float64], static: NDArray[np.float64], begin: int, end: int
) -> dict[str, Any]:
    before = float(own[max(begin - WEEKS_BEFORE, 0) : begin].mean())
    after = float(own[max(end - WEEKS_AFTER, begin) : end].mean())
    without = float(static[max(end - WEEKS_AFTER, begin) : end].mean())
    lowest = float(own[begin:end].min())
    return {"day": change.day, "name": change.name, "before": before, "lowest": lowest, "after": after,
            "returned": after / before, "without": without, "returned_without": without / before}  # fmt: skip
