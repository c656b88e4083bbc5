"""Gitea: a real forge on loopback, with sqlite, an owner, and a repository that a test pushes to.

with Gitea(folder) as gitea:
    gitea.create("fraud")
    ForgeParams(kind="gitea", project="bank/fraud", api=gitea.api)     # with gitea.token
"""

import os
import subprocess
from pathlib import Path
from typing import Any, Self

import httpx

from fraudline.ops.local.process import ChildProcess, Service, free_port
from tests.cluster.binaries import module_folder, program

OWNER = "bank"
MODULE = ("code.gitea.io/gitea", "v1.26.0")
_PASSWORD = "only-on-loopback-1"  # noqa: S105 - of a server of this test
_COMMAND_S = 120

_INI = """
APP_NAME = forge
RUN_MODE = prod
RUN_USER = {user}
WORK_PATH = {folder}
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = {root}

[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = {url}
LOCAL_ROOT_URL = {url}
STATIC_ROOT_PATH = {static}
DISABLE_SSH = true
OFFLINE_MODE = true

[database]
DB_TYPE = sqlite3

[security]
INSTALL_LOCK = true
PASSWORD_HASH_ALGO = pbkdf2$1000$50

[indexer]
ISSUE_INDEXER_TYPE = db

[actions]
ENABLED = false

[log]
LEVEL = warn
"""


class Gitea(Service):
    """The server; everything it writes lies below ``folder``.

    Attributes:
        token: of the repositories' owner, for everything.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = ""
        self._port = free_port()
        self._child: ChildProcess | None = None

    @property
    def url(self) -> str:
        """The server's address, with a slash at its end."""
        return f"http://127.0.0.1:{self._port}/"

    @property
    def api(self) -> str:
        """What ``rollout.forge.api`` is set to."""
        return f"{self.url}api/v1"

    def start(self) -> Self:
        """Make database, owner and token, and start it; ready when its API answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        static = module_folder(*MODULE)
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        settings = {"user": user, "root": str(os.geteuid() == 0).lower(), "folder": self.folder, "static": static}
        self._ini.write_text(_INI.format(port=self._port, url=self.url, **settings))
        self._run("migrate")
        self._run("admin", "user", "create", "--admin", "--username", OWNER, "--password", _PASSWORD,
                  "--email", f"{OWNER}@example.invalid", "--must-change-password=false")  # fmt: skip
        made = self._run("admin", "user", "generate-access-token", "--username", OWNER, "--scopes", "all", "--raw")
        self.token = made.split()[-1]
        command = [program("gitea"), "web", "--config", self._ini]
        self._child = ChildProcess("gitea", command, log_path=self.folder / "gitea.log", env=self._environment).start()
        self._child.wait_ready(self._answers)
        return self

    def stop(self) -> None:
        """Stop it."""
        if self._child is not None:
            self._child.stop()

    def call(self, method: str, path: str, **content: Any) -> Any:
        """Call the API as the owner, as a person does in a browser; what it answers."""
        answer = self._ask(method, path, content)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def click(self, path: str, **content: Any) -> bool:
        """Post as a person does who is told to try again later; False where the server says so."""
        answer = self._ask("POST", path, content)
        assert answer.is_success or "try again later" in answer.text, f"{path}: {answer.status_code} {answer.text}"
        return answer.is_success

    def settle(self) -> None:
        """Wait until pushes are worked off: a branch that is deleted takes what is opened of it meanwhile with it."""
        self._run("manager", "flush-queues")

    def create(self, name: str) -> str:
        """An empty repository of the owner; its address over HTTP."""
        self.call("POST", "/user/repos", name=name, default_branch="main")
        return f"{self.url}{OWNER}/{name}.git"

    def bare(self, name: str) -> Path:
        """Where it keeps a repository."""
        return self.folder / "data" / "gitea-repositories" / OWNER / f"{name}.git"

    @property
    def _ini(self) -> Path:
        return self.folder / "app.ini"

    @property
    def _environment(self) -> dict[str, str]:
        return {"HOME": str(self.folder), "GITEA_WORK_DIR": str(self.folder)}

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [program("gitea"), *arguments, "--config", self._ini],
            capture_output=True, text=True, check=False, timeout=_COMMAND_S,
            env={**os.environ, **self._environment},
        )  # fmt: skip
        assert done.returncode == 0, f"gitea {arguments}: {done.stdout[-1000:]}{done.stderr[-1000:]}"
        return done.stdout

    def _ask(self, method: str, path: str, content: dict[str, Any]) -> httpx.Response:
        headers = {"Authorization": f"token {self.token}"}
        return httpx.request(method, self.api + path, json=content or None, headers=headers, timeout=30)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.api}/version", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False
