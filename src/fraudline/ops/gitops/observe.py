"""What canary and champion did, from Prometheus: counters by stratum, as the judge compares them.

    observed = observe(Prometheus("http://prometheus:9090"), canary, champion, begin, end, seconds=60)

Counters are read as they stand at the ends of strata, and their differences are taken here: whole numbers, without the
extrapolation of ``increase()``. A counter that falls was restarted; one that appears began at nothing, unless it is the
champion's, who was there before Prometheus was. Strata in which a predictor could not be scraped are one with the next
in which it could: what it did meanwhile is compared with what the other arm did meanwhile. A process that is scraped
twice, by two jobs or two replicas of Prometheus, counts once: twice it would be taken for more evidence than there is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fraudline.core.errors import UnavailableError
from fraudline.monitor.canary import Arms, bands, slow
from fraudline.monitor.sequential import Counts

if TYPE_CHECKING:
    import ssl

Series = Sequence[tuple[dict[str, str], dict[int, float]]]
"""Labels, and value by the number of the step, of each series."""

_PREFIX = "fraudline_predictor_"
_POINTS = 10_000
"""Points a query: Prometheus refuses more than 11,000."""

_TIMEOUT_S = 30.0
_ANYWHERE = ("", "localhost", "127.0.0.1")
"""Hosts that are another one on each machine that scrapes."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What the strata say.

    Attributes:
        arms: by check.
        rows: (T,) rows that the canary scored.
        requests: (2, T) requests that came to canary and champion.
        starts: (T,) starts of the strata, seconds since 1970.
        ends: (T,) ends of the strata, seconds since 1970.
    """

    arms: Mapping[str, Arms]
    rows: Counts
    requests: Counts
    starts: np.ndarray[Any, np.dtype[np.float64]]
    ends: np.ndarray[Any, np.dtype[np.float64]]


class Prometheus:
    """The HTTP API of a Prometheus, or of anything that answers its queries."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def series(
        self, query: str, begin: float, end: float, step: float
    ) -> list[tuple[dict[str, str], dict[int, float]]]:
        """The series of a range query.

        Returns:
            Labels, and value by the number of the step, of each series.

        Raises:
            UnavailableError: it does not answer or refuses the query.
        """
        times = {"start": f"{begin:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        return [
            (found["metric"], {round((float(at) - begin) / step): float(value) for at, value in found["values"]})
            for found in self._asked("query_range", {"query": query, **times})
        ]

    def labels(self, query: str) -> list[dict[str, str]]:
        """The labels of each series that a query finds now.

        Raises:
            UnavailableError: it does not answer or refuses the query.
        """
        return [found["metric"] for found in self._asked("query", {"query": query})]

    @cached_property
    def _trusted(self) -> "ssl.SSLContext":
        """The authorities: to read them takes longer than an answer, and one look asks some twenty questions."""
        import httpx

        return httpx.create_ssl_context()

    def _asked(self, kind: str, values: Mapping[str, str]) -> list[dict[str, Any]]:
        import httpx

        action = "Check the address (--prometheus), then try again."
        try:
            url = f"{self._url}/api/v1/{kind}"
            answer = httpx.post(url, data=values, timeout=_TIMEOUT_S, verify=self._trusted)
            content = answer.json()
            if content.get("status") != "success":
                said = content.get("error", answer.status_code)
                raise UnavailableError(f"Prometheus refuses {values['query']}: {said}.", action)
            return list(content["data"]["result"])
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnavailableError(f"Prometheus at {self._url} does not answer: {error}.", action) from error
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise UnavailableError(f"What answers at {self._url} is no Prometheus.", action) from error


