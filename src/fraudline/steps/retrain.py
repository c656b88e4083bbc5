"""Renewal: look at the signs, decide, train, propose; killed anywhere and run again it does each once.

A journal (JSON lines, only ever appended to) is written ahead of each thing that is done: the decision with its reason,
a run that begins, what became of its training, its pull request. A lock lets one look be at work. The next look first
ends what an earlier one left open. A training child inherits the lock: it holds it for as long as it lives, also after
its parent was killed.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from fraudline.core.errors import FraudlineError, GateFailed
from fraudline.core.log import get_logger
from fraudline.monitor.renewal import RenewParams, Signs, decide
from fraudline.steps.retrain_journal import MADE, OVERTAKEN, Journal, Run, opened

log = get_logger(__name__)

SERVED = "served"


class Trainer(Protocol):
    """How a run is trained: here, or on a cluster."""

    def train(self, run: str, lock: int) -> Mapping[str, Any]:
        """Train, or look how a training is doing; doing it again goes on where it was.

        Args:
            run: the run's name; after the first try with the number of this one.
            lock: descriptor of the lock, for a child to inherit.

        Returns:
            ``state`` (``trained``; ``found`` for a model that was there already; ``submitted`` while it goes on
            elsewhere), and what to note of it; of a model its ``digest`` and ``uri``.

        Raises:
            GateFailed, DataError: the data or the model is refused: the run is over.
            FraudlineError: another error; the run goes on at the next look.
        """

    def holds(self, run: str) -> bool:
        """Whether a training of this run is there that goes on whatever data and parameters are here by now."""


Propose = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Opens the pull request of a trained model: takes what training noted, gives ``branch``, ``revision``, ``url``.

The branch is empty where the model is served already.
"""


def retrain(
    *,
    folder: Path,
    signs: Signs,
    params: RenewParams,
    now: datetime,
    trainer: Trainer,
    propose: Propose | None,
    asked: str = "",
) -> dict[str, Any]:
    """One look: end what is open, decide, and do what was decided. Safe to run at any time, also twice at once.

    Args:
        folder: of the journal and its lock.
        signs: what is known now.
        params: triggers and limits.
        now: the present.
        trainer: how it is trained.
        propose: opens the pull request; None leaves the model in the registry.
        asked: why a person wants it, whatever the signs.

    Returns:
        ``action`` (wait, busy, submitted, refused, trained, found, held, proposed, or served: the model that came of
        it is served already, and nothing was proposed), ``reason``, ``triggers``, ``run``,
        and what training and the pull request noted.

    Raises:
        FraudlineError: training or proposing failed for now; the next look goes on.
    """
    with opened(folder) as journal:
        if journal is None:
            return {"action": "busy", "reason": "another look is at work", "triggers": [], "run": ""}
        runs = journal.runs()
        if runs and runs[-1].state in ("begun", "submitted"):
            if runs[-1].past.run == signs.run or trainer.holds(runs[-1].tried_as):
                return _go_on(journal, runs[-1], now, trainer, propose)
            wanted = _overtaken(journal, runs.pop(), signs.run, now)
            asked = asked or wanted
        if runs and runs[-1].state in MADE and propose is not None:
            done = _go_on(journal, runs[-1], now, trainer, propose)
            if done["action"] != "held":
                return done
        since = journal.drifting_since(signs, now, params.flicker)
        verdict = decide(signs, [run.past for run in runs], now, params, drifting_since=since, asked=asked)
        said = {"reason": verdict.reason, "triggers": list(verdict.triggers), "signs": signs.document()}
        if not verdict.train:
            journal.note(now, decision="wait", **said)
            log.info("retrain.waits", reason=verdict.reason)
            return {"action": "wait", "reason": verdict.reason, "triggers": said["triggers"], "run": ""}
        journal.note(now, decision="train", state="begun", run=signs.run, **said)
        log.info("retrain.begins", run=signs.run, reason=verdict.reason)
        return _go_on(journal, journal.runs()[-1], now, trainer, propose)


def _overtaken(journal: Journal, run: Run, by: str, now: datetime) -> str:
    """Close a run that has nothing to learn from any more; gives why a person asked for it, "" where signs did."""
    why = f"what it would have learned from was replaced: run {by} is the one of now"
    journal.note(now, run=run.past.run, state=OVERTAKEN, problem=why)
    log.info("retrain.overtaken", run=run.past.run, by=by)
    return str(run.noted["reason"]).removeprefix("asked: ") if "asked" in run.noted["triggers"] else ""


def _go_on(journal: Journal, run: Run, now: datetime, trainer: Trainer, propose: Propose | None) -> dict[str, Any]:
    """Take a run as far as it goes."""
    name, noted = run.past.run, dict(run.noted)
    shown: dict[str, Any] = {"run": name, "reason": noted["reason"], "triggers": noted["triggers"]}
    made = run.state
    if made not in MADE:
        try:
            found = trainer.train(run.tried_as, journal.lock)
        except FraudlineError as error:
            if error.exit_code not in (GateFailed.exit_code, 3):
                raise
            journal.note(now, run=name, state="refused", problem=error.problem)
            log.warning("retrain.refused", run=name, problem=error.problem)
            return {"action": "refused", **shown, "problem": error.problem}
        if found["state"] != run.state:
            journal.note(now, run=name, **found)
        noted |= found
        made = str(found["state"])
        if made not in MADE:
            return {"action": made, **shown, **{k: v for k, v in found.items() if k != "state"}}
    shown |= {key: noted[key] for key in ("digest", "uri") if key in noted}
    if propose is None:
        return {"action": made, **shown}
    try:
        request = dict(propose(noted))
    except GateFailed as error:  # another rollout goes on: the next look tries again, and a newer run replaces it
        log.info("retrain.held", run=name, problem=error.problem)
        return {"action": "held", **shown, "problem": error.problem}
    kept: dict[str, Any] = {key: request[key] for key in ("branch", "revision", "url") if request.get(key)}
    ended = "proposed" if "branch" in kept else SERVED
    journal.note(now, run=name, state=ended, **kept)
    log.info(f"retrain.{ended}", run=name, **kept)
    return {"action": ended, **shown, **kept}
