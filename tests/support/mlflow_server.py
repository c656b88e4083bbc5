"""A real MLflow server on loopback, for the tests that its database alone would not do for."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fraudline.ops.local.process import ChildProcess, free_port
from tests.support.workers import http


@contextmanager
def mlflow_server(folder: Path, artifacts: str, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Its address; it keeps its database in ``folder`` and hands artifacts on to ``artifacts``, a path or address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", artifacts]
    environment = {"MLFLOW_DISABLE_TELEMETRY": "true", **(environment or {})}
    with ChildProcess("mlflow", command, log_path=folder / "log", env=environment) as child:
        child.wait_ready(lambda: http(f"{url}/health")[1] == "OK", timeout=300.0)
        yield url
