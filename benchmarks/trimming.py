"""How many unreported frauds `train.trim` finds, by how many are reported.

    python -m benchmarks.trimming [--json OUT]

Of the data set of the last `dvc repro`: known normals are mixed with reported frauds whose label is taken away, and the
defence knows as many others as the column says. Each draw is anew, the same rows for every column.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import run_command
from fraudline.core.errors import DataError
from fraudline.model.params import TrimParams
from fraudline.model.trimming import suspicious
from fraudline.steps.labelled import LabelledRows, learned_spec, matrix_of
from fraudline.steps.params import Params

NORMALS = 15_000
SHARES = (0.0, 0.01, 0.03)
KNOWN = (100, 200, 300, 500, 1_000, 1_500)
SEEDS = (1, 2, 3, 4)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, default=Path("build/features"), help="folder of step featurize")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="split and train.trim")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    given = parser.parse_args(argv)
    return run_command(lambda: measure(given.features, Params.load(given.params)), page, json=given.json, to=None)


def measure(features: Path, params: Params) -> dict[str, Any]:
    """Every share by every number of known frauds: what is found, and the share that is estimated.

    Raises:
        DataError: there are no features, or fewer rows than the draws need.
    """
    spec = learned_spec(features, params)
    rows = LabelledRows.read(features, spec, params)
    matrix = matrix_of(rows.table, spec.names)
    begun = rows.times >= rows.split.train.start_us
    normals, frauds = matrix[rows.normal & begun], matrix[rows.reported & begun]
    needed = max(map(_hidden, SHARES)) + KNOWN[-1]
    if len(normals) < NORMALS or len(frauds) < needed:
        raise DataError(
            f"There are {len(frauds)} reported frauds, {needed} are needed.", "Generate more days or cards."
        )
    return {
        f"{share:g}": {
            str(known): [_draw(normals, frauds, share, known, params.train.trim, seed) for seed in SEEDS]
            for known in KNOWN
        }
        for share in SHARES
    }


def _hidden(share: float) -> int:
    """Unreported frauds that are this share of all rows."""
    return round(NORMALS * share / (1 - share))


def _draw(
    normals: NDArray[np.float32], frauds: NDArray[np.float32], share: float, known: int, trim: TrimParams, seed: int
) -> dict[str, float | None]:
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(frauds))
    hidden = _hidden(share)
    supposed = np.concatenate([frauds[order[:hidden]], normals[rng.choice(len(normals), NORMALS, replace=False)]])
    found = suspicious(supposed, frauds[order[hidden : hidden + known]], trim, seed)
    left_out = ~found.kept
    return {"found": float(left_out[:hidden].mean()) if hidden else None, "share": found.share}


def page(result: dict[str, Any]) -> str:
    """Tables in Markdown: means over the draws, and for the share the least and the largest."""
    lines = ["| known frauds | " + " | ".join(f"{known:,}" for known in KNOWN) + " |", "|---|" + "---:|" * len(KNOWN)]
    for share, columns in result.items():
        hidden = _hidden(float(share))
        if hidden:
            means = [np.mean([draw["found"] for draw in draws]) for draws in columns.values()]
            lines.append(f"| found of {hidden} unreported ones ({float(share):.0%}) | " + _row(means, "0%"))
        every = np.array([[draw["share"] for draw in draws] for draws in columns.values()])
        lines.append(f"| estimated share, least, where it is {float(share):.0%} | " + _row(every.min(axis=1), "1%"))
        lines.append("| largest | " + _row(every.max(axis=1), "1%"))
    return "\n".join(lines)


def _row(values: Sequence[float] | NDArray[np.float64], form: str) -> str:
    return " | ".join(f"{value:.{form}}" for value in values) + " |"


if __name__ == "__main__":
    sys.exit(main())
