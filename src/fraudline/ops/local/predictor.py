"""A predictor on this machine: the same server as in the cluster, on free loopback ports.

with LocalPredictor(Path("build/model"), "fraud") as predictor:
    httpx.post(f"{predictor.url}/v1/models/fraud:predict", json={"instances": [...]})
"""

import http.client
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

from fraudline.core.errors import ArtifactError, UnavailableError
from fraudline.core.log import get_logger
from fraudline.ops.local.process import READY_SECONDS, ChildProcess, Service, free_port

log = get_logger(__name__)

_HOST = "127.0.0.1"


class LocalPredictor(Service):
    """One ``python -m fraudline.serve`` as a child process.

    Args:
        model_dir: the artifact.
        name: the model's name on the endpoint path.
        label: what people call this process where several serve the same name, for example ``canary``.
        expected_digest: refuse any other model.
        grpc: serve V2 over gRPC, too.
        log_path: file of the server's output; default: a temporary one, removed at the end.
        http_port: port to bind; default: a free one.

    Attributes:
        ready_seconds: time from the start to readiness.
    """

    def __init__(
        self,
        model_dir: Path,
        name: str = "fraud",
        *,
        label: str = "",
        expected_digest: str | None = None,
        grpc: bool = False,
        log_path: Path | None = None,
        http_port: int | None = None,
    ) -> None:
        self.name = name
        self.http_port = http_port or free_port(_HOST)
        self.grpc_port = free_port(_HOST) if grpc else None
        self.ready_seconds = 0.0
        self._scratch = None if log_path else tempfile.TemporaryDirectory(prefix="fraudline-predictor-")
        command: list[str | Path] = [sys.executable, "-m", "fraudline.serve", "--model_dir", model_dir.resolve()]
        command += ["--model_name", name, "--host", _HOST, "--http_port", str(self.http_port)]
        command += ["--grpc_port", str(self.grpc_port)] if self.grpc_port else ["--enable_grpc", "false"]
        command += ["--expected_digest", expected_digest] if expected_digest else []
        path = log_path or Path(self._scratch.name if self._scratch else "") / "predictor.log"
        self._child = ChildProcess(f"predictor {label or name}", command, log_path=path)

    @property
    def url(self) -> str:
        """Base address of REST, without a trailing slash."""
        return f"http://{_HOST}:{self.http_port}"

    @property
    def grpc_address(self) -> str:
        """``host:port`` of gRPC; empty where it is off."""
        return f"{_HOST}:{self.grpc_port}" if self.grpc_port else ""

    @property
    def child(self) -> ChildProcess:
        """The server's process."""
        return self._child

    def start(self) -> Self:
        """Start the server without waiting for it."""
        self._started = time.monotonic()
        self._child.start()
        return self

    def wait_ready(self, timeout: float = READY_SECONDS) -> Self:
        """Wait until the model answers that it is ready.

        Raises:
            ArtifactError: the server refused the artifact; quotes its log.
            UnavailableError: it ended for another reason, or was not ready in time.
        """
        try:
            self._child.wait_ready(self._is_ready, timeout=timeout)
        except UnavailableError as error:
            self.stop()
            if self._child.returncode == ArtifactError.exit_code:
                raise ArtifactError(error.problem, "Fetch or build the artifact again.") from error
            raise
        self.ready_seconds = time.monotonic() - self._started
        log.info("predictor.ready", name=self._child.name, url=self.url, seconds=round(self.ready_seconds, 2))
        return self

    def stop(self) -> None:
        """Stop the server; harmless when it already ended."""
        self._child.stop()
        if self._scratch is not None:
            self._scratch.cleanup()

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(_HOST, self.http_port, timeout=1)
        try:
            connection.request("GET", f"/v2/models/{self.name}/ready")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def __enter__(self) -> Self:
        return self.start().wait_ready()
