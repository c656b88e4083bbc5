"""fraudline's own models: the default, its parts alone, and its other kinds of autoencoder."""

import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

import fraudline
from benchmarks.handbook import BOTTLENECKS
from benchmarks.quality.family import Family, Outcome
from benchmarks.quality.rows import OURS, Week
from fraudline.model.params import TrainParams

DEFAULT = "fraudline"
ALONE = "autoencoder alone"
WITHOUT = "without autoencoder"
GROUP = "fraudline: no fraud as a training target"
_MODEL = Path(fraudline.__file__).parent / "model"
_SOURCES = tuple(_MODEL / f"{name}.py" for name in ("fitting", "members", "network", "scaling", "tails", "training"))


def families() -> list[Family]:
    """The default with its parts."""
    return [_family(DEFAULT, TrainParams(bottlenecks=BOTTLENECKS), (DEFAULT, ALONE, WITHOUT))]


def _family(name: str, params: TrainParams, outputs: tuple[str, ...]) -> Family:
    return Family(
        name=name,
        group=GROUP,
        columns=OURS,
        outputs=outputs,
        settings=params.model_dump(mode="json"),
        sources=_SOURCES,
        run=partial(_run, params),
    )


def _run(params: TrainParams, week: Week, seed: int) -> Mapping[str, Outcome]:
    from fraudline.model.runtime import load_tensorflow

    load_tensorflow()
    from fraudline.model.export import write_onnx
    from fraudline.model.fitting import fit
    from fraudline.model.scorer import GraphScorer
    from fraudline.model.tails import Tails

    spec = week.params.features.resolve()
    begun = time.process_time()
    fitted = fit(week.normals, week.later_normals, spec, params, seed)
    fit_s = time.process_time() - begun
    with tempfile.TemporaryDirectory() as folder:
        write_onnx(fitted.graph, Path(folder) / "model.onnx")
        scorer = GraphScorer((Path(folder) / "model.onnx").read_bytes(), spec.names)
    begun = time.process_time()
    full = scorer.score(week.test).score.astype(np.float64)
    score_s = time.process_time() - begun
    upper = [index for index, feature in enumerate(spec.features) if feature.tail == "upper"]
    rarity = Tails.learn(week.normals, upper).rarity(week.test).astype(np.float64)
    tails = params.tail_weight * (rarity**8).sum(axis=1) ** 0.125
    return {
        DEFAULT: Outcome(full, fit_s, score_s),
        ALONE: Outcome(full - tails, fit_s, score_s),
        WITHOUT: Outcome(tails, 0.0, 0.0),
    }
