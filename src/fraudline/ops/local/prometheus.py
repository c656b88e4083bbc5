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
from typing import Any, Self

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


class ConfiguredServer(Service):
    """A server of the Prometheus family as a child process: settings in a file, ``/-/ready`` when it answers.

    Args:
        binary: the program.
        name: of its settings and its log.
        config: what is written as its settings.
        folder: everything that it leaves.
        options: of its command line, beside the settings and the address.
    """

    def __init__(self, binary: str, name: str, config: Mapping[str, Any], folder: Path, *options: str) -> None:
        self._port = free_port(_HOST)
        self._file = folder / f"{name}.yaml"
        self._config = dict(config)
        address = f"--web.listen-address={_HOST}:{self._port}"
        command = [binary, f"--config.file={self._file}", address, *options]
        self._child = ChildProcess(name, command, log_path=folder / f"{name}.log")

    @property
    def url(self) -> str:
        """Base address, without a trailing slash."""
        return f"http://{_HOST}:{self._port}"

    def start(self) -> Self:
        """Start it and wait until it answers.

        Raises:
            UnavailableError: it ended or was not ready in time; quotes its log.
        """
        write_text(self._file, yaml.safe_dump(self._config))
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
        options = (f"--storage.tsdb.path={folder / 'tsdb'}", "--log.level=warn")
        with ConfiguredServer(binary, "prometheus", _scraping(targets, seconds), folder, *options) as running:
            yield Scraping(running.url, "Prometheus")
        return
    addresses = {job: f"http://{_HOST}:{port}/metrics" for job, port in targets.items()}
    with LocalScraper(addresses, seconds=seconds) as scraper:
        yield Scraping(scraper.url, "a small scraper in this process (the program prometheus is not installed)")


def _scraping(targets: Mapping[str, int], seconds: int) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": f"{seconds}s", "scrape_timeout": f"{seconds}s"},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"{_HOST}:{port}"]}]} for job, port in targets.items()
        ],
    }
