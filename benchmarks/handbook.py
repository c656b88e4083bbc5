"""fraudline on the Fraud Detection Handbook's simulated transactions, by the book's protocol.

    python -m benchmarks.handbook --json build/bench/handbook.json

The importer, the feature engine, the merchant profiles, the training and the ONNX scorer are the product's own, with
its default parameters; the dates are the protocol's, and the features that the set cannot carry or has no use for are
left out (``WITHOUT``), the bottlenecks narrower to match. The rows are those of :mod:`benchmarks.quality.protocol`.

The settings were chosen on the validation week (``--test-start 2018-07-25``) and the two weeks before it, never on the
test week.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.quality.protocol import DELAY, FILE, SHARED, TEST_START, Cut, cut, split_of
from fraudline.core.errors import FraudlineError
from fraudline.core.files import write_json
from fraudline.data import store
from fraudline.data.importers.handbook import import_handbook
from fraudline.features.params import FeatureParams
from fraudline.model.baselines import baseline_scores
from fraudline.model.evaluation import EvaluationRows, Evaluator
from fraudline.model.params import TrainParams
from fraudline.steps.params import Params

WITHOUT = (
    # the set has no category, place, device or country
    *("category_rarity", "distance_from_last", "speed_from_last", "distance_from_home", "no_position"),
    *("new_device", "new_country"),
    # it simulates no bursts and no habit of places or hours: on the validation weeks these only add noise
    *("card_count_1h", "card_amount_1h", "card_amount_1d", "card_amount_30d", "small_count_1h", "merchants_1d"),
    *("seconds_since_last", "hour_deviation", "new_merchant", "merchant_age"),
)
TRAIN = TrainParams(
    bottlenecks=(1, 2, 3),  # for half of the features about half of the default's widths
    tail_features=("amount",),  # chosen on the week of 2018-07-11, as were the pairs and the weights
    joints=("card_habit", "merchant_streak"),
    autoencoder_weight=0.05,  # the least on the plateau of the weeks of choice and validation
    surprise_weight=0.0,
)

PUBLISHED: tuple[tuple[str, float, float, float, str], ...] = (
    ("logistic regression, supervised", 0.606, 0.871, 0.291, "the book, test week"),
    ("random forest, supervised", 0.658, 0.867, 0.287, "the book, test week"),
    ("XGBoost, supervised", 0.639, 0.862, 0.273, "the book, test week"),
    ("LSTM, supervised", 0.665, 0.876, 0.297, "the book, test week"),
    ("autoencoder, unsupervised", 0.180, 0.836, 0.217, "the book, validation week"),
    ("isolation forest, unsupervised", 0.164, 0.808, 0.190, "the book, validation week"),
)


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
    chosen = Params(features=FeatureParams(without=WITHOUT), train=TRAIN)
    params = chosen if seed is None else chosen.model_copy(update={"seed": seed})
    with tempfile.TemporaryDirectory() as folder:
        import_handbook(file, Path(folder) / "dataset", label_delay_days=DELAY)
        days = store.days(Path(folder) / "dataset")
        split = split_of(days[0], days[-1], test_start, train_start)
        table = _features(Path(folder), params)
        names = params.features.resolve().names
        matrix = np.column_stack([table[name].to_numpy() for name in names]).astype(np.float32, copy=False)
        week = cut(table, split)
        scores = _score(week, matrix, Path(folder), params)
    baselines = {
        name: baseline_scores(
            name, matrix[week.normal], matrix[week.test], seed=params.seed, limit=params.evaluate.baseline_rows
        )
        for name in params.evaluate.baselines
    }
    evaluator = Evaluator(EvaluationRows.of(table.filter(pa.array(week.test))), params.evaluate, params.seed)
    return {
        "fraudline": _figures(evaluator, scores) | {"scenarios": _scenarios(evaluator, scores)},
        "baselines": {name: _figures(evaluator, other) for name, other in baselines.items()},
        "protocol": {
            "train": {"start": split.train.start.isoformat(), "end": split.validation.end.isoformat()},
            "test": split.test.to_dict(),
            "label_delay_days": DELAY,
            "normals": int(np.count_nonzero(week.normal | week.later_normal)),
            "transactions": len(evaluator.rows.labels),
            "frauds": int(evaluator.rows.labels.sum()),
            "seed": params.seed,
            "features": list(names),
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


def _score(week: Cut, matrix: np.ndarray, folder: Path, params: Params) -> np.ndarray:
    from fraudline.model.runtime import load_tensorflow

    load_tensorflow()
    from fraudline.model.export import write_onnx
    from fraudline.model.fitting import fit
    from fraudline.model.scorer import GraphScorer

    spec = params.features.resolve()
    fitted = fit(matrix[week.normal], matrix[week.later_normal], spec, params.train, params.seed)
    write_onnx(fitted.graph, folder / "model.onnx")
    scorer = GraphScorer((folder / "model.onnx").read_bytes(), spec.names)
    return scorer.score(matrix[week.test]).score.astype(np.float64)


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
