"""A Prometheus on this machine, scraping loopback targets; where the program is missing, a small stand-in.

with local_prometheus({"champion": 8080}, folder) as prometheus:
    prometheus.url, prometheus.title
"""

import http.client
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import yaml

from fraudline.core.files import write_text
from fraudline.ops.local.process import ChildProcess, Service, free_port
from fraudline.ops.local.scraper import LocalScraper

_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Scraping:
    """What answers range queries, and what it is."""

    url: str
    title: str


class LocalPrometheus(Service):
    """Prometheus as a child process.

    Args:
        binary: the program.
        targets: port of ``/metrics`` by job.
        folder: everything that it leaves: configuration, data, log.
        seconds: between two scrapes.
    """

    def __init__(self, binary: str, targets: Mapping[str, int], folder: Path, *, seconds: int = 1) -> None:
        self._port = free_port(_HOST)
        self._folder = folder
        self._config = {
            "global": {"scrape_interval": f"{seconds}s", "scrape_timeout": f"{seconds}s"},
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [f"{_HOST}:{port}"]}]} for job, port in targets.items()
            ],
        }
        command = [binary, f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]
        command += [f"--web.listen-address={_HOST}:{self._port}", "--log.level=warn"]
        self._child = ChildProcess("prometheus", command, log_path=folder / "prometheus.log")

    @property
    def url(self) -> str:
        """Base address, without a trailing slash."""
        return f"http://{_HOST}:{self._port}"

    def start(self) -> Self:
        """Start it and wait until it answers.

        Raises:
            UnavailableError: it ended or was not ready in time; quotes its log.
        """
        write_text(self._folder / "prometheus.yaml", yaml.safe_dump(self._config))
        self._child.start()
        self._child.wait_ready(self._ready)
        return self

    def stop(self) -> None:
        """Stop it; harmless when it already ended."""
        self._child.stop()

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection(_HOST, self._port, timeout=2)
        try:
            connection.request("GET", "/-/ready")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()


@contextmanager
def local_prometheus(targets: Mapping[str, int], folder: Path, *, seconds: int = 1) -> Iterator[Scraping]:
    """Scrape targets until the end of the block.

    Args:
        targets: port of ``/metrics`` by job.
        folder: what Prometheus leaves.
        seconds: between two scrapes.
    """
    binary = shutil.which("prometheus")
    if binary is not None:
        with LocalPrometheus(binary, targets, folder, seconds=seconds) as running:
            yield Scraping(running.url, "Prometheus")
        return
    addresses = {job: f"http://{_HOST}:{port}/metrics" for job, port in targets.items()}
    with LocalScraper(addresses, seconds=seconds) as scraper:
        yield Scraping(scraper.url, "a small scraper in this process (the program prometheus is not installed)")
