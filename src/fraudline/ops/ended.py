"""Metrics of what ends before Prometheus could scrape it: pipeline steps, drift, skew, the judge of a rollout.

    metrics = EndedMetrics()
    metrics.step("train", usage, price=0.02, currency="EUR")
    metrics.publish("train", textfiles=Path("/var/lib/node_exporter"), pushgateway="")

They go to a folder that node_exporter's textfile collector reads, or to a Pushgateway, or to both. Each job replaces
what it said the last time. Work that is done does not fail for its figures: :func:`publish` warns, and where nothing
comes for long the alert on old figures fires. What is no address is refused before the work begins, by :func:`check`.
"""

import re
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest, push_to_gateway

from fraudline.core.clock import now
from fraudline.core.errors import UnavailableError, UsageError
from fraudline.core.files import write_text
from fraudline.core.log import get_logger
from fraudline.data.money import in_units
from fraudline.monitor.labelled_money import OUTCOMES
from fraudline.ops.cost import Usage

log = get_logger(__name__)

_TIMEOUT_S = 10.0
VERDICTS = ("stable", "drift", "inconclusive")
ROLLOUT_VERDICTS = ("successful", "failed", "inconclusive")


class EndedMetrics:
    """A registry with the gauges of steps that end."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        """Every gauge, said or not."""
        self._said = CollectorRegistry()
        self._published: set[Gauge] = set()
        self._seconds = self._gauge("step_wall_seconds", "Time of a step's last run.", "step")
        self._cpu = self._gauge("step_cpu_seconds", "Processor time of a step's last run.", "step")
        self._cost = self._gauge("step_cost", "What it cost, in the currency of params.yaml.", "step", "currency")
        self._ended = self._gauge("step_timestamp_seconds", "When a step last ended well.", "step")
        self._psi = self._gauge("drift_psi", "Population stability index of a feature or of the score.", "figure")
        self._drifted = self._gauge("drift_figures", "Features that drifted, the score, and several together.")
        self._verdict = self._gauge("drift_verdict", "1 for the verdict of the last window.", "verdict")
        self._window = self._gauge("drift_rows", "Transactions of the last window.")
        self._measured = self._gauge("drift_timestamp_seconds", "When drift was last measured.")
        self._skewed = self._gauge("skew_rows", "Decisions whose features are not those of the same rows offline.")
        self._compared = self._gauge("skew_compared_rows", "Decisions compared.")
        self._skew_features = self._gauge("skew_features", "Features that differ.")
        self._checked = self._gauge("skew_timestamp_seconds", "When skew was last looked for.")
        self._figure = self._gauge("performance", "Precision and recall of matured labels.", "figure")
        self._money = self._gauge(
            "performance_amount",
            "Amounts of matured labels, in units of the currency: frauds stopped and missed, normals held up, and what "
            "was blocked, which has no label.",
            "currency",
            "outcome",
        )
        self._labelled = self._gauge("performance_timestamp_seconds", "When matured labels were last looked at.")
        self._worse = self._gauge("performance_worse", "1 where it is worse than in evaluation, surely.", "figure")
        where = "environment"
        self._percent = self._gauge("rollout_percent", "The canary's share of the traffic; 0 without one.", where)
        self._judged = self._gauge("rollout_verdict", "1 for the verdict of the last look.", where, "verdict")
        self._overdue = self._gauge("rollout_overdue", "1 while a rollout waits for a person.", where)
        self._looked = self._gauge("rollout_timestamp_seconds", "When a rollout was last looked at.", where)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"fraudline_{name}", meaning, labels, registry=self.registry)

    def _say(self, gauge: Gauge) -> Gauge:
        """A gauge that will be published: one that nothing was said of would stand at 0, which is a claim."""
        if gauge not in self._published:
            self._published.add(gauge)
            self._said.register(gauge)
        return gauge

    def step(self, name: str, usage: Usage, *, price: float | None = None, currency: str = "") -> None:
        """A step that ended well: what it used, and its price where it is known."""
        self._say(self._seconds).labels(name).set(usage.wall_seconds)
        self._say(self._cpu).labels(name).set(usage.cpu_seconds)
        if price is not None:
            self._say(self._cost).labels(name, currency).set(price)
        self._say(self._ended).labels(name).set(now().timestamp())

    def drift(self, document: Mapping[str, Any]) -> None:
        """A ``drift.json``; what its labels say beside the verdict is :meth:`labels`."""
        for figure in document["figures"]:
            self._say(self._psi).labels(figure["name"]).set(figure["psi"])
        for verdict in VERDICTS:
            self._say(self._verdict).labels(verdict).set(verdict == document["verdict"])
        self._say(self._window).set(document["window"]["rows"])
        if document["verdict"] != "inconclusive":  # too few rows: nothing was measured
            together = bool(document.get("classifier", {}).get("drifted"))
            self._say(self._drifted).set(sum(figure["drifted"] for figure in document["figures"]) + together)
            self._say(self._measured).set(now().timestamp())
        for name, figure in (document.get("performance") or {}).get("figures", {}).items():
            self._say(self._worse).labels(name).set(bool(figure["worse"]))

    def labels(self, document: Mapping[str, Any]) -> None:
        """What matured labels say: ``performance`` of a ``drift.json``, or what ``fraudline labels performance`` found.

        A job of its own, because two commands say it: a figure in two files is refused by the collector.
        """
        for name, figure in document["figures"].items():
            if figure["value"] is not None:
                self._say(self._figure).labels(name).set(figure["value"])
        for currency, sums in document["money"].items():
            for outcome in OUTCOMES:
                self._say(self._money).labels(currency, outcome).set(in_units(sums[outcome], currency))
        self._say(self._labelled).set(now().timestamp())

    def skew(self, document: Mapping[str, Any]) -> None:
        """A ``skew.json``."""
        self._say(self._skewed).set(document["differing"])
        self._say(self._compared).set(document["rows"])
        self._say(self._skew_features).set(len(document["features"]))
        self._say(self._checked).set(now().timestamp())

    def rollout(self, environment: str, verdict: Mapping[str, Any] | None) -> None:
        """One look at a rollout; None where there is none."""
        said = verdict or {"verdict": "", "percent": 0, "overdue": False}
        self._say(self._percent).labels(environment).set(said["percent"])
        for word in ROLLOUT_VERDICTS:
            self._say(self._judged).labels(environment, word).set(word == said["verdict"])
        self._say(self._overdue).labels(environment).set(said["overdue"])
        self._say(self._looked).labels(environment).set(now().timestamp())

    def publish(self, job: str, *, textfiles: Path | None = None, pushgateway: str = "") -> None:
        """Write ``fraudline_<job>.prom`` into a folder, push to a gateway (``host:port``), or both.

        Raises:
            UnavailableError: the gateway does not answer.
        """
        if textfiles is not None:
            name = re.sub(r"\W", "_", job)
            write_text(textfiles / f"fraudline_{name}.prom", generate_latest(self._said).decode())
        if pushgateway:
            try:
                push_to_gateway(pushgateway, job=f"fraudline_{job}", registry=self._said, timeout=_TIMEOUT_S)
            except (OSError, HTTPException, ValueError) as error:  # the last two: it is no address
                problem = f"The Pushgateway at {pushgateway} does not answer: {error}."
                raise UnavailableError(problem, "Check the address; the report is written.") from error


def publish(
    job: str, say: Callable[[EndedMetrics], object], *, textfiles: Path | None = None, pushgateway: str = ""
) -> None:
    """Publish what ``say`` says, where somebody asked for it; where that fails, say so and go on."""
    if textfiles is None and not pushgateway:
        return
    metrics = EndedMetrics()
    say(metrics)
    try:
        metrics.publish(job, textfiles=textfiles, pushgateway=pushgateway)
    except UnavailableError as error:
        log.warning("metrics.not_published", job=job, problem=error.problem)
    except OSError as error:
        log.warning("metrics.not_published", job=job, problem=f"{textfiles} cannot be written: {error.strerror}.")


def check(pushgateway: str) -> None:
    """Refuse what is no address of a Pushgateway; empty for none.

    Raises:
        UsageError: it is not ``host:port`` or a URL.
    """
    if not pushgateway:
        return
    try:
        parts = urlsplit(pushgateway if "://" in pushgateway else f"//{pushgateway}")
        good = bool(parts.hostname) and parts.port != 0 and not re.search(r"\s", pushgateway)
    except ValueError:  # its port is no number
        good = False
    if not good:
        raise UsageError(f"{pushgateway} is no address of a Pushgateway.", "Give host:port.")
