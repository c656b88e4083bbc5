"""fraudline on the Fraud Detection Handbook's simulated transactions, by the book's protocol.

    python -m benchmarks.handbook --json build/bench/handbook.json

The importer, the feature engine, the merchant profiles, the training and the ONNX scorer are the product's own, with
its default parameters; the dates are the protocol's, and the features that the set cannot carry or has no use for are
left out (``WITHOUT``), the bottlenecks narrower to match. A week is scored by a model of known normals from
``--train-start`` to seven days before ``--test-start``, with the labels that had arrived on the morning of its first
day. As in the book, cards known to be compromised leave the test: those with a fraud in the week before the delay, and
from each test day on those whose fraud of the delay has been reported (Le Borgne et al., Reproducible Machine Learning
for Credit Card Fraud Detection, chapters 3 and 4).

The settings were chosen on the validation week (``--test-start 2018-07-25``) and the two weeks before it, never on the
test week.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraudline.core.clock import DAY_US, day_us
from fraudline.core.errors import DataError, FraudlineError
from fraudline.core.files import write_json
from fraudline.data import store
from fraudline.data.importers.handbook import import_handbook
from fraudline.data.splits import DayRange, Split
from fraudline.features.params import FeatureParams
from fraudline.model.baselines import BASELINES, baseline_scores
from fraudline.model.evaluation import EvaluationRows, Evaluator
from fraudline.model.params import TrainParams
from fraudline.steps.params import Params

FILE = "handbook_2018-06-11_08-14_compact.parquet"
SHARED = Path(os.environ.get("FRAUDLINE_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
TEST_START = date(2018, 8, 8)
DELAY = 7
TEST_DAYS = 7
COMPROMISED_DAYS = 7  # the book's training week, whose defrauded cards are known and leave the test
HISTORY_DAYS = 35
WARMUP_DAYS = 7
HELD_OUT_DAYS = 4  # the last training days: early stopping, residual covariance, tails

WITHOUT = (
    # the set has no category, place, device or country
    *("category_rarity", "distance_from_last", "speed_from_last", "distance_from_home", "no_position"),
    *("new_device", "new_country"),
    # it simulates no bursts and no habit of places or hours: on the validation weeks these only add noise
    *("card_count_1h", "card_amount_1h", "card_amount_1d", "card_amount_30d", "small_count_1h", "merchants_1d"),
    *("seconds_since_last", "hour_deviation", "new_merchant", "merchant_age"),
)
BOTTLENECKS = (1, 2, 3)  # for half of the features about half of the default's widths

PUBLISHED: tuple[tuple[str, float, float, float, str], ...] = (
    ("logistic regression, supervised", 0.606, 0.871, 0.291, "the book, test week"),
    ("random forest, supervised", 0.658, 0.867, 0.287, "the book, test week"),
    ("XGBoost, supervised", 0.639, 0.862, 0.273, "the book, test week"),
    ("LSTM, supervised", 0.665, 0.876, 0.297, "the book, test week"),
    ("autoencoder, unsupervised", 0.180, 0.836, 0.217, "the book, validation week"),
    ("isolation forest, unsupervised", 0.164, 0.808, 0.190, "the book, validation week"),
)


@dataclass(frozen=True)
class Week:
    """What the protocol takes from the features of the whole file."""

    split: Split
    names: tuple[str, ...]
    normals: np.ndarray
    later_normals: np.ndarray
    test: pa.Table
    matrix: np.ndarray


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    try:
        result = run(arguments.file, arguments.test_start, arguments.train_start, arguments.seed)
    except FraudlineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if arguments.json is not None:
        write_json(arguments.json, result)
    show(result)
    return 0


def run(file: Path, test_start: date, train_start: date | None = None, seed: int | None = None) -> dict[str, Any]:
    """Import, featurize, train, score and measure one week.

    Raises:
        DataError: the file does not reach the dates.
    """
    begun = time.monotonic()
    chosen = Params(features=FeatureParams(without=WITHOUT), train=TrainParams(bottlenecks=BOTTLENECKS))
    params = chosen if seed is None else chosen.model_copy(update={"seed": seed})
    with tempfile.TemporaryDirectory() as folder:
        import_handbook(file, Path(folder) / "dataset", label_delay_days=DELAY)
        days = store.days(Path(folder) / "dataset")
        split = _split(days[0], days[-1], test_start, train_start)
        week = _week(_features(Path(folder), params), params, split)
        scores = _score(week, Path(folder), params)
    baselines = {
        name: baseline_scores(name, week.normals, week.matrix, seed=params.seed, limit=params.evaluate.baseline_rows)
        for name in BASELINES
    }
    evaluator = Evaluator(EvaluationRows.of(week.test), params.evaluate, params.seed)
    return {
        "fraudline": _figures(evaluator, scores) | {"scenarios": _scenarios(evaluator, scores)},
        "baselines": {name: _figures(evaluator, other) for name, other in baselines.items()},
        "protocol": {
            "train": {"start": week.split.train.start.isoformat(), "end": week.split.validation.end.isoformat()},
            "test": week.split.test.to_dict(),
            "label_delay_days": DELAY,
            "normals": len(week.normals) + len(week.later_normals),
            "transactions": week.test.num_rows,
            "frauds": int(evaluator.rows.labels.sum()),
            "seed": params.seed,
            "features": list(week.names),
        },
        "seconds": round(time.monotonic() - begun, 1),
    }


def show(result: dict[str, Any]) -> None:
    """Print the figures beside the published ones."""
    from rich.console import Console
    from rich.table import Table

    protocol, ours = result["protocol"], result["fraudline"]
    table = Table(title=f"Fraud Detection Handbook, {protocol['test']['start']} to {protocol['test']['end']}")
    table.add_column("model")
    for name in ("AP", "AUC", "CP@100"):
        table.add_column(name, justify="right")
    table.add_column("measured")
    spans = {key: f"{low:.3f}-{high:.3f}" for key, (low, high) in ours["intervals"].items()}
    table.add_row(
        "[bold]fraudline, no fraud as a target[/bold]",
        *(f"[bold]{ours[key]:.3f}[/bold]\n[dim]{spans[key]}[/dim]" for key in ("ap", "auc", "cp100")),
        "here",
    )
    for name, figures in result["baselines"].items():
        table.add_row(name.replace("_", " "), *(f"{figures[key]:.3f}" for key in ("ap", "auc", "cp100")), "here")
    table.add_section()
    for name, ap, auc, cp, where in PUBLISHED:
        table.add_row(name, f"{ap:.3f}", f"{auc:.3f}", f"{cp:.3f}", where)
    console = Console()
    console.print(table)
    console.print(
        f"{protocol['transactions']:,} transactions, {protocol['frauds']:,} frauds; trained on "
        f"{protocol['normals']:,} known normals of {protocol['train']['start']} to {protocol['train']['end']} "
        f"(end excluded); AP by scenario {ours['scenarios']}; {result['seconds']} s."
    )
    if protocol["test"]["start"] != TEST_START.isoformat():
        console.print(f"The published figures are of the book's own weeks (test week {TEST_START}), not of these days.")


def _features(folder: Path, params: Params) -> pa.Table:
    from fraudline.steps.featurize import featurize

    featurize(dataset=folder / "dataset", features=folder / "features", profiles=folder / "profiles", params=params)
    return pq.read_table(folder / "features" / "features.parquet")


def _week(table: pa.Table, params: Params, split: Split) -> Week:
    times = pc.cast(table["event_time"], pa.int64()).to_numpy()
    frauds = table["is_fraud"].to_numpy(zero_copy_only=False)
    labelled = pc.fill_null(pc.cast(table["label_time"], pa.int64()), 0).to_numpy()
    normal = split.known_normal(times, labelled, frauds)
    names = params.features.resolve().names
    matrix = np.column_stack([table[name].to_numpy() for name in names]).astype(np.float32, copy=False)
    test = split.test.mask(times) & ~_compromised(table, times, frauds, split)
    return Week(
        split,
        names,
        matrix[split.train.mask(times) & normal],
        matrix[split.validation.mask(times) & normal],
        table.filter(pa.array(test)),
        matrix[test],
    )


def _split(first: date, last: date, test_start: date, train_start: date | None) -> Split:
    train_end = test_start - timedelta(days=DELAY)
    start = train_start or max(train_end - timedelta(days=HISTORY_DAYS), first + timedelta(days=WARMUP_DAYS))
    test = DayRange(test_start, test_start + timedelta(days=TEST_DAYS))
    held_out = max(1, min(HELD_OUT_DAYS, (train_end - start).days // 2))
    middle = train_end - timedelta(days=held_out)
    if start >= middle or start < first or test.end > last + timedelta(days=1):
        raise DataError(
            f"The file has {first} to {last}; training {start} to {train_end} and the test week from {test_start} do "
            "not fit.",
            "Correct --train-start and --test-start.",
        )
    return Split(DayRange(first, start), DayRange(start, middle), DayRange(middle, train_end), test, DELAY)


def _compromised(table: pa.Table, times: np.ndarray, frauds: np.ndarray, split: Split) -> np.ndarray:
    """Rows of the test week whose card is known to be compromised on the morning of their day."""
    cards = table["card_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    never = np.iinfo(np.int64).max
    day = times // DAY_US
    known_from = np.full(int(cards.max()) + 1, never)
    opening = day_us(split.test.start) // DAY_US
    counted = frauds & (day >= opening - DELAY - COMPROMISED_DAYS)
    # a fraud of day d is known on the morning of d + delay + 1, one of the week before the delay when the test begins
    np.minimum.at(known_from, cards[counted], np.maximum(day[counted] + DELAY + 1, opening))
    return day >= known_from[cards]


def _score(week: Week, folder: Path, params: Params) -> np.ndarray:
    from fraudline.model.runtime import load_tensorflow

    load_tensorflow()
    from fraudline.model.export import write_onnx
    from fraudline.model.fitting import fit
    from fraudline.model.scorer import GraphScorer

    spec = params.features.resolve()
    fitted = fit(week.normals, week.later_normals, spec, params.train, params.seed)
    write_onnx(fitted.graph, folder / "model.onnx")
    scorer = GraphScorer((folder / "model.onnx").read_bytes(), week.names)
    return scorer.score(week.matrix).score.astype(np.float64)


def _figures(evaluator: Evaluator, scores: np.ndarray) -> dict[str, Any]:
    figures = evaluator.figures(evaluator.samples(scores))
    short = {"ap": "ap", "auc": "roc_auc", "cp100": "cp100"}
    return {
        **{name: figures[key] for name, key in short.items()},
        "intervals": {name: figures["intervals"][key] for name, key in short.items()},
    }


def _scenarios(evaluator: Evaluator, scores: np.ndarray) -> dict[str, float]:
    kinds = evaluator.kinds(scores, float("inf"))
    return {kind.removeprefix("scenario_"): round(figures["ap"], 3) for kind, figures in kinds.items()}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.handbook", description=__doc__.splitlines()[0])
    day = date.fromisoformat
    parser.add_argument("--file", type=Path, default=SHARED / FILE, help="the book's columns, or the compact form")
    parser.add_argument("--test-start", type=day, default=TEST_START, help="first day of the test week")
    parser.add_argument("--train-start", type=day, help="default: 35 days before the label delay, as the file allows")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--seed", type=int, help="default: that of the parameters")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
