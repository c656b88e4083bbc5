"""etcd and a real kube-apiserver on loopback: admission, schemas, server-side apply; no scheduler, no kubelet.

with ControlPlane(folder) as cluster:
    cluster.apply(text)
    cluster.get("deployment", "fraud-predictor", namespace="fraudline")
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from fraudline.ops.local.process import ChildProcess, Service, free_port
from tests.cluster.binaries import program
from tests.support.certificates import Authority, write_signing_key

TOKEN = "tests"  # noqa: S105 - it opens a server of this test, on loopback
_KUBECTL_S = 600


class RefusedError(Exception):
    """The API server, or a webhook that it asked, refused; the text is what it said."""


class ControlPlane(Service):
    """An API server with its store; everything lies below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority()
        self.port = free_port()
        self._etcd_port, self._peer_port = free_port(), free_port()
        self._etcd = self._server = None

    @property
    def url(self) -> str:
        """The API server's address."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """What a client reads to come in as administrator."""
        return self.folder / "kubeconfig"

    def start(self) -> Self:
        """Start both; ready when the API server says so."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_files()
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._peer_port}"
        etcd = [
            program("etcd"), "--data-dir", self.folder / "etcd", "--unsafe-no-fsync", "--log-level=warn",
            f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
        ]  # fmt: skip
        self._etcd = ChildProcess("etcd", etcd, log_path=self.folder / "etcd.log").start()
        self._etcd.wait_ready(lambda: _answers(f"{client}/health"))
        self._server = ChildProcess(
            "kube-apiserver", self._server_command(client), log_path=self.folder / "kube-apiserver.log"
        ).start()
        self._server.wait_ready(lambda: _answers(f"{self.url}/readyz", headers={"Authorization": f"Bearer {TOKEN}"}))
        return self

    def stop(self) -> None:
        """Stop both."""
        for child in (self._server, self._etcd):
            if child is not None:
                child.stop()

    # ---- what a client does --------------------------------------------------------------------------------------

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        """Run kubectl as administrator; what it printed.

        Raises:
            RefusedError: it failed.
        """
        done = subprocess.run(
            [program("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments],
            input=text, capture_output=True, text=True, check=False, timeout=_KUBECTL_S,
        )  # fmt: skip
        if done.returncode != 0:
            raise RefusedError(done.stderr.strip())
        return done.stdout

    def apply(self, documents: str | Iterable[dict[str, Any]], *options: str) -> str:
        """Server-side apply, every unknown field refused.

        Raises:
            RefusedError: the server refuses one of them.
        """
        text = documents if isinstance(documents, str) else yaml.safe_dump_all(documents)
        flags = ("--server-side", "--force-conflicts", "--validate=strict", "--field-manager=fraudline")
        return self.kubectl("apply", *flags, *options, "-f", "-", text=text)

    def get(self, kind: str, name: str, namespace: str = "fraudline") -> dict[str, Any] | None:
        """One object, or None."""
        text = self.kubectl("get", kind, name, "-n", namespace, "--ignore-not-found", "-o", "json")
        found: dict[str, Any] | None = json.loads(text) if text.strip() else None
        return found

    def names(self, kind: str, namespace: str = "fraudline") -> set[str]:
        """The names of all objects of a kind."""
        listed = json.loads(self.kubectl("get", kind, "-n", namespace, "-o", "json"))
        return {item["metadata"]["name"] for item in listed["items"]}

    def log_tail(self, lines: int = 20) -> str:
        """The end of the API server's log."""
        return self._server.log_tail(lines) if self._server is not None else ""

    # ---- files ---------------------------------------------------------------------------------------------------

    def _write_files(self) -> None:
        (self.folder / "ca.pem").write_bytes(self.authority.pem)
        self.authority.write_server(self.folder / "apiserver")
        write_signing_key(self.folder / "accounts.key")
        (self.folder / "tokens.csv").write_text(f'{TOKEN},tests,tests,"system:masters"\n')
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "t", "cluster": {"server": self.url, "certificate-authority": str(self.folder / "ca.pem")}}
            ],
            "users": [{"name": "t", "user": {"token": TOKEN}}],
            "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}],
            "current-context": "t",
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))

    def _server_command(self, etcd: str) -> list[str | Path]:
        tls, key = self.folder / "apiserver", self.folder / "accounts.key"
        return [
            program("kube-apiserver"),
            f"--etcd-servers={etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--tls-cert-file={tls / 'tls.crt'}",
            f"--tls-private-key-file={tls / 'tls.key'}",
            f"--cert-dir={self.folder / 'certificates'}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            f"--service-account-signing-key-file={key}",
            f"--service-account-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            "--anonymous-auth=false",
            "--endpoint-reconciler-type=none",
        ]


def eventually(look: Callable[[], Any], *, timeout: float = 300.0, interval: float = 0.3) -> Any:
    """What ``look`` gives as soon as it gives something true.

    Raises:
        AssertionError: it gave nothing of the kind in time.
    """
    deadline = time.monotonic() + timeout
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {timeout:g} s; last seen: {found!r}"
        time.sleep(interval)


def _answers(url: str, headers: dict[str, str] | None = None) -> bool:
    try:
        return httpx.get(url, headers=headers, verify=False, timeout=2).status_code == 200  # noqa: S501 - loopback
    except httpx.HTTPError:
        return False
