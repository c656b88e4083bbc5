"""A child process that is started, waited for, stopped by its id, and never left behind.

    with ChildProcess("broker", ["java", ...], log_path=Path("broker.log")) as child:
        child.wait_ready(lambda: port_open(port))

Three things end a child: :meth:`ChildProcess.stop` (also at the end of the ``with`` block, so after Ctrl-C), the
interpreter's exit, and, on Linux, the death of the parent by any cause, ``kill -9`` included.
"""

import atexit
import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.core.log import get_logger

log = get_logger(__name__)

READY_SECONDS = 180.0
"""Ends the wait for a child that hangs; one that has ended is noticed at once, and a loaded machine takes its time."""

_TAIL_LINES = 15

# Runs in the child before the command: PR_SET_PDEATHSIG (1) = SIGKILL survives exec, and the parent may already be
# gone by then. A launcher instead of preexec_fn, which may deadlock in a parent with threads.
_LAUNCHER = """
import ctypes, os, sys
parent = int(sys.argv[1])
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != parent:
    sys.exit(0)
os.execvp(sys.argv[2], sys.argv[2:])
"""


_GIVEN = set[int]()


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on, and that nobody else who asks for any port is given in the next minute.

    Whoever is given one may not have begun to listen when the next one is asked for, here or in another process. So a
    connection to the port is made and ended from its own side: the system holds such a port back (``TIME_WAIT``) from
    all who ask for any, and lets a server listen that asks for it by its number with ``SO_REUSEADDR``, as servers do.
    """
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # after bind: else one that is held is given
            probe.listen(1)
            port: int = probe.getsockname()[1]
            with socket.create_connection((host, port)), probe.accept()[0]:
                pass  # what was accepted is closed first
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port


def port_open(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody accepts connections at ``host:port``."""
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


class Service(ABC):
    """Something that runs for the length of a ``with`` block."""

    @abstractmethod
    def start(self) -> Self:
        """Start it."""

    @abstractmethod
    def stop(self) -> object:
        """Stop it; harmless when it already ended."""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class ChildProcess(Service):
    """One child in a session of its own, with its output in a log file.

    On Linux the kernel ties the child to the *thread* that starts it: start children from a thread that lives as
    long as they should (the main thread).

    Args:
        name: what people call it, for events and errors.
        command: program and arguments; no shell.
        log_path: file that takes standard output and standard error; appended to.
        env: environment on top of this process's own.
        cwd: working folder.
        stop_timeout: seconds between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stop_timeout: float = 10.0,
    ) -> None:
        self.name = name
        self.command = [str(part) for part in command]
        self.log_path = log_path
        self._env = dict(env or {})
        self._cwd = cwd
        self._stop_timeout = stop_timeout
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The child's process id.

        Raises:
            UsageError: it was never started.
        """
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether the child was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """The exit status (negative: the signal that ended it); None while it runs or before its start."""
        return None if self._process is None else self._process.poll()

    def start(self) -> Self:
        """Start the child; a child that still runs is left alone.

        Raises:
            UnavailableError: the program is not there.
        """
        if self.running:
            return self
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        command = self.command
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command]
        with self.log_path.open("ab") as output:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **self._env},
                    cwd=self._cwd,
                    start_new_session=True,
                )
            except OSError as error:
                raise UnavailableError(
                    f"{self.name} cannot be started: {error.strerror}.", f"Install {self.command[0]}."
                ) from error
        atexit.register(self.kill)
        log.debug("child.started", name=self.name, pid=self._process.pid)
        return self

    def wait_ready(self, check: Callable[[], bool], *, timeout: float = READY_SECONDS, interval: float = 0.05) -> Self:
        """Poll ``check`` until it is true; the child is stopped when it never is.

        Raises:
            UnavailableError: the child ended, or ``timeout`` seconds passed; quotes the end of its log.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if not self.running:
                problem = f"{self.name} ended with status {self.returncode} before it was ready."
                raise UnavailableError(f"{problem}\n{self.log_tail()}", f"See {self.log_path}.")
            if check():
                return self
            time.sleep(interval)
        self.stop()
        raise UnavailableError(
            f"{self.name} was not ready within {timeout:g} s.\n{self.log_tail()}", f"See {self.log_path}."
        )

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the child's end and give its exit status.

        Raises:
            UnavailableError: ``timeout`` seconds passed.
        """
        try:
            return self._started().wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(f"{self.name} still runs after {timeout:g} s.", f"See {self.log_path}.") from error

    def stop(self) -> int | None:
        """SIGTERM, wait, SIGKILL to the child's whole session; give the exit status. Harmless when it already ended."""
        if self._process is None:
            return None
        if self.running:
            self._signal(signal.SIGTERM)
            try:
                self._process.wait(self._stop_timeout)
            except subprocess.TimeoutExpired:
                log.warning("child.killed", name=self.name, pid=self._process.pid, after_s=self._stop_timeout)
        self.kill()
        return self._process.returncode

    def kill(self) -> None:
        """SIGKILL to the child's whole session, now; waits until it is gone."""
        if self._process is None:
            return
        self._signal(signal.SIGKILL)
        self._process.wait()
        atexit.unregister(self.kill)

    def terminate(self) -> None:
        """Ask the child to end (SIGTERM) and return at once."""
        self._signal(signal.SIGTERM)

    def log_tail(self, lines: int = _TAIL_LINES) -> str:
        """The last lines of the log."""
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise UsageError(f"{self.name} was not started.", "Call start() first.")
        return self._process

    def _signal(self, number: signal.Signals) -> None:
        # The child leads its session, so its process group has its id; the group may outlive its leader.
        try:
            os.killpg(self._started().pid, number)
        except (ProcessLookupError, PermissionError):
            return
