"""Traffic with hours, weekdays and cards, and an artifact whose reference it is: for what watches it."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fraudline.core.clock import DAY_US, HOUR_US, day_us
from fraudline.features.spec import load_spec
from fraudline.model.artifact import load_artifact, write_manifest
from fraudline.model.scorer import Scorer
from fraudline.monitor.reference import day_reference, feature_reference, row_reference, score_reference
from tests.support.artifacts import tiny_artifact

FIRST = date(2026, 1, 5)
NAMES = tuple(load_spec().names)
AMOUNT, NIGHT = NAMES.index("amount"), NAMES.index("night")
A_DAY = 1_200


def traffic(days: int, *, first: date = FIRST, seed: int = 0, a_day: int = A_DAY) -> tuple[np.ndarray, np.ndarray]:
    """Times (µs since the epoch, ascending) and (n, d) float32 features: larger amounts at night and weekends."""
    rng = np.random.default_rng(seed)
    level = np.random.default_rng(99).lognormal(0, 0.4, (400, len(NAMES)))  # a card has its own level
    times, rows = [], []
    for number in range(days):
        day = first + timedelta(days=number)
        hours = np.sort(rng.choice(24, a_day, p=_hours()))
        at = day_us(day) + hours * HOUR_US + rng.integers(0, HOUR_US, a_day)
        order = np.argsort(at)
        values = level[rng.integers(0, len(level), a_day)] * rng.lognormal(0, 0.5, (a_day, len(NAMES)))
        night = (hours < 6).astype(float)
        values[:, AMOUNT] *= 1 + 2 * night + (day.weekday() >= 5)
        values[:, NIGHT] = night
        times.append(at[order])
        rows.append(values[order].astype(np.float32))
    return np.concatenate(times), np.concatenate(rows)


def risen(times: np.ndarray, features: np.ndarray, *columns: int) -> np.ndarray:
    """The features with some that grow from day to day, as a merchant's age does."""
    grown = features.copy()
    grown[:, columns] += 20 * ((times - day_us(FIRST)) // DAY_US)[:, None]
    return grown


def watched_artifact(folder: Path, days: int = 42, rising: tuple[int, ...] = ()) -> Path:
    """A tiny artifact with the reference that step train would have written of :func:`traffic`."""
    tiny_artifact(folder)
    times, features = traffic(days)
    features = risen(times, features, *rising)
    scores = Scorer(load_artifact(folder)).only_scores(features)
    by_feature, by_score = feature_reference(NAMES, features), score_reference(scores)
    reference = folder / "reference"
    pq.write_table(by_feature, reference / "features.parquet")
    pq.write_table(by_score, reference / "score.parquet")
    pq.write_table(day_reference(by_feature, by_score, times, [*features.T, scores]), reference / "days.parquet")
    pq.write_table(row_reference(NAMES, times, features, scores), reference / "rows.parquet")
    write_manifest(folder)
    return folder


def decisions(model: Path, times: np.ndarray, features: np.ndarray) -> pa.Table:
    """Decisions on rows, as a consumer of the topic may keep them."""
    artifact = load_artifact(model)
    scores = Scorer(artifact).only_scores(np.nan_to_num(features))
    n = len(times)
    return pa.table(
        {
            "transaction_id": [f"t{row}" for row in range(n)],
            "card_id": [f"c{row % 400}" for row in range(n)],
            "event_time": pa.array(times),
            "score": pa.array(scores.astype(np.float64)),
            "decision": ["review" if score >= artifact.thresholds.review else "allow" for score in scores.tolist()],
            "model_version": pa.array([artifact.version] * n),
            "features": pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), len(NAMES)).cast(
                pa.list_(pa.float32())
            ),
        }
    )


def _hours() -> np.ndarray:
    weight = 1 + np.sin((np.arange(24) - 8) / 24 * 2 * np.pi) * 0.8
    return weight / weight.sum()


__all__ = ["AMOUNT", "A_DAY", "DAY_US", "FIRST", "NAMES", "decisions", "risen", "traffic", "watched_artifact"]
