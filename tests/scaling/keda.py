"""KEDA's own operator, as a process beside the API server that it watches."""

from pathlib import Path
from typing import Self

import httpx

from fraudline.core.files import atomic_folder
from fraudline.ops.local.process import ChildProcess, Service, free_port
from tests.cluster.binaries import go, module_folder
from tests.cluster.control_plane import ControlPlane
from tests.cluster.definitions import KEDA
from tests.support.broker import CACHE


def program() -> Path:
    """The operator, built from its module with the versions that it pins itself; cached by version.

    Raises:
        UnavailableError: it cannot be built.
    """
    folder = CACHE.resolve() / "cluster" / f"keda-{KEDA[1]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(folder) as made:
            go(
                "build",
                "-p",
                "2",
                "-ldflags=-s -w",
                "-o",
                str(made / "keda"),
                "./cmd/operator",
                cwd=module_folder(*KEDA),
            )
    return folder / "keda"


class Operator(Service):
    """The operator; it has the right to everything."""

    def __init__(self, cluster: ControlPlane) -> None:
        self._cluster = cluster
        self._probe_port = free_port()
        self._child: ChildProcess | None = None

    def start(self) -> Self:
        """Install its definitions and start it."""
        for file in sorted((module_folder(*KEDA) / "config" / "crd" / "bases").glob("*.yaml")):
            self._cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(file))
        self._cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "keda"}}])
        certificates = self._cluster.folder / "keda"
        self._cluster.authority.write_server(certificates)
        (certificates / "ca.crt").write_bytes(self._cluster.authority.pem)
        command = [
            program(),
            f"--kubeconfig={self._cluster.kubeconfig}",
            f"--cert-dir={certificates}",
            f"--health-probe-bind-address=127.0.0.1:{self._probe_port}",
            f"--metrics-service-bind-address=127.0.0.1:{free_port()}",
            f"--metrics-bind-address=127.0.0.1:{free_port()}",
        ]
        environment = {"KUBECONFIG": str(self._cluster.kubeconfig), "KEDA_CLUSTER_OBJECT_NAMESPACE": "keda"}
        environment |= {"POD_NAMESPACE": "keda", "POD_NAME": "keda-operator", "WATCH_NAMESPACE": ""}
        log = self._cluster.folder / "keda.log"
        self._child = ChildProcess("keda", command, log_path=log, env=environment).start()
        self._child.wait_ready(self._ready)
        return self

    def stop(self) -> None:
        """Stop it."""
        if self._child is not None:
            self._child.stop()

    def _ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self._probe_port}/readyz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False
