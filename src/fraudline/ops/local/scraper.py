"""A small stand-in for Prometheus on this machine: it scrapes predictors and answers range queries of one selector.

    with LocalScraper({"champion": "http://127.0.0.1:8080/metrics"}) as scraper:
        httpx.post(f"{scraper.url}/api/v1/query_range", data={"query": 'name{version="0f3c"}', ...})

It knows names and exact labels, no functions and no storage: enough for the judge of a rollout where no Prometheus is
installed. It answers as Prometheus does: the newest sample at or before the asked time, at most five minutes old.
"""

import bisect
import re
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.error import URLError
from urllib.parse import parse_qs
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from fraudline.core.clock import now
from fraudline.ops.local.json_reply import reply
from fraudline.ops.local.process import Service

_LOOKBACK_S = 300.0
_STOPS_S = 0.05
"""How long it may take at most to stop answering."""
_SELECTOR = re.compile(r"\s*([a-zA-Z_:][\w:]*)\s*(?:\{(.*)\})?\s*")
_MATCHER = re.compile(r'\s*(\w+)\s*=\s*"([^"]*)"\s*')

Labels = tuple[tuple[str, str], ...]


class Samples:
    """Samples by series, in order of time."""

    def __init__(self) -> None:
        self._series: dict[Labels, tuple[list[float], list[float]]] = {}
        self._lock = threading.Lock()

    def add(self, at: float, name: str, labels: Mapping[str, str], value: float) -> None:
        """Keep one sample; times of a series never fall."""
        key = tuple(sorted({**labels, "__name__": name}.items()))
        with self._lock:
            times, values = self._series.setdefault(key, ([], []))
            times.append(at)
            values.append(value)

    def scrape(self, at: float, job: str, text: str) -> None:
        """Keep the samples of one answer of ``/metrics``."""
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self.add(at, sample.name, {**sample.labels, "job": job}, sample.value)

    def range(self, query: str, start: float, end: float, step: float) -> dict[str, Any]:
        """What ``/api/v1/query_range`` answers."""
        found = _SELECTOR.fullmatch(query)
        matchers = [_MATCHER.fullmatch(part) for part in (found[2] or "").split(",") if part.strip()] if found else []
        if found is None or None in matchers:
            return {"status": "error", "errorType": "bad_data", "error": f"not a plain selector: {query}"}
        wanted = {("__name__", found[1])} | {(matcher[1], matcher[2]) for matcher in matchers if matcher}
        with self._lock:
            series = [(key, *values) for key, values in self._series.items() if wanted <= set(key)]
        count = int((end - start) / step + 1e-9) + 1
        result = []
        for key, times, values in series:
            points: list[list[Any]] = []
            for moment in (start + step * i for i in range(count)):
                place = bisect.bisect_right(times, moment) - 1
                if place >= 0 and moment - times[place] <= _LOOKBACK_S:
                    points.append([moment, f"{values[place]:.17g}"])
            if points:
                result.append({"metric": dict(key), "values": points})
        return {"status": "success", "data": {"resultType": "matrix", "result": result}}


class LocalScraper(Service):
    """Scrapes targets on a thread and answers on loopback.

    Args:
        targets: address of ``/metrics`` by job.
        seconds: between two scrapes.
        samples: where they are kept; default: a new store.
    """

    def __init__(self, targets: Mapping[str, str], *, seconds: float = 1.0, samples: Samples | None = None) -> None:
        self.samples = samples or Samples()
        self._targets, self._seconds = dict(targets), seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scraper", daemon=True)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.samples))
        self._http.daemon_threads = True

    @property
    def url(self) -> str:
        """Base address, as of a Prometheus."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def start(self) -> Self:
        """Begin to scrape and to answer."""
        threading.Thread(target=self._http.serve_forever, args=(_STOPS_S,), name="scraper-http", daemon=True).start()
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop both."""
        self._stop.set()
        self._thread.join()
        self._http.shutdown()
        self._http.server_close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for job, address in self._targets.items():
                try:
                    with urlopen(address, timeout=2) as answer:  # noqa: S310 - an address of ours, http
                        text = answer.read().decode()
                except (URLError, OSError):
                    continue  # a target that is down has no samples, as in Prometheus
                self.samples.scrape(now().timestamp(), job, text)
            self._stop.wait(self._seconds)


def _handler(samples: Samples) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            asked = {name: values[0] for name, values in parse_qs(body).items()}
            try:
                times = (float(asked["start"]), float(asked["end"]), float(asked["step"]))
                said = samples.range(asked["query"], *times)
            except (KeyError, ValueError) as error:
                said = {"status": "error", "errorType": "bad_data", "error": repr(error)}
            reply(self, 200 if said["status"] == "success" else 400, said)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
