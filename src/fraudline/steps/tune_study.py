"""The study of a search: an Optuna study in a sqlite file, which processes may share and a later call goes on with."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fraudline.core.errors import StateError, UsageError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

_STARTUP = 4
"""Trials that are never given up early: a median needs some."""
_FINISHED = ("COMPLETE", "PRUNED")


def load_optuna() -> Any:
    """Optuna, quiet.

    Raises:
        UsageError: it is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import optuna
        except ImportError as error:
            raise UsageError("The search needs Optuna.", "Install the extra: fraudline[lab].") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@contextmanager
def opened(optuna: Any, out: Path, name: str, seed: int) -> Iterator[Any]:
    """The study in ``out/study.db``; a trial whose process died counts as failed once its heartbeat is old."""
    out.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = optuna.storages.RDBStorage(f"sqlite:///{(out / 'study.db').absolute()}", heartbeat_interval=30)
    try:
        existing = {summary.study_name: summary.n_trials for summary in optuna.get_all_study_summaries(storage)}
        search = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(seed=seed + existing.get(name, 0)),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP),
        )
        yield search
    finally:
        storage.remove_session()
        storage.engine.dispose()


def check_same(search: "Study", facts: dict[str, Any], name: str) -> None:
    """A study is over one data set and one space: figures of two are not comparable.

    Raises:
        StateError: a fact is another than it was.
    """
    for key, value in facts.items():
        held = search.user_attrs.get(key, value)
        if held != value:
            raise StateError(
                f"The study {name} was made with other {key} ({held}, now {value}).",
                "Give --study another name, or remove the study.",
            )
        search.set_user_attr(key, value)


def finished(search: "Study") -> int:
    """How many trials ended: measured whole, or given up early."""
    return sum(trial.state.name in _FINISHED for trial in search.get_trials(deepcopy=False))


def best_of(search: "Study") -> "FrozenTrial | None":
    """The best of the trials that were measured whole; None where there is none yet."""
    complete = [t for t in search.get_trials(deepcopy=False) if t.state.name == "COMPLETE" and t.value is not None]
    return max(complete, key=lambda trial: trial.value or 0.0, default=None)
