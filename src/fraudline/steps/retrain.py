"""Renewal: look at the signs, decide, train, propose; killed anywhere and run again it does each once.

A journal (JSON lines, only ever appended to) is written ahead of each thing that is done: the decision with its reason,
a run that begins, what became of its training, its pull request. A lock lets one look be at work. The next look first
ends what an earlier one left open. A training child inherits the lock: it holds it for as long as it lives, also after
its parent was killed.
"""

import fcntl
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from fraudline.core.digest import sha256_bytes
from fraudline.core.documents import parse_json
from fraudline.core.errors import DataError, FraudlineError, GateFailed, StateError
from fraudline.core.files import local_path, read_json, writing
from fraudline.core.log import get_logger
from fraudline.data.store import read_meta
from fraudline.model.artifact import load_artifact
from fraudline.monitor.renewal import Past, RenewParams, Signs, decide
from fraudline.ops.gitops.observe import Prometheus
from fraudline.steps.dvc_files import parse_dvc_file, read_dvc_file
from fraudline.steps.params import Params

log = get_logger(__name__)

JOURNAL, LOCK = "journal.jsonl", "lock"
DRIFT, WORSE = "Drift", "PerformanceWorse"
UNMEASURED = ("DriftNotMeasured", "DriftNeverMeasured")
FIRING = f'ALERTS{{alertstate="firing",alertname=~"{"|".join((DRIFT, WORSE, *UNMEASURED))}"}}'
"""What Prometheus is asked: the alerts (`docs.monitoring`) that ask for a run, and the one that says nobody looked."""

SERVED = "served"
_NAME_REPORT = "Name the folder of `fraudline drift`."
_MADE = ("trained", "found")
"""States of a run that has its model."""
_OVERTAKEN = "overtaken"
"""State of a run whose data or parameters were replaced before anything was trained on them: it never was."""

_TRAINING = ("seed", "label_delay_days", "features", "split", "train", "threshold")


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


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the journal, as it stands."""

    past: Past
    state: str
    noted: Mapping[str, Any]

    @property
    def tried_as(self) -> str:
        """What its training is called: a try that failed keeps its name, and what it left, to itself."""
        return f"{self.past.run}-{self.past.refused + 1}" if self.past.refused else self.past.run


class Journal:
    """The file of one renewal. Use :func:`opened`."""

    def __init__(self, path: Path, lock: int) -> None:
        self._path, self.lock = path, lock
        self.lines = read_journal(path)

    def note(self, now: datetime, **what: Any) -> dict[str, Any]:
        """Append a line; it is on disk when this returns."""
        line = {"at": now.isoformat(timespec="seconds"), **what}
        content = json.dumps(line, sort_keys=True, ensure_ascii=False).encode() + b"\n"
        handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                content = b"\n" + content  # a line that a kill left torn
            with writing(self._path):
                while content:  # a full disk takes a part without a word, and refuses the rest
                    content = content[os.write(handle, content) :]
                os.fsync(handle)
        finally:
            os.close(handle)
        self.lines.append(line)
        return line

    def runs(self) -> list[Run]:
        """Every run that began and was not overtaken, oldest first, with its newest state."""
        found: dict[str, Run] = {}
        refused = Counter[str]()
        for line in self.lines:
            name = line.get("run", "")
            if line.get("state") == "begun" and (name not in found or found[name].state == "refused"):
                past = Past(name, datetime.fromisoformat(line["at"]), int(line["signs"]["frauds"]))
                found.pop(name, None)  # a new try is the newest run
                found[name] = Run(replace(past, refused=refused[name]), "begun", line)
            elif line.get("state") == _OVERTAKEN:
                found.pop(name, None)
            elif "state" in line and name in found:
                run = found[name]
                past = replace(run.past, found=True) if line["state"] == "found" else run.past
                if line["state"] == "refused":
                    refused[name] += 1
                    past = replace(past, refused=refused[name])
                elif line["state"] in _MADE:
                    past = replace(past, refused=0)
                found[name] = Run(past, line["state"], {**run.noted, **line})
        return list(found.values())

    def drifting_since(self, signs: Signs, now: datetime, flicker: timedelta) -> datetime:
        """When the champion's drift was first seen, in looks that saw some since or could not tell.

        Args:
            signs: of now.
            now: the present; what is given where there is no drift that goes on.
            flicker: a quiet that is shorter does not end a drift.
        """
        since = now
        for line in reversed(self.lines):
            if "signs" not in line or not (line["signs"].get("measured", True) or line["signs"]["drifted"]):
                continue
            at = datetime.fromisoformat(line["at"])
            if at > now:  # by a clock that was ahead
                continue
            if line["signs"]["champion"] != signs.champion or (not line["signs"]["drifted"] and since - at >= flicker):
                break
            if line["signs"]["drifted"]:
                since = at
        return since


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal, oldest first; one that a kill left torn is left out."""
    found = []
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            found.append(parse_json(line, str(path)))
        except DataError:
            log.warning("journal.torn", path=str(path), bytes=len(line))
    return found


