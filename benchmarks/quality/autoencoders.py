"""fraudline's own models: the default with its parts alone, its other kinds of autoencoder, and what labels add."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import fraudline
from benchmarks.handbook import TRAIN
from benchmarks.quality.family import Family, Outcome
from benchmarks.quality.rows import Week
from benchmarks.quality.settings import HISTORY, OURS
from fraudline.model.kinds import fit_kind
from fraudline.model.params import TrainParams
from fraudline.model.scorer import open_graph

if TYPE_CHECKING:
    from fraudline.model.fitting import FittedModel

DEFAULT = "fraudline"
ALONE = "autoencoder alone"
WITHOUT = "without autoencoder"
CALIBRATED, HYBRID = "label-calibrated", "hybrid (xgboost)"
TARGETLESS = "fraudline: no fraud as a training target"
COMPARED = "kinds of autoencoder, with equal rows and epochs"
SUPERVISED = "fraudline with fraud as a target"
KINDS = {"dense": OURS, "denoising": OURS, "variational": OURS, "sequence": HISTORY}
KIND_ROWS, KIND_EPOCHS = 50_000, 10
"""What the kinds are compared with, the dense one among them: a third of the default's rows, half of its epochs."""

HYBRID_ROWS = 75_000

_POWER = 8.0  # the graph joins surprises by this power mean, close to their maximum
_LOGISTIC_ROWS = 60_000
_RAMP, _RAMPS = 0.5, 11  # decades
_RIDGE, _FREE = 3e-4, 30.0  # of the logistic regression; how much less the ridge draws at the full score
_MODEL = Path(fraudline.__file__).parent / "model"
_FITTING = (
    *("dense_kernels", "dense_training", "export", "fitting", "inputs", "joints", "kinds", "ladders", "members"),
    *("network", "scaling", "sequence", "stack", "surprises", "tails", "training"),
)
_SOURCES = tuple(_MODEL / f"{name}.py" for name in _FITTING)
_LABELLED = (
    *_SOURCES,
    *(_MODEL / f"{name}.py" for name in ("challengers", "supervised", "tree_graph", "trees")),
    Path(__file__),
)

Matrix = NDArray[np.float32]
Floats = NDArray[np.float64]


def families() -> list[Family]:
    """The default, the other kinds, and the models that are told which transactions were fraud."""
    default = TRAIN
    found = [_family(DEFAULT, OURS, default, (DEFAULT, ALONE, WITHOUT), _run_default)]
    for kind, columns in KINDS.items():
        changes = {"kind": kind, "max_rows": KIND_ROWS, "epochs": KIND_EPOCHS}
        title = f"kind: {kind}"
        params, outputs = default.model_copy(update=changes), (title, f"{title}, autoencoder alone")
        family = _family(title, columns, params, outputs, partial(_run_kind, outputs))
        found.append(replace(family, group=COMPARED, roles=("choice", "validation")))
    hybrid = default.model_copy(update={"kind": "hybrid", "max_rows": HYBRID_ROWS})
    return [*found, _family("with labels", OURS, hybrid, (CALIBRATED, HYBRID), _run_labelled, SUPERVISED)]


def _family(
    name: str, columns: str, params: TrainParams, outputs: tuple[str, ...], run: Any, group: str = TARGETLESS
) -> Family:
    return Family(
        name=name,
        group=group,
        columns=columns,
        outputs=outputs,
        settings=params.model_dump(mode="json", exclude={"trim"}),  # these fits see known normals only
        sources=_SOURCES if group == TARGETLESS else _LABELLED,
        run=partial(run, params),
    )


def _run_default(params: TrainParams, week: Week, seed: int) -> Mapping[str, Outcome]:
    fitted, full = _fit(params, week, seed)
    surprises, residuals = _parts(fitted, week.test)
    return {
        DEFAULT: full,
        ALONE: Outcome(residuals[:, -1], full.fit_s, full.score_s),
        WITHOUT: Outcome(_joined(params, surprises), 0.0, 0.0),
    }


