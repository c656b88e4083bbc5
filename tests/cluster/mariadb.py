"""MariaDB on loopback, in which Kubeflow Pipelines keeps experiments, runs and schedules.

with MariaDB(folder) as database:
    database.port                      # root, without a password
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Self

from fraudline.ops.local.process import ChildProcess, Service, free_port, port_open
from tests.support.needed import lacks

_COMMAND_S = 120
_SBIN = "/usr/sbin"


class MariaDB(Service):
    """The server; everything it writes lies below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self._child: ChildProcess | None = None

    def start(self) -> Self:
        """Make its tables and start it; ready when it takes connections."""
        self._folder.mkdir(parents=True, exist_ok=True)
        user = [f"--user={'root' if os.geteuid() == 0 else os.environ.get('USER', 'nobody')}"]
        data = self._folder / "data"
        install = [_path("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--skip-test-db", *user,
                   "--auth-root-authentication-method=normal"]  # fmt: skip
        subprocess.run(install, check=True, capture_output=True, timeout=_COMMAND_S)
        command = [_path("mariadbd"), "--no-defaults", f"--datadir={data}", f"--socket={self._folder / 'socket'}",
                   f"--port={self.port}", "--bind-address=127.0.0.1", "--skip-name-resolve", *user]  # fmt: skip
        self._child = ChildProcess("mariadb", command, log_path=self._folder / "log").start()
        self._child.wait_ready(lambda: port_open(self.port))
        return self

    def stop(self) -> None:
        """Stop it."""
        if self._child is not None:
            self._child.stop()


def need_mariadb() -> None:
    """Skip where it is not installed; in CI that is a failure."""
    if _found("mariadbd") is None:
        lacks("MariaDB", cure=".ci/cluster sees to it (Debian's mariadb-server-core)")


def _found(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SBIN}")


def _path(name: str) -> str:
    path = _found(name)
    assert path is not None, name
    return path
