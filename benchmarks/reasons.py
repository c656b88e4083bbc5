"""The shares of the model's own graph beside Shapley values that SHAP's KernelExplainer estimates of the same score.

    python -m benchmarks.reasons --json build/bench/reasons.json --page docs/reference/quality-reasons.md

For a sample of alerts of the test days: does each sum to the score, do they name the same features, what happens to the
score when the named features are set to what is usual, and how long does a row take. KernelExplainer is run twice, each
time against other known normals, so that its agreement with itself stands beside its agreement with the graph.
"""

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraudline.core.errors import DataError, FraudlineError
from fraudline.core.files import write_json, write_text
from fraudline.data.splits import Split
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.model.scorer import Scorer
from fraudline.steps.params import Params

TOP = 3
BATCH = 512
_REPEATS = 50
_NOTE = "<!-- written by `make bench-reasons`: do not edit -->\n"


_READING = """How to read it: both split a score among features, but from different origins. The graph's shares begin at
0 and follow its formula; Shapley values begin at the mean score of the normals they are given, and average over orders
in which features become known. Where two features stand for one cause, Shapley values share it between them. The rank
correlation counts every feature, also the many whose share is near 0; the first three are what a reviewer reads. The
last table asks the model itself: had the named features been usual, how much of the score would be left?
"""


@dataclass(frozen=True)
class Sample:
    """Rows to explain, and normals to explain them against; (·, d) float32."""

    alerts: np.ndarray
    backgrounds: tuple[np.ndarray, np.ndarray]
    traffic: np.ndarray


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        result = run(arguments.model, arguments.features, arguments.params, arguments.alerts, arguments.background)
    except FraudlineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    text = page(result)
    if arguments.json is not None:
        write_json(arguments.json, result)
    if arguments.page is not None:
        write_text(arguments.page, text)
    print(text)
    return 0


def run(model: Path, features: Path, params_file: Path, alerts: int, background: int) -> dict[str, Any]:
    """Explain a sample both ways.

    Raises:
        DataError: there are no features, or no alert among the test days.
    """
    artifact = load_artifact(model)
    scorer = Scorer(artifact)
    sample = _sample(artifact, scorer, features, params_file, alerts, background)

    def score(rows: np.ndarray) -> np.ndarray:
        return scorer.score(np.asarray(rows, np.float32)).score.astype(np.float64)

    found = scorer.score(sample.alerts)
    shap = [_shap(score, part, sample.alerts, seed) for seed, part in enumerate(sample.backgrounds)]
    shares, usual = found.contributions.astype(np.float64), found.expected
    median = np.median(sample.backgrounds[0], axis=0)
    random = np.random.default_rng(7).random(shares.shape)
    everything = scorer.score(sample.traffic)
    summed = everything.contributions.sum(axis=1, dtype=np.float64)
    return {
        "model": artifact.version,
        "kind": artifact.meta.architecture.get("kind", ""),
        "method": artifact.meta.reasons,
        "features": len(artifact.spec.names),
        "alerts": len(sample.alerts),
        "background": background,
        "evaluations": shap[0].evaluations,
        "sums": {
            "rows": len(everything.score),
            "largest_gap": float(np.abs(summed - everything.score).max()),
            "largest_score": float(everything.score.max()),
            "shap_largest_gap": float(np.abs(shap[0].values.sum(axis=1) + shap[0].base - found.score).max()),
        },
        "agreement": {
            "graph_shap": _agreement(shares, shap[0].values),
            "shap_shap": _agreement(shap[1].values, shap[0].values),
        },
        "deletion": {
            name: {
                "expected": _drop(score, sample.alerts, ranked, usual),
                "median": _drop(score, sample.alerts, ranked, np.broadcast_to(median, usual.shape)),
            }
            for name, ranked in (("graph", shares), ("shap", shap[0].values), ("random", random))
        },
        "milliseconds_a_row": {
            "score_alone": _graph_ms(scorer.only_scores, sample.traffic),
            "score_and_shares": _graph_ms(scorer.score, sample.traffic),
            "shap": shap[0].seconds * 1000 / len(sample.alerts),
        },
        "busy": os.getloadavg()[0] > 1.5 * (os.cpu_count() or 1),
    }


@dataclass(frozen=True)
class Shap:
    """Estimated Shapley values (n, d), their base value, and the CPU seconds that they took."""

    values: np.ndarray
    base: float
    seconds: float
    evaluations: int


