"""The servers that are measured, each a process of its own on loopback."""

import http.client
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.command import OWN_KERNELS
from benchmarks.serving.load import Case, Run, ghz, wrk
from fraudline.ops.local.process import ChildProcess, free_port

EMPTY, OURS, FASTAPI, SAVEDMODEL = "empty KServe", "fraudline", "bare FastAPI", "SavedModel, FastAPI"
ONE_BY_ONE = "fraudline, one by one"
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Contestant:
    """A running server.

    Attributes:
        name: what the tables call it.
        child: its process.
        http_port: of REST.
        grpc_port: 0 where it has no gRPC.
    """

    name: str
    child: ChildProcess
    http_port: int
    grpc_port: int

    @property
    def url(self) -> str:
        """Base address of REST."""
        return f"http://127.0.0.1:{self.http_port}"

    def cpu_s(self) -> float:
        """CPU seconds of the process so far."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def resident_mb(self) -> float:
        """Resident memory now."""
        pages = int(Path(f"/proc/{self.child.pid}/statm").read_text(encoding="utf-8").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def maps(self) -> str:
        """The files that it has mapped into memory."""
        return Path(f"/proc/{self.child.pid}/maps").read_text(encoding="utf-8")

    def takes(self, case: Case) -> bool:
        """Whether it speaks the protocol of a case."""
        return bool(case.path or self.grpc_port)

    def load(self, case: Case, seconds: int, folder: Path) -> Run:
        """Load for some seconds."""
        before = self.cpu_s()
        if case.path:
            found = wrk(self.url, case, seconds, folder)
        else:
            found = ghz(f"127.0.0.1:{self.grpc_port}", case, seconds, folder)
        cpu = self.cpu_s() - before
        done = max(found["requests"], 1)
        return Run(done / found["seconds"], found["p50"], found["p99"], cpu / done * 1e6, int(found["errors"]))

    def post(self, case: Case) -> tuple[int, bytes]:
        """One request over REST: status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=30)
        try:
            connection.request("POST", case.path, case.body, case.headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def ready(self) -> bool:
        """Whether its model says that it is ready."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
        try:
            connection.request("GET", "/v2/models/fraud/ready")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def start(name: str, model: Path, folder: Path, options: Sequence[str] = ()) -> Contestant:
    """Start one and wait until it is ready. Its log is thrown away: writing one costs the loudest the most."""
    http_port, grpc_port = free_port(), free_port()
    ports = ["--http_port", str(http_port), "--grpc_port", str(grpc_port), "--model_name", "fraud"]
    bare = ["--http_port", str(http_port), "--model_dir", str(model)]
    commands = {
        EMPTY: ["benchmarks.serving.empty", *ports],
        OURS: ["fraudline.serve", *ports, "--model_dir", str(model), "--host", "127.0.0.1"],
        ONE_BY_ONE: ["fraudline.serve", *ports, "--model_dir", str(model), "--host", "127.0.0.1", "--gather", "false"],
        FASTAPI: ["benchmarks.serving.bare", *bare, "--engine", "onnx"],
        SAVEDMODEL: ["benchmarks.serving.bare", *bare, "--engine", "savedmodel"],
    }
    command = [sys.executable, "-m", *commands[name], *options]
    kernels = OWN_KERNELS if name == SAVEDMODEL else {}
    child = ChildProcess(name, command, log_path=Path("/dev/null"), env={"PYTHONPATH": f"{Path.cwd()}:src"} | kernels)
    has_grpc = name not in (FASTAPI, SAVEDMODEL)
    made = Contestant(name, child, http_port, grpc_port if has_grpc else 0)
    child.start().wait_ready(made.ready, timeout=240)
    return made


@contextmanager
def running(names: Sequence[str], model: Path, folder: Path) -> Iterator[list[Contestant]]:
    """Several of them; all end with the block."""
    with ExitStack() as stack:
        made = []
        for name in names:
            contestant = start(name, model, folder)
            stack.callback(contestant.child.stop)
            made.append(contestant)
        time.sleep(0.5)
        yield made
