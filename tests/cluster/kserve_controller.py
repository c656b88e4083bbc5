"""KServe's own controller with its webhooks, as a process beside the API server that it watches.

What its installation puts into a cluster comes from its module's folder; the webhooks' addresses are rewritten from a
Service to this machine.
"""

import base64
import json
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from fraudline.ops.local.process import ChildProcess, Service, free_port
from tests.cluster.binaries import module_folder, program
from tests.cluster.control_plane import ControlPlane
from tests.cluster.definitions import KSERVE

_INGRESS = {"enableGatewayApi": True, "disableIstioVirtualHost": True}


class KServe(Service):
    """The controller; ``cluster`` has its definitions already."""

    def __init__(self, cluster: ControlPlane) -> None:
        self._cluster = cluster
        self._folder = cluster.folder / "kserve"
        self._port, self._probe_port = free_port(), free_port()
        self._child: ChildProcess | None = None

    def start(self) -> Self:
        """Install what it reads at its start, and start it; ready when its webhooks answer."""
        config = module_folder(*KSERVE) / "config"
        self._cluster.apply([_object("Namespace", "kserve"), _object("Namespace", "knative-serving")])
        # Knative's own settings, all at their defaults: KServe reads them and asks for no more of it
        self._cluster.apply([_object("ConfigMap", "config-autoscaler", namespace="knative-serving")])
        self._cluster.apply([_configuration(config), *_read(config / "storagecontainers" / "default.yaml")])
        certificates = self._folder / "tmp" / "k8s-webhook-server" / "serving-certs"  # below TMPDIR: its default
        self._cluster.authority.write_server(certificates)
        command = [
            program("kserve"),
            f"--kubeconfig={self._cluster.kubeconfig}",
            f"--webhook-port={self._port}",
            f"--health-probe-addr=127.0.0.1:{self._probe_port}",
            "--metrics-addr=0",
        ]
        environment = {"GOMEMLIMIT": "900MiB", "POD_NAMESPACE": "kserve", "TMPDIR": str(self._folder / "tmp")}
        self._child = ChildProcess("kserve", command, log_path=self._folder / "controller.log", env=environment).start()
        self._child.wait_ready(self._ready)
        self._cluster.apply(list(map(self._here, _read(config / "webhook" / "manifests.yaml"))))
        return self

    def stop(self) -> None:
        """Stop it."""
        if self._child is not None:
            self._child.stop()

    def log_tail(self, lines: int = 40) -> str:
        """The end of its log."""
        return self._child.log_tail(lines) if self._child is not None else ""

    def _ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self._probe_port}/readyz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def _here(self, document: dict[str, Any]) -> dict[str, Any]:
        document["metadata"] = {"name": document["metadata"]["name"]}
        for hook in document["webhooks"]:
            path = hook["clientConfig"]["service"]["path"]
            hook["clientConfig"] = {
                "url": f"https://127.0.0.1:{self._port}{path}",
                "caBundle": base64.b64encode(self._cluster.authority.pem).decode(),
            }
        return document


def _configuration(config: Path) -> dict[str, Any]:
    (document,) = _read(config / "configmap" / "inferenceservice.yaml")
    document["metadata"] = {"name": document["metadata"]["name"], "namespace": "kserve"}
    document["data"].pop("_example", None)
    document["data"]["ingress"] = json.dumps({**json.loads(document["data"]["ingress"]), **_INGRESS})
    return document


def _object(kind: str, name: str, **metadata: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **metadata}}


def _read(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]