def observe(
    source: Prometheus, canary: str, champion: str, begin: float, end: float, *, seconds: float, series: str = ""
) -> Observed:
    """Count events and trials of both arms.

    Args:
        source: where the predictors' metrics are.
        canary: model version, the first 12 digits of a digest.
        champion: of the other arm.
        begin: start of the rollout, seconds since 1970.
        end: the present.
        seconds: length of a stratum; doubled where the rollout is so long that Prometheus would refuse: from look to
            look the strata stay the same, as evidence that may be looked at often asks.
        series: further label matchers, in PromQL.

    Raises:
        UnavailableError: Prometheus does not answer.
    """
    step = seconds
    while (end - begin) / step > _POINTS:
        step *= 2
    count = max(int((end - begin) // step), 0)  # a clock behind that of the merge
    counters = _Counters(source, (canary, champion), (begin, begin + count * step, step), count, series)
    _, rows, champion_rows = counters.read("rows_total", keys=[""])
    _, requests, champion_requests = counters.read("score_seconds_count", keys=[""])
    _, failed, champion_failed = counters.read("failed_total", keys=[""])
    alerts = [counters.read(f"{kind}_total", keys=[""])[1:] for kind in ("reviews", "blocks")]
    arms = {
        "errors": _within(failed, requests, champion_failed, champion_requests),
        "alerts": _within(alerts[0][0] + alerts[1][0], rows, alerts[0][1] + alerts[1][1], champion_rows),
        **_distributions(counters),
    }
    edges_s = np.asarray(begin + step * np.arange(count + 1), np.float64)
    came = np.stack([requests[0], champion_requests[0]])
    return Observed(arms, rows[0], came, edges_s[:-1], edges_s[1:])


class _Counters:
    """What the counters of canary and champion grew by, in each of ``count`` strata.

    Args:
        source: where the predictors' metrics are.
        versions: of canary and champion.
        grid: begin, end and length of a stratum, seconds.
        count: strata.
        series: further label matchers, in PromQL.
    """

    def __init__(
        self,
        source: Prometheus,
        versions: tuple[str, str],
        grid: tuple[float, float, float],
        count: int,
        series: str,
    ) -> None:
        self._source, self._versions, self._grid, self._count = source, versions, grid, count
        self._more = f", {series}" if series else ""
        known = self._asked("rows_total")
        self._since = (0, min((min(values) for _, values in known[1] if values), default=0))
        self._into = _reaches([values for side in known for _, values in side], count)

    def read(self, name: str, label: str = "", keys: Sequence[str] = ()) -> tuple[list[str], Counts, Counts]:
        """The values of a label, or ``keys``, and for each of them the counts of canary and champion, by stratum."""
        found = [
            _by_label(side, label, self._into, first)
            for side, first in zip(self._asked(name, label), self._since, strict=True)
        ]
        names = list(keys) or sorted(set(found[0]) | set(found[1]), key=_bucket)
        nothing = np.zeros(self._count, np.int64)
        one, other = (
            np.array([side.get(key, nothing) for key in names], np.int64).reshape(len(names), self._count)
            for side in found
        )
        return names, one, other

    def _asked(self, name: str, label: str = "") -> tuple[Series, Series]:
        one, other = (
            _once(self._source.series(f'{_PREFIX}{name}{{version="{version}"{self._more}}}', *self._grid), label)
            for version in self._versions
        )
        return one, other


def _distributions(counters: _Counters) -> dict[str, Arms]:
    """How answers spread over times, bands of the score and reasons; without those that nothing was counted for."""
    arms = {}
    edges, one, other = counters.read("score_seconds_bucket", "le")
    if edges:
        arms["latency"] = slow(_apart(one), _apart(other))
    names, one, other = counters.read("score_band_total", "band")
    if len(names) > 1:
        arms["scores"] = bands(one.T, other.T)
    names, one, other = counters.read("reasons_total", "feature")
    if names:
        of, champion_of = (np.broadcast_to(side.sum(0), side.shape).copy() for side in (one, other))
        arms["reasons"] = Arms(one, of, other, champion_of)
    return arms


def _once(series: Series, label: str) -> Series:
    """One of the series that are of one process at one time, the longest; the address that was scraped tells it."""
    found: dict[tuple[Any, ...], list[tuple[dict[str, str], dict[int, float]]]] = {}
    for labels, values in sorted(series, key=lambda each: -len(each[1])):
        host = labels.get("instance", "localhost").rpartition(":")[0]
        of = ("namespace", "instance", "model", label) if host not in _ANYWHERE else tuple(sorted(labels))
        kept = found.setdefault(tuple((name, labels.get(name, "")) for name in of), [])
        if all(values.keys().isdisjoint(known) for _, known in kept):  # another pod may get the address later
            kept.append((labels, values))
    return [each for kept in found.values() for each in kept]


def _reaches(series: Sequence[Mapping[int, float]], count: int) -> Counts:
    """(count,) the stratum that each belongs to: where a series was away and came back, the one of its return."""
    ends = np.ones(count, bool)
    for values in series:
        places = np.array(sorted(values), np.int64)
        for gap in np.flatnonzero(np.diff(places) > 1):
            ends[places[gap] : places[gap + 1] - 1] = False
    ends[-1:] = True
    return np.asarray(np.flatnonzero(ends)[np.cumsum(ends) - ends], np.int64)


def _by_label(series: Series, label: str, into: Counts, since: int) -> dict[str, Counts]:
    """Increases after step ``since`` in the strata that ``into`` names, summed over the series of a label's value."""
    found: dict[str, Counts] = {}
    for labels, values in series:
        sums = found.setdefault(labels.get(label, ""), np.zeros(len(into), np.int64))
        last = values.get(since, 0.0)
        for place in range(since + 1, len(into) + 1):
            value = values.get(place)
            if value is not None:
                sums[into[place - 1]] += round(value - last if value >= last else value)
                last = value
    return found


def _within(x: Counts, n: Counts, y: Counts, m: Counts) -> Arms:
    """Arms without more events than trials, which a restart leaves where its trials, and not its events, caught up."""
    return Arms(np.minimum(x, n), n, np.minimum(y, m), m)


def _apart(cumulative: Counts) -> Counts:
    """(T, B) counts a bucket of (B, T) cumulative ones."""
    return np.diff(cumulative, axis=0, prepend=0).T.clip(0)


def _bucket(name: str) -> tuple[float, str]:
    try:
        return float(name), name
    except ValueError:
        return float("inf"), name
