"""A real Apache Kafka 4 on this machine: KRaft JVMs from Maven jars, on loopback, for tests and the demo.

    with LocalKafka(Path("build/kafka")) as kafka:
        print(kafka.bootstrap)
    with LocalCluster(Path("build/cluster"), brokers=3) as cluster:
        cluster.nodes[0].kill9()

A broker keeps its log across :meth:`LocalKafka.kill9` and :meth:`LocalKafka.restart`: what a crash test needs. One
broker has replication 1, so it stands in for a cluster in everything but availability.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Self

from fraudline.core.errors import UnavailableError
from fraudline.core.log import get_logger
from fraudline.ops.local.maven import fetch_libraries
from fraudline.ops.local.process import READY_SECONDS, ChildProcess, Service, free_port, port_open

log = get_logger(__name__)

KAFKA_VERSION = "4.2.0"
"""The version that ``kafka.pom.xml`` names; a test holds the two together."""

_JAVA_AT_LEAST = 17
_VERSION_S = 30.0
_CLUSTER_ID = "ZnJhdWRsaW5lLWxvY2FsMA"  # 16 bytes in URL-safe base64: Kafka's own form of a cluster id
_JVM = ("-Xms96m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")


def java_version() -> int:
    """The major version of ``java`` on the path; 0 where there is none.

    Raises:
        UnavailableError: it does not answer.
    """
    if shutil.which("java") is None:
        return 0
    answer = _answer(["java", "-version"], _VERSION_S)
    found = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    return int(found.group(1)) if found else 0


def _answer(command: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        problem = f"{command[0]} {command[-1]} did not end within {timeout:g} s."
        raise UnavailableError(problem, "See whether Java works and the machine has time for it; try again.") from error


def java_available(cache: Path = Path(".cache")) -> bool:
    """Whether a broker can run here: Java 17+, and its jars are cached or Maven can fetch them.

    Raises:
        UnavailableError: Java does not answer.
    """
    jars = jars_folder(cache).is_dir() or shutil.which("mvn") is not None
    return jars and java_version() >= _JAVA_AT_LEAST


def jars_folder(cache: Path) -> Path:
    """Where the jars of this version lie under ``cache``."""
    return cache.resolve() / f"kafka-{KAFKA_VERSION}"


def fetch_jars(cache: Path = Path(".cache")) -> Path:
    """The folder with Kafka's jars; Maven fetches them (43 MB) the first time.

    Raises:
        UnavailableError: there is no Maven, or it could not fetch them.
    """
    jars = jars_folder(cache)
    if not jars.is_dir():
        log.info("kafka.fetch", version=KAFKA_VERSION, megabytes=43)
        pom = resources.files("fraudline.ops.local").joinpath("kafka.pom.xml").read_bytes()
        fetch_libraries(pom, jars, "Kafka", instead="use the mock broker")
    return jars


class LocalKafka(Service):
    """One broker and controller in one JVM.

    Args:
        folder: its log folder and its output; made when missing, kept at the end.
        cache: folder that holds the jars.
        port: 0 for a free one; the same port is kept across restarts.
        node: its number in its cluster, from 1.
        controllers: the controller ports of the whole cluster, by node; empty for a cluster of one.
    """

    def __init__(
        self,
        folder: Path,
        *,
        cache: Path = Path(".cache"),
        port: int = 0,
        node: int = 1,
        controllers: Mapping[int, int] | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.cache = cache
        self._port = port or free_port()
        self._node = node
        self._controllers = dict(controllers or {node: free_port()})
        self._child: ChildProcess | None = None

    @property
    def bootstrap(self) -> str:
        """``host:port`` for clients."""
        return f"127.0.0.1:{self._port}"

    @property
    def running(self) -> bool:
        """Whether the JVM runs."""
        return self._child is not None and self._child.running

    def start(self, *, timeout: float = READY_SECONDS) -> Self:
        """Start the broker and wait until it answers; the first start also formats its storage.

        Raises:
            UnavailableError: it did not come up; quotes the end of its output.
        """
        return self.launch().wait(timeout=timeout)

    def launch(self) -> Self:
        """Start the broker and return at once; a broker of a cluster answers when most of the cluster runs.

        Raises:
            UnavailableError: there is no Java, or the storage cannot be formatted.
        """
        classpath = f"{fetch_jars(self.cache)}/*"
        properties = self._write_properties()
        java = ["java", *_JVM, "-Dorg.apache.logging.log4j.level=WARN", "-cp", classpath]
        if not (self.folder / "data" / "meta.properties").exists():
            self._format(java, properties)
        command = [*java, "kafka.Kafka", str(properties)]
        self._child = ChildProcess("kafka", command, log_path=self.folder / "kafka.log", stop_timeout=20).start()
        return self

    def wait(self, *, timeout: float = READY_SECONDS) -> Self:
        """Wait until the broker answers.

        Raises:
            UnavailableError: it did not come up; quotes the end of its output.
        """
        if self._child is not None:
            self._child.wait_ready(lambda: port_open(self._port), timeout=timeout)
        return self

    def stop(self) -> None:
        """Stop the broker in order (SIGTERM)."""
        if self._child is not None:
            self._child.stop()

    def kill9(self) -> None:
        """Kill the broker without warning; its log stays."""
        if self._child is not None:
            self._child.kill()

    def restart(self) -> Self:
        """Start again on the same port and log."""
        self.stop()
        return self.start()

    def _format(self, java: list[str], properties: Path) -> None:
        command = [*java, "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(properties)]
        answer = _answer(command, READY_SECONDS)
        if answer.returncode != 0:
            problem = f"Kafka's storage cannot be formatted:\n{answer.stdout}{answer.stderr}"
            raise UnavailableError(problem, f"Remove {self.folder}.")

    def _write_properties(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        broker, controller = f"127.0.0.1:{self._port}", f"127.0.0.1:{self._controllers[self._node]}"
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in self._controllers.items())
        copies, in_sync = min(3, len(self._controllers)), 1 if len(self._controllers) < 3 else 2
        lines = {
            "process.roles": "broker,controller",
            "node.id": str(self._node),
            "controller.quorum.voters": voters,
            "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{broker}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.folder / "data"),
            "auto.create.topics.enable": "false",
            "num.partitions": "4",
            "default.replication.factor": str(copies),
            "min.insync.replicas": str(in_sync),
            "offsets.topic.replication.factor": str(copies),
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": str(copies),
            "transaction.state.log.min.isr": str(in_sync),
            "transaction.state.log.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "num.network.threads": "2",
            "num.io.threads": "2",
            "log.cleaner.dedupe.buffer.size": "8388608",  # 128 MB by default: half of this JVM's heap
            "broker.heartbeat.interval.ms": "300",
            # a killed broker comes back only after its old session ended; several JVMs need more patience
            "broker.session.timeout.ms": "1500" if copies == 1 else "4000",
        }
        path = self.folder / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in lines.items()), encoding="utf-8")
        return path


class LocalCluster(Service):
    """Brokers that are each other's controllers: topics of three copies outlive the death of any one of them.

    Args:
        folder: one folder a broker inside; made when missing, kept at the end.
        brokers: how many; three or more for a quorum that outlives one.
        cache: folder that holds the jars.
    """

    def __init__(self, folder: Path, *, brokers: int = 3, cache: Path = Path(".cache")) -> None:
        controllers = {node: free_port() for node in range(1, brokers + 1)}
        self.nodes = [
            LocalKafka(folder / f"broker-{node}", cache=cache, node=node, controllers=controllers)
            for node in controllers
        ]

    @property
    def bootstrap(self) -> str:
        """``host:port`` pairs for clients."""
        return ",".join(node.bootstrap for node in self.nodes)

    def start(self, *, timeout: float = READY_SECONDS) -> Self:
        """Start every broker that does not run and wait until all answer.

        Raises:
            UnavailableError: one did not come up; quotes the end of its output.
        """
        waiting = [node.launch() for node in self.nodes if not node.running]
        for node in waiting:
            node.wait(timeout=timeout)
        return self

    def stop(self) -> None:
        """Kill every broker: brokers that stop in order wait for each other, and nothing here is kept."""
        self.kill9()

    def kill9(self) -> None:
        """Kill every broker without warning; their logs stay."""
        for node in self.nodes:
            node.kill9()