def _run_kind(outputs: tuple[str, str], params: TrainParams, week: Week, seed: int) -> Mapping[str, Outcome]:
    fitted, full = _fit(params, week, seed)
    residuals = _parts(fitted, week.test)[1].mean(axis=1)
    return dict(zip(outputs, (full, Outcome(residuals, full.fit_s, full.score_s)), strict=True))


def _run_labelled(params: TrainParams, week: Week, seed: int) -> Mapping[str, Outcome]:
    """The hybrid, and a logistic regression on the components of the autoencoder inside it, on rows new to both."""
    from fraudline.model.supervised import first_half

    model, hybrid = _fit(params, week, seed)
    begun = time.process_time()
    normals = week.normals[~first_half(len(week.normals), seed)][:: max(1, len(week.normals) // 2 // _LOGISTIC_ROWS)]
    rows = np.concatenate([normals, week.frauds])
    score = _calibrated(params, *_parts(model.autoencoder, rows), np.arange(len(rows)) >= len(normals))
    fit_s = hybrid.fit_s + time.process_time() - begun
    begun = time.process_time()
    scores = score(*_parts(model.autoencoder, week.test))
    return {HYBRID: hybrid, CALIBRATED: Outcome(scores, fit_s, time.process_time() - begun)}


def _fit(params: TrainParams, week: Week, seed: int) -> tuple[Any, Outcome]:
    """Fit as the train step does, and score through the exported graph."""
    from fraudline.model.runtime import load_tensorflow

    load_tensorflow()
    begun = time.process_time()
    fitted = fit_kind(week.learned, week.spec, params, seed)  # type: ignore[arg-type]  # the features are ours
    fit_s = time.process_time() - begun
    with tempfile.TemporaryDirectory() as folder:
        fitted.export(Path(folder))
        scorer = open_graph(Path(folder), week.spec.names, fitted.reasons)  # type: ignore[union-attr]
    begun = time.process_time()
    scores = scorer.only_scores(week.test).astype(np.float64)
    return fitted, Outcome(scores, fit_s, time.process_time() - begun)


def _parts(fitted: "FittedModel", rows: Matrix) -> tuple[Floats, Floats]:
    """Decades of the surprises (n, k), and of the autoencoders (n, 1 or 2)."""
    found = fitted.components(rows)
    inside = [name for name in found if name.startswith("autoencoder:")]
    columns = [[found[name] for name in found if (name in inside) == mine] for mine in (False, True)]
    surprises, residuals = (np.array(column, np.float64).reshape(-1, len(rows)).T for column in columns)
    return surprises, residuals


def _calibrated(params: TrainParams, surprises: Floats, residuals: Floats, frauds: NDArray[np.bool_]) -> Any:
    """Log-odds of fraud: a ridge logistic regression on ramps of each component, half a decade each.

    The score that knows no frauds stands beside them, free of the ridge: where the frauds say little, it decides.
    """
    from sklearn.linear_model import LogisticRegression

    def design(surprises: Floats, residuals: Floats) -> Floats:
        components = np.hstack([surprises, residuals])
        ramps = [np.clip(components - edge, 0.0, _RAMP) for edge in _RAMP * np.arange(_RAMPS)]
        full = _full(params, surprises, residuals)[:, None]
        return np.hstack([full, full**2, *ramps])

    known = design(surprises, residuals)
    scale = known.std(axis=0) + 1e-9
    scale[:2] /= _FREE
    model = LogisticRegression(C=_RIDGE, max_iter=2_000).fit(known / scale, frauds)
    return lambda *parts: np.asarray(model.decision_function(design(*parts) / scale), np.float64)


def _full(params: TrainParams, surprises: Floats, residuals: Floats) -> Floats:
    """The score of the graph, from its components."""
    weights = (params.autoencoder_weight, params.surprise_weight)[: residuals.shape[1]]
    return _joined(params, surprises) + residuals @ np.array(weights)  # type: ignore[no-any-return, unused-ignore]


def _joined(params: TrainParams, surprises: Floats) -> Floats:
    return params.tail_weight * (surprises**_POWER).sum(axis=1) ** (1 / _POWER)  # type: ignore[no-any-return, unused-ignore]
