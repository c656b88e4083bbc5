"""The programs that the cluster's tests run, built from their Go modules and cached by what they are built from.

    python -m tests.cluster.binaries          # builds what is missing, a line each

One program is built at a time: a build of the API server alone takes a good part of the memory of a small machine.
"""

import hashlib
import os
import shutil
import subprocess
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fraudline.core.errors import UnavailableError
from fraudline.core.files import atomic_folder
from tests.support.broker import CACHE
from tests.support.needed import lacks

HERE = Path(__file__).parent
_BUILD_S = 1500


class Program(NamedTuple):
    """A main package: the folder of the module that pins it, its import path, and build tags if it has any."""

    module: str
    package: str
    tags: str = ""


_KUBEFLOW = "github.com/kubeflow/pipelines/backend/src"
PROGRAMS = {
    "etcd": Program("apiserver", "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": Program("apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    "kubectl": Program("apiserver", "k8s.io/kubernetes/cmd/kubectl"),
    "kserve": Program("kserve", "github.com/kserve/kserve/cmd/manager"),
    "actionlint": Program("actionlint", "github.com/rhysd/actionlint/cmd/actionlint"),
    "gitea": Program("gitea", "code.gitea.io/gitea", "sqlite,sqlite_unlock_notify"),
    "versitygw": Program("s3", "github.com/versity/versitygw/cmd/versitygw"),
    "kubeflow": Program("kubeflow", "github.com/kubeflow/pipelines/backend/src/apiserver"),
    "kubeflow-agent": Program("kubeflow", "github.com/kubeflow/pipelines/backend/src/agent/persistence"),
    "kubeflow-schedules": Program(
        "kubeflow", "github.com/kubeflow/pipelines/backend/src/crd/controller/scheduledworkflow"
    ),
}


def available() -> bool:
    """Whether the programs are cached, or can be built here."""
    return all(_folder(name).is_dir() for name in PROGRAMS) or shutil.which("go") is not None


def need_go() -> None:
    """Skip where the programs are neither cached nor can be built; in CI that is a failure."""
    if not available():
        lacks("Go 1.26", cure=".ci/cluster sees to it")


def program(name: str) -> Path:
    """The path of a program; built when the cache has none of this version.

    Raises:
        UnavailableError: it cannot be built.
    """
    folder = _folder(name)
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(folder) as made:
            module, package, tags = PROGRAMS[name]
            flags = ("-trimpath", "-p", "2", "-ldflags=-s -w", *(["-tags", tags] if tags else []))
            go("build", *flags, "-o", str(made / name), package, cwd=HERE / module)
    return folder / name


def module_folder(module: str, version: str) -> Path:
    """Where the sources of a module lie; downloaded the first time, checked against the checksum database.

    Raises:
        UnavailableError: it cannot be had.
    """
    with_version = f"{module}@{version}"
    go("mod", "download", with_version, cwd=HERE)
    return Path(go("env", "GOMODCACHE", cwd=HERE).strip()) / with_version


def go(*arguments: str, cwd: Path) -> str:
    """Run go; what it printed.

    Raises:
        UnavailableError: it is not installed, or failed; quotes the end of what it said.
    """
    if shutil.which("go") is None:
        raise UnavailableError("The cluster's programs are not cached and there is no go.", "Install Go 1.26.")
    flags = f"{os.environ.get('GOFLAGS', '')} -buildvcs=false".strip()
    environment = {**os.environ, "GOFLAGS": flags, "GOTOOLCHAIN": "local"}
    done = subprocess.run(
        ["go", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=_BUILD_S
    )
    if done.returncode != 0:
        tail = "\n".join(done.stderr.splitlines()[-10:])
        raise UnavailableError(f"go {arguments[0]} failed:\n{tail}", "Check the network, and that Go is 1.26.")
    return done.stdout


@cache
def _folder(name: str) -> Path:
    module, tags = HERE / PROGRAMS[name].module, PROGRAMS[name].tags
    pinned = b"".join((module / file).read_bytes() for file in ("go.mod", "go.sum")) + tags.encode()
    return CACHE.resolve() / "cluster" / f"{name}-{hashlib.sha256(pinned).hexdigest()[:16]}"


def _main() -> None:
    for name in PROGRAMS:
        begun = time.monotonic()
        path = program(name)
        print(f"{name:18} {path.stat().st_size >> 20:4d} MiB {time.monotonic() - begun:6.1f} s", flush=True)  # noqa: T201


if __name__ == "__main__":
    _main()