def _shap(score: Callable[[np.ndarray], np.ndarray], background: np.ndarray, rows: np.ndarray, seed: int) -> Shap:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap

        counted = 0

        def heard(points: np.ndarray) -> np.ndarray:
            nonlocal counted
            counted += len(points)
            return score(points)

        np.random.seed(seed)  # the coalitions are drawn from the global generator
        explainer = shap.KernelExplainer(heard, background.astype(np.float64))
        begun, before = time.process_time(), counted
        values = explainer.shap_values(rows.astype(np.float64), silent=True, l1_reg=0)
        seconds = time.process_time() - begun
    return Shap(np.asarray(values), float(explainer.expected_value), seconds, (counted - before) // len(rows))


def _sample(
    artifact: Artifact, scorer: Scorer, features: Path, params_file: Path, alerts: int, background: int
) -> Sample:
    params = Params.load(params_file) if params_file.exists() else Params()
    path = features / "features.parquet"
    if not path.is_file():
        raise DataError(f"{path} is missing.", "Run `dvc repro` first, or name the folder of step featurize.")
    table = pq.read_table(path)
    times = pc.cast(table["event_time"], "int64").to_numpy()
    split = Split.over(times, params.split, params.label_delay_days)
    frauds = table["is_fraud"].to_numpy(zero_copy_only=False).astype(bool)
    reported = pc.fill_null(pc.cast(table["label_time"], "int64"), 0).to_numpy()
    matrix = np.column_stack([table[name].to_numpy() for name in artifact.spec.names]).astype(np.float32)
    rng = np.random.default_rng(11)
    normals = np.flatnonzero(split.train.mask(times) & split.known_normal(times, reported, frauds))
    chosen = rng.choice(normals, 2 * background, replace=False)
    test = matrix[split.test.mask(times)]
    alerted = np.flatnonzero(scorer.score(test).score >= np.float32(artifact.thresholds.review))
    if len(alerted) < 2:
        raise DataError("The test days have no alert to explain.", "Lower the threshold, or widen split.test_days.")
    picked = rng.choice(alerted, min(alerts, len(alerted)), replace=False)
    halves = (matrix[chosen[:background]], matrix[chosen[background:]])
    return Sample(test[picked], halves, test)


def _agreement(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Means over rows: rank correlation, share of rows with the same first feature, overlap of the first three."""
    correlations, first, overlap = [], 0, 0.0
    for one, other in zip(a, b, strict=True):
        ranks = np.array([np.argsort(np.argsort(part)) for part in (one, other)])
        correlations.append(np.corrcoef(ranks)[0, 1])
        tops = [np.argsort(-part, kind="stable")[:TOP] for part in (one, other)]
        first += int(tops[0][0] == tops[1][0])
        overlap += len(set(tops[0]) & set(tops[1])) / TOP
    return {"spearman": float(np.mean(correlations)), "top1": first / len(a), "top3": overlap / len(a)}


def _drop(score: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, ranked: np.ndarray, usual: np.ndarray) -> float:
    """Mean share of the score that is gone when the three highest-ranked features take their usual values."""
    changed = rows.copy()
    tops = np.argsort(-ranked, axis=1, kind="stable")[:, :TOP]
    np.put_along_axis(changed, tops, np.take_along_axis(usual, tops, axis=1).astype(np.float32), axis=1)
    before, after = score(rows), score(changed)
    return float(np.mean(1 - after / before))


def _graph_ms(ask: Callable[[np.ndarray], Any], rows: np.ndarray) -> float:
    """Median CPU milliseconds a row in batches, on one thread."""
    batch = rows[:BATCH]
    times = []
    for _ in range(_REPEATS):
        begun = time.process_time()
        ask(batch)
        times.append(time.process_time() - begun)
    return float(np.median(times)) * 1000 / len(batch)


def page(result: dict[str, Any]) -> str:
    """The reference page."""
    sums, agreement, deletion, ms = (result[key] for key in ("sums", "agreement", "deletion", "milliseconds_a_row"))
    names = {"graph": "the graph's three", "shap": "SHAP's three", "random": "three at random"}
    lines = [
        _NOTE,
        "# Quality of reasons\n",
        f"Written by `make bench-reasons` with the model `{result['model']}` ({result['kind']}, reasons by "
        f"`{result['method']}`) on {result['alerts']} alerts of the test days, {result['features']} features. SHAP is "
        f"KernelExplainer of the same score against {result['background']} known normals, "
        f"{result['evaluations']:,} evaluations of the score a row."
        f"{' Times were taken while other work ran on the machine.' if result['busy'] else ''}\n",
        "| | the graph's shares | SHAP KernelExplainer |",
        "|---|---|---|",
        f"| largest gap between sum and score | {sums['largest_gap']:.1e} on {sums['rows']:,} rows (scores up to "
        f"{sums['largest_score']:.1f}) | {sums['shap_largest_gap']:.1e} from its base value |",
        f"| milliseconds of CPU a row | {ms['score_and_shares']:.4f} ({ms['score_alone']:.4f} without shares) | "
        f"{ms['shap']:,.0f} |",
        "| the same row again | the same shares | other coalitions and normals, other values |",
        "",
        "| agreement, mean over alerts | rank correlation | same first feature | overlap of the first three |",
        "|---|---|---|---|",
        _agreed("the graph with SHAP", agreement["graph_shap"]),
        _agreed("SHAP with SHAP, against other normals", agreement["shap_shap"]),
        "",
        "| share of the score gone when three features become usual | as the model expected | the normals' median |",
        "|---|---|---|",
        *(f"| {names[key]} | {part['expected']:.0%} | {part['median']:.0%} |" for key, part in deletion.items()),
        "",
        _READING,
    ]
    return "\n".join(lines)


def _agreed(name: str, figures: dict[str, float]) -> str:
    return f"| {name} | {figures['spearman']:.2f} | {figures['top1']:.0%} | {figures['top3']:.0%} |"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("build/model"), help="folder of the artifact")
    parser.add_argument("--features", type=Path, default=Path("build/features"), help="folder of step featurize")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameters of the split")
    parser.add_argument("--alerts", type=int, default=60, help="alerts to explain")
    parser.add_argument("--background", type=int, default=30, help="known normals that SHAP explains against")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--page", type=Path, help="file for the reference page")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
