"""When a model is trained again: what asks for it, and what holds it back. Pure: nothing is read, written or started.

    verdict = decide(signs, past, now, RenewParams())
    verdict.train, verdict.reason        # True, "drift: amount, score"

A run is named by what it would learn from, the data and the parameters: training the same again gives the same digest,
so two triggers at once, or one that comes twice, are one run. New data is what makes another.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field

from fraudline.core.digest import sha256_bytes
from fraudline.core.settings import Settings

_RUN_DIGITS = 12
_WEEK = timedelta(days=7)
_FLICKER = 0.25
"""Share of ``drift_days``."""


class RenewParams(Settings):
    """What asks for a new model, and how often it may.

    Attributes:
        schedule_days: days after which a run is due that nothing else asks for; 0 for none.
        window_weeks: newest weeks of traffic that the data set keeps: a rolling window.
        on_drift: whether drift of the champion's traffic asks.
        drift_days: days for which drift must go on before it or the schedule starts a run: the labels' delay and a week
            or two, so that the data know something of it. Matured labels that fell do not wait for it.
        on_performance: whether matured labels that fell below the evaluation ask.
        on_data: whether any new version of the data asks.
        new_labels: newly known frauds that ask, where both the last run and this look counted them; 0 for none.
        debounce_hours: hours after a run began in which no other begins.
        budget: runs in seven days at most.
        poison_max: share of a day's rows that may look like unreported frauds and be of a few cards, in a new batch.
        leave_out: cards whose transactions are not collected, as the poisoning gate named them: to be kept here while
            their days are in the window or until their labels came; what comes back is screened again.
    """

    schedule_days: int = Field(default=7, ge=0)
    window_weeks: int = Field(default=13, ge=4)
    on_drift: bool = True
    drift_days: float = Field(default=14.0, ge=0)
    on_performance: bool = True
    on_data: bool = False
    new_labels: int = Field(default=0, ge=0)
    debounce_hours: float = Field(default=24.0, ge=0)
    budget: int = Field(default=2, ge=1)
    poison_max: float = Field(default=0.02, gt=0, le=1)
    leave_out: tuple[str, ...] = ()

    @property
    def flicker(self) -> timedelta:
        """A quiet that is shorter does not end a drift: one near its bound is not seen by every look."""
        return timedelta(days=self.drift_days * _FLICKER)


@dataclass(frozen=True, slots=True)
class Signs:
    """What is known at a moment.

    Attributes:
        data: md5 of the data set's version.
        params: digest of the parameters that a training depends on.
        champion: version of the model that decides; "" where there is none.
        trained_on: md5 of the data that it learned from; "" where that is not known.
        frauds: known in the data set; -1 where nobody counted.
        measured: whether anybody looked for drift; where nobody did, no drift is no sign that it ended.
        drifted: names of what drifted against the champion's reference.
        worse: figures of matured labels that fell below the champion's evaluation.
    """

    data: str
    params: str = ""
    champion: str = ""
    trained_on: str = ""
    frauds: int = -1
    measured: bool = True
    drifted: tuple[str, ...] = ()
    worse: tuple[str, ...] = ()

    @property
    def run(self) -> str:
        """The name of the run that these data and parameters make."""
        return sha256_bytes(f"{self.data} {self.params}".encode())[:_RUN_DIGITS]

    def document(self) -> dict[str, Any]:
        """As it stands in the journal."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Past:
    """A run that began: its name, when, and how many frauds were known then.

    Attributes:
        found: its model was there already.
        refused: how many of its tries failed, for good as far as signs go: a person may ask for another.
    """

    run: str
    at: datetime
    frauds: int = -1
    found: bool = False
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to train, what asked for it (``schedule``, ``drift``, …), and the reason in words."""

    train: bool
    triggers: tuple[str, ...]
    reason: str


def decide(
    signs: Signs,
    past: Sequence[Past],
    now: datetime,
    params: RenewParams,
    *,
    drifting_since: datetime | None = None,
    asked: str = "",
) -> Verdict:
    """Train, or not.

    Args:
        signs: what is known.
        past: runs that began, oldest first.
        now: the present.
        params: triggers and limits.
        drifting_since: when the drift that goes on was first seen, also where this look does not see it; now, where
            none goes on or that is not known.
        asked: why a person asks for it; such a run needs no trigger, and nothing but a model of the same data holds it
            back.
    """
    begun = [each for each in past if each.at <= now]  # one by a clock that was ahead holds nothing back for years
    fired = _fired(signs, begun, now, params) if not asked else {"asked": asked}
    names, said = tuple(fired), "; ".join(f"{name}: {why}" if why else name for name, why in fired.items())
    if not fired:
        return Verdict(False, (), "nothing asks for it")
    if any(each.run == signs.run and not (asked and each.refused) for each in past):
        return Verdict(False, names, f"{said}, but run {signs.run} learned from the same data and parameters")
    if signs.data == signs.trained_on and not past:
        return Verdict(False, names, f"{said}, but the champion learned from the same data")
    young = _young_drift(signs, names, now - (drifting_since or now), params)
    if held := "" if asked else _held(begun, now, params) or young:
        return Verdict(False, names, f"{said}, but {held}")
    return Verdict(True, names, said)


def _fired(signs: Signs, past: Sequence[Past], now: datetime, params: RenewParams) -> dict[str, str]:
    """What asks for a run, with its reason."""
    fired = {}
    if params.schedule_days and not (past and now - past[-1].at < timedelta(days=params.schedule_days)):
        fired["schedule"] = f"no run began in {params.schedule_days} days"
    if params.on_drift and signs.drifted:
        fired["drift"] = ", ".join(signs.drifted[:5])
    if params.on_performance and signs.worse:
        fired["performance"] = f"{' and '.join(signs.worse)} fell"
    before = past[-1].frauds if past else -1
    if params.new_labels and before >= 0 and signs.frauds - before >= params.new_labels:
        fired["labels"] = f"{signs.frauds - before:,} newly known frauds"
    if params.on_data and signs.data not in ("", signs.trained_on):
        fired["data"] = f"version {signs.data[:12]}"
    return fired


def _held(past: Sequence[Past], now: datetime, params: RenewParams) -> str:
    """Why a run may not begin yet; "" when it may. One that trained nothing holds none back."""
    past = [each for each in past if not each.found]
    if past and now - past[-1].at < timedelta(hours=params.debounce_hours):
        return f"run {past[-1].run} began less than {params.debounce_hours:g} hours ago"
    recent = sum(now - each.at < _WEEK for each in past)
    if recent >= params.budget:
        return f"{recent} runs began in seven days, the budget is {params.budget}"
    return ""


def _young_drift(signs: Signs, triggers: Sequence[str], age: timedelta, params: RenewParams) -> str:
    """Why a run would learn nothing of the drift that goes on; "" when it may begin."""
    waits = params.on_drift and {"drift", "schedule"}.issuperset(triggers)
    if not (waits and (signs.drifted or age)) or age >= timedelta(days=params.drift_days):
        return ""
    return f"the drift was first seen {age.days} days ago: the data hold too little of it before {params.drift_days:g}"
