"""Search for better training parameters: Optuna proposes, the validation days judge, MLflow remembers.

    tune(features=Path("build/features"), out=Path("build/tune"), params=params, trials=40)

A trial trains on a growing share of the rows (``RUNGS``); one that is below the median of the others at a rung is given
up there. The study lies in a sqlite file: the same call goes on where it was stopped, and processes may share it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fraudline.core.digest import sha256_bytes
from fraudline.core.errors import UsageError
from fraudline.core.files import write_json, write_text
from fraudline.core.log import get_logger
from fraudline.features.spec import FeatureSpec
from fraudline.features.table import TableSpec
from fraudline.model.search import OBJECTIVE, SearchSpace, merged, nested
from fraudline.ops.recorders import StepRun
from fraudline.ops.tracking import child_run, step_run
from fraudline.steps.labelled import learned_spec
from fraudline.steps.params import Params
from fraudline.steps.tune_point import at_point, measure
from fraudline.steps.tune_rows import TuneRows
from fraudline.steps.tune_study import best_of, check_same, finished, load_optuna, opened

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

log = get_logger(__name__)

RUNGS = (0.1, 0.35, 1.0)
"""Shares of ``train.max_rows`` that a trial is measured at, one after the other."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A finished trial, for a progress bar."""

    finished: int
    of: int
    value: float | None
    best: float | None
    pruned: bool


Listener = Callable[[Heard], None]