@contextmanager
def opened(folder: Path) -> Iterator[Journal | None]:
    """The journal of a folder, locked; None while another look is at work."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield Journal(folder / JOURNAL, handle)
    finally:
        os.close(handle)


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
        if runs and runs[-1].state in _MADE and propose is not None:
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
    journal.note(now, run=run.past.run, state=_OVERTAKEN, problem=why)
    log.info("retrain.overtaken", run=run.past.run, by=by)
    return str(run.noted["reason"]).removeprefix("asked: ") if "asked" in run.noted["triggers"] else ""


def _go_on(journal: Journal, run: Run, now: datetime, trainer: Trainer, propose: Propose | None) -> dict[str, Any]:
    """Take a run as far as it goes."""
    name, noted = run.past.run, dict(run.noted)
    shown: dict[str, Any] = {"run": name, "reason": noted["reason"], "triggers": noted["triggers"]}
    made = run.state
    if made not in _MADE:
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
        if made not in _MADE:
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


def look(*, params: Params, data_dvc: Path, drift: Path | None = None, prometheus: str = "") -> Signs:
    """The signs in a working tree.

    Args:
        params: ``champion`` names the model that decides.
        data_dvc: the data set's ``.dvc`` file; the set beside it is counted where it is there.
        drift: report folder of step drift, with performance where labels were given; None for none.
        prometheus: address of a Prometheus whose alerts are signs; "" for none.

    Raises:
        UsageError: the ``.dvc`` file cannot be read.
        StateError: the report cannot be read, or is of another model than the champion.
        UnavailableError: Prometheus does not answer.
    """
    tracked = parse_dvc_file(read_dvc_file(data_dvc), str(data_dvc))
    dataset = data_dvc.parent / tracked.path
    champion, trained_on = "", ""
    if params.champion:
        champion = Path(local_path(params.champion)).name
        entry = local_path(params.champion)
        trained_on = load_artifact(entry).meta.data_md5 if entry.is_dir() else ""
    alerts = Prometheus(prometheus).labels(FIRING) if prometheus else []
    drifted, worse = map(_both, zip(_report(drift, champion), _signs_of(alerts), strict=True))
    watched = bool(prometheus) and not any(each["alertname"] in UNMEASURED for each in alerts)
    return Signs(
        data=tracked.md5,
        params=_version(params),
        champion=champion[:12],
        trained_on=trained_on,
        frauds=int(read_meta(dataset)["frauds"]) if dataset.is_dir() else -1,
        measured=drift is not None or watched,
        drifted=drifted,
        worse=worse,
    )


def _version(params: Params) -> str:
    """A digest of what a training depends on.

    What stands at its default is left out: a release that adds a parameter gives no run another name.
    """
    said = params.model_dump(mode="json", include=set(_TRAINING), exclude_defaults=True)
    return sha256_bytes(json.dumps(said, sort_keys=True).encode())[:12]


def _both(names: tuple[tuple[str, ...], tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for part in names for name in part))


def _signs_of(alerts: Sequence[Mapping[str, str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What drifted and which figures fell, as the alerts say that fire now."""
    drifted = {f"alert {each['alertname']}" for each in alerts if each["alertname"] == DRIFT}
    worse = {each.get("figure", "a figure") for each in alerts if each["alertname"] == WORSE}
    return tuple(sorted(drifted)), tuple(sorted(worse))


def _report(folder: Path | None, champion: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What drifted, and which figures fell."""
    if folder is None:
        return (), ()
    path = folder / "drift.json"
    try:
        document = read_json(path, wrong=StateError, action=_NAME_REPORT)
        model = document["model"]["digest"]
        names = [figure["name"] for figure in document["figures"] if figure["drifted"]]
        if document["classifier"].get("drifted"):
            names.append("several features together")
        figures = document["performance"].get("figures", {})
    except (OSError, KeyError, TypeError, AttributeError) as error:
        raise StateError(f"{path} is no report of drift: {error}.", _NAME_REPORT) from error
    if champion and model != champion:
        raise StateError(
            f"{path} is about the model {model[:12]}, but {champion[:12]} is champion.",
            "Run `fraudline drift` on the champion's decisions.",
        )
    return tuple(names), tuple(name for name, each in figures.items() if each["worse"])
