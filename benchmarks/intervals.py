"""The evaluation's intervals when whole merchants are drawn instead of whole cards.

    python -m benchmarks.intervals [--json OUT]

Frauds of one campaign hit several cards at one merchant; intervals that draw cards take them for independent. Both are
of the test days of the last `dvc repro`, with the resamples, the confidence and the seed of `evaluate`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import run_command
from fraudline.model.artifact import load_artifact
from fraudline.model.bootstrap import Draws, ranking_samples
from fraudline.model.figure_words import said
from fraudline.model.scorer import Scorer
from fraudline.steps.labelled import LabelledRows, matrix_of
from fraudline.steps.params import Params

UNITS = {"card": "card_id", "merchant": "merchant_id"}
RATE = 0.005


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("build/model"), help="folder of the artifact")
    parser.add_argument("--features", type=Path, default=Path("build/features"), help="folder of step featurize")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameters of the evaluation")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    given = parser.parse_args(argv)
    return run_command(
        lambda: measure(given.model, given.features, Params.load(given.params)), page, json=given.json, to=None
    )


def measure(model: Path, features: Path, params: Params) -> dict[str, Any]:
    """Figures of the test days and their intervals by unit.

    Raises:
        ArtifactError: the artifact cannot be verified.
        DataError: there are no features, or too few days.
    """
    artifact = load_artifact(model)
    rows = LabelledRows.read(features, artifact.spec, params, columns=None)
    test = rows.table.filter(rows.split.test.mask(rows.times))
    labels = test["is_fraud"].to_numpy(zero_copy_only=False).astype(bool)
    scores = Scorer(artifact).score(matrix_of(test, artifact.spec.names)).score.astype(np.float64)
    drawn = params.evaluate.bootstrap
    result: dict[str, Any] = {"model": artifact.version, "resamples": drawn.resamples, "confidence": drawn.confidence}
    for unit, column in UNITS.items():
        codes = test[column].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
        samples = ranking_samples(labels, scores, Draws.of(codes, drawn.resamples, params.seed), (RATE,))
        result["figures"] = {name: sample.point for name, sample in samples.items()}
        result[unit] = {name: sample.interval(drawn.confidence) for name, sample in samples.items()}
    return result


def page(result: dict[str, Any]) -> str:
    """A table in Markdown."""
    lines = [
        f"Model {result['model']}, {result['resamples']} resamples, confidence {result['confidence']:g}.\n",
        "| figure | value | drawn by card | drawn by merchant |",
        "|---|---:|---:|---:|",
    ]
    for name, value in result["figures"].items():
        spans = [f"{low:.3f}–{high:.3f}" for low, high in (result[unit][name] for unit in UNITS)]
        lines.append(f"| {said(name)} | {value:.3f} | {spans[0]} | {spans[1]} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