def tune(
    *,
    features: Path,
    out: Path,
    params: Params,
    space: SearchSpace,
    trials: int,
    study: str = "tune",
    timeout_s: float | None = None,
    rungs: tuple[float, ...] = RUNGS,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Search until the study has ``trials`` finished trials, or the time is over.

    Args:
        features: folder of step featurize.
        out: folder of ``study.db``, ``best.yaml``, ``trials.json``, ``index.html`` and ``importance.svg``.
        params: everything that is not searched; ``seed``, ``split``, ``registry``.
        space: what is tried.
        trials: finished trials of the study, those of earlier calls included.
        study: its name; another name begins anew beside it.
        timeout_s: no new trial begins after this many seconds.
        rungs: shares of the rows, rising to 1.
        listener: hears of every finished trial.

    Returns:
        ``best`` (point, value, trial), ``trials``, ``pruned``, ``importance``, ``default`` (the value of the parameters
        as they are) and ``fragment`` (YAML for params.yaml; empty where no trial is better than the parameters as they
        are).

    Raises:
        StateError: the study was made on other data, with other parameters, or over another search space.
        UsageError: the search space does not fit params.yaml.
    """
    optuna = load_optuna()
    _check(space, params)
    spec = learned_spec(features, params)
    rows = TuneRows.read(features, spec, params)
    with opened(optuna, out, study, params.seed) as search:
        facts = {"data": rows.digest, "parameters": _unsearched(params, space), "space": space.version}
        check_same(search, facts | {"rungs": list(rungs)}, study)
        registry = params.registry.model_copy(update={"run_id": search.user_attrs.get("run", "")})
        with step_run(f"tune {study}", registry) as parent:
            search.set_user_attr("run", parent.run_id)
            parent.outlast()
            if "default" not in search.user_attrs:
                search.set_user_attr("default", measure(rows, spec, params).ap)

            def objective(trial: "Trial") -> float:
                point = suggest(trial, space)
                with child_run(parent, f"{study} {trial.number}", registry) as run:
                    value = _trial(trial, point, rows, spec, params, rungs, run)
                if value is None:
                    raise optuna.TrialPruned
                return value

            _optimize(optuna, search, objective, trials, timeout_s, listener)
            result = _result(optuna, search, space)
            _write(out, search, result, space)
            parent.params({"study": study, "space": space.version})
            _record(parent, result, out)
    log.info("tune.done", study=study, trials=result["trials"], pruned=result["pruned"])
    return result


def suggest(trial: "Trial", space: SearchSpace) -> dict[str, Any]:
    """A point of the space; lists are chosen by their JSON, because a choice of Optuna is a plain value."""
    point: dict[str, Any] = {}
    for entry in space.parameters:
        if entry.kind == "choice":
            point[entry.name] = json.loads(trial.suggest_categorical(entry.name, entry.choices))
        elif entry.kind == "int":
            point[entry.name] = trial.suggest_int(
                entry.name, int(entry.low or 0), int(entry.high or 0), step=entry.step
            )
        else:
            point[entry.name] = trial.suggest_float(entry.name, entry.low or 0.0, entry.high or 0.0, log=entry.log)
    return point


def _trial(
    trial: "Trial",
    point: dict[str, Any],
    rows: TuneRows,
    spec: FeatureSpec | TableSpec,
    params: Params,
    rungs: tuple[float, ...],
    run: StepRun,
) -> float | None:
    """Measure a point rung by rung; None where it is given up, below the median of the others."""
    run.params(point)
    chosen = at_point(params, point)
    value = float("nan")
    for rung, share in enumerate(rungs):
        found = measure(rows, spec, chosen, share)
        value = found.ap
        for name, figure in found.figures().items():
            run.metric(name, figure, rung)
        trial.report(value, rung)
        if rung + 1 < len(rungs) and trial.should_prune():
            run.tag("fraudline.pruned_at", f"{share:g}")
            return None
    return value


def _optimize(
    optuna: Any,
    search: "Study",
    objective: "Callable[[Trial], float]",
    trials: int,
    timeout_s: float | None,
    listener: Listener | None,
) -> None:
    done = finished(search)
    states = optuna.trial.TrialState
    _tell(listener, search, done, trials, None)

    def after(study: "Study", trial: "FrozenTrial") -> None:
        count = finished(study)
        _tell(listener, study, count, trials, trial)
        if count >= trials:
            study.stop()

    if done < trials:
        deadline = optuna.study.MaxTrialsCallback(trials, states=(states.COMPLETE, states.PRUNED))
        search.optimize(objective, timeout=timeout_s, callbacks=[after, deadline])


def _tell(listener: Listener | None, search: "Study", count: int, of: int, trial: "FrozenTrial | None") -> None:
    if listener is None:
        return
    best = best_of(search)
    value = trial.value if trial is not None else None
    pruned = trial is not None and trial.state.name == "PRUNED"
    listener(Heard(count, of, value, None if best is None else best.value, pruned))


def _result(optuna: Any, search: "Study", space: SearchSpace) -> dict[str, Any]:
    lists = {entry.name for entry in space.parameters if entry.kind == "choice"}
    frozen = search.get_trials(deepcopy=False)
    best = best_of(search)
    found: dict[str, Any] = {
        "study": search.study_name,
        "objective": OBJECTIVE,
        "trials": finished(search),
        "pruned": sum(trial.state.name == "PRUNED" for trial in frozen),
        "default": search.user_attrs["default"],
        "importance": _importance(optuna, search),
        "best": None,
        "fragment": "",
    }
    if best is not None:
        point = {n: json.loads(v) if n in lists else _short(v) for n, v in best.params.items()}
        found["best"] = {"trial": best.number, "value": best.value, "point": point}
        if best.value is not None and best.value > found["default"]:
            found["fragment"] = yaml.safe_dump(nested(point), sort_keys=False, default_flow_style=None)
    return found


def _record(run: StepRun, result: dict[str, Any], out: Path) -> None:
    """Keep figures and files of the search with its run."""
    run.metrics({"trials": result["trials"], "pruned": result["pruned"]})
    if result["best"] is not None:
        run.metrics({OBJECTIVE: result["best"]["value"], f"{OBJECTIVE}_default": result["default"]})
    for name in ("index.html", "best.yaml", "trials.json"):
        if (out / name).is_file():
            run.artifact(out / name, "tune")


def _importance(optuna: Any, search: "Study") -> dict[str, float]:
    """Shares of the spread of the objective that each parameter explains; empty with too few trials."""
    complete = [trial for trial in search.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    if len(complete) < 4 or len({trial.value for trial in complete}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    shares = optuna.importance.get_param_importances(search, evaluator=evaluator)
    return {name: round(float(share), 4) for name, share in shares.items()}


def _write(out: Path, search: "Study", result: dict[str, Any], space: SearchSpace) -> None:
    from fraudline.steps.tune_report import importance_plot, tune_page

    rows = [
        {
            "number": trial.number,
            "state": trial.state.name,
            "value": trial.value,
            "params": trial.params,
            "rungs": list(trial.intermediate_values.values()),
        }
        for trial in search.get_trials(deepcopy=False)
    ]
    write_json(out / "trials.json", rows)
    write_text(out / "index.html", tune_page(result, rows, space))
    if result["fragment"]:
        write_text(out / "best.yaml", result["fragment"])
    else:
        (out / "best.yaml").unlink(missing_ok=True)
    if result["importance"]:
        write_text(out / "importance.svg", importance_plot(result["importance"]))


def _unsearched(params: Params, space: SearchSpace) -> str:
    """A digest of what the trials have in common beside their rows."""
    common = params.model_dump(mode="json", include={"seed", "train"})
    searched = nested({entry.name: None for entry in space.parameters})
    return sha256_bytes(json.dumps(merged(common, searched), sort_keys=True).encode())[:12]


def _check(space: SearchSpace, params: Params) -> None:
    """Both ends of every parameter fit params.yaml, so that no trial fails for its name or range.

    Raises:
        UsageError: one does not, or is of a step before the training, which the trials here do not repeat.
    """
    for entry in space.parameters:
        if not entry.name.startswith("train.") or entry.name.startswith("train.trim."):
            raise UsageError(
                f"{entry.name} cannot be searched here: the rows are made once, before the trials.",
                "Search parameters of `train`, but those of `train.trim`; or give the search to Katib (--katib).",
            )
        for end in entry.ends:
            at_point(params, {entry.name: end})


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
