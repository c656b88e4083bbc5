"""Kubeflow Pipelines on loopback: its API server, the controller of its schedules and the agent that reports runs.

with Kubeflow(cluster, folder) as kubeflow:
    PipelineServer(kubeflow.url).submit(...)       # a Workflow in the cluster's namespace kubeflow, which nobody runs

Version 2.0.5, the newest whose Go module can be had. Runs, experiments and schedules lie in MariaDB, what was uploaded
in an S3 store. Argo's controller is not here: what would become of a Workflow's pods, a test says itself.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Self

import httpx

from fraudline.ops.local.process import ChildProcess, Service, free_port
from tests.cluster.binaries import program
from tests.cluster.control_plane import TOKEN, ControlPlane
from tests.cluster.mariadb import MariaDB
from tests.cluster.s3_server import S3
from tests.support.needed import lacks

HERE = Path(__file__).parent
NAMESPACE = "kubeflow"


class Kubeflow(Service):
    """The three programs with database and store; everything they write lies below ``folder``."""

    def __init__(self, cluster: ControlPlane, folder: Path) -> None:
        self._cluster, self._folder = cluster, folder
        self._port, self._rpc_port = free_port(), free_port()
        self._database, self._store = MariaDB(folder / "database"), S3(folder / "store")
        self._children: list[ChildProcess] = []

    @property
    def url(self) -> str:
        """What ``fraudline pipeline --host`` takes."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> Self:
        """Start all; ready when the API server has made its tables."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._cluster.kubectl("create", "namespace", NAMESPACE)
        self._database.start()
        self._store.start()
        self._store.bucket("pipelines")
        self._write_files()
        self._run("kubeflow", f"--config={self._folder}", f"--sampleconfig={self._folder / 'samples.json'}",
                  f"--httpPortFlag=127.0.0.1:{self._port}", f"--rpcPortFlag=127.0.0.1:{self._rpc_port}",
                  "--logtostderr").wait_ready(self._answers)  # fmt: skip
        account = ("--kubeconfig", str(self._cluster.kubeconfig), "--namespace", NAMESPACE)
        self._run("kubeflow-schedules", *account)
        ports = (f"--mlPipelineServiceHttpPort={self._port}", f"--mlPipelineServiceGRPCPort={self._rpc_port}")
        self._run("kubeflow-agent", *account, "--mlPipelineAPIServerName=127.0.0.1", *ports)
        return self

    def stop(self) -> None:
        """Stop all."""
        for child in reversed(self._children):
            child.stop()
        self._store.stop()
        self._database.stop()

    def log_tail(self, lines: int = 20) -> str:
        """The ends of the programs' logs."""
        return "\n".join(f"{child.name}:\n{child.log_tail(lines)}" for child in self._children)

    def _run(self, name: str, *arguments: str) -> ChildProcess:
        inside = [str(HERE / "in_cluster.sh"), str(self._folder), str(program(name)), *arguments]
        address = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self._cluster.port),
                   "POD_NAMESPACE": NAMESPACE, "CRON_SCHEDULE_TIMEZONE": "UTC"}  # fmt: skip
        child = ChildProcess(name, [*_UNSHARE, *inside], log_path=self._folder / f"{name}.log", env=address).start()
        self._children.append(child)
        return child

    def _answers(self) -> bool:
        """Its health says nothing of the server behind it."""
        try:
            return httpx.get(f"{self.url}/apis/v2beta1/experiments", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def _write_files(self) -> None:
        (self._folder / "token").write_text(TOKEN)
        (self._folder / "ca.pem").write_bytes(self._cluster.authority.pem)
        # The server listens at --rpcPortFlag and asks itself at "localhost" and the same: of a whole address that makes
        # this name. Without an address it would listen to everybody.
        (self._folder / "hosts").write_text("127.0.0.1 localhost localhost127.0.0.1\n")
        (self._folder / "samples.json").write_text("[]")
        (self._folder / "config.json").write_text(json.dumps(self._config()))

    def _config(self) -> dict[str, Any]:
        """As the server's image has it, with our database and store."""
        keys = self._store.environment
        host, port = self._store.url.removeprefix("http://").split(":")
        mysql = {"User": "root", "Host": "127.0.0.1", "Port": str(self._database.port), "DBName": "mlpipeline",
                 "GroupConcatMaxLen": "4194304"}  # fmt: skip
        store = {"AccessKey": keys["AWS_ACCESS_KEY_ID"], "SecretAccessKey": keys["AWS_SECRET_ACCESS_KEY"],
                 "BucketName": "pipelines", "PipelinePath": "pipelines", "Host": host, "Port": port,
                 "Region": keys["AWS_DEFAULT_REGION"], "Secure": "false"}  # fmt: skip
        return {
            "DBDriverName": "mysql",
            "DBConfig": {"ConMaxLifeTime": "120s", "MySQLConfig": mysql},
            "ObjectStoreConfig": store,
            "InitConnectionTimeout": "1m",
            "DEFAULTPIPELINERUNNERSERVICEACCOUNT": "pipeline-runner",
            "CacheEnabled": "true",
            "CRON_SCHEDULE_TIMEZONE": "UTC",
            "ML_PIPELINE_VISUALIZATIONSERVER_SERVICE_HOST": "127.0.0.1",  # nobody is there
            "ML_PIPELINE_VISUALIZATIONSERVER_SERVICE_PORT": "1",
            "ARCHIVE_CONFIG_LOG_FILE_NAME": "main.log",
            "ARCHIVE_CONFIG_LOG_PATH_PREFIX": "/artifacts",
        }


_UNSHARE = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))


def need_mounts() -> None:
    """Skip where no process may have mounts of its own; in CI that is a failure."""
    if subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False).returncode != 0:
        lacks("mount namespaces", cure="allow unshare --mount")
