"""Renders a folder of the manifests as ``kubectl apply -k`` would."""

import functools
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import binaries
from tests.support.needed import lacks

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
OVERLAYS = sorted(path.parent.name for path in MANIFESTS.glob("overlays/*/kustomization.yaml"))
_AT_LEAST = (1, 27)  # kubectl's kustomize 5: components, labels without selectors


@functools.cache
def renderer() -> list[str]:
    """The command that renders a folder: kustomize, a kubectl that is new enough, or the one of the cluster's tests.

    Skips where there is none of them, which in CI is a failure.
    """
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    if shutil.which("kubectl"):
        answer = subprocess.run(
            ["kubectl", "version", "--client", "-o", "json"], capture_output=True, text=True, check=False, timeout=60
        )
        version = json.loads(answer.stdout)["clientVersion"] if answer.returncode == 0 else {}
        numbers = [version.get(part, "").rstrip("+") for part in ("major", "minor")]
        if all(numbers) and tuple(map(int, numbers)) >= _AT_LEAST:
            return ["kubectl", "kustomize"]
    if binaries.available():
        return [str(binaries.program("kubectl")), "kustomize"]
    lacks("kubectl 1.27 or newer", cure="with Go one is built")


def build(folder: Path) -> str:
    """The YAML of a folder; a failure quotes what was said."""
    done = subprocess.run([*renderer(), str(folder)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def _overlay(name: str) -> str:
    return build(MANIFESTS / "overlays" / name)


def overlay(name: str) -> list[dict[str, Any]]:
    """The documents of an overlay; each call gives its own, to change."""
    return list(yaml.load_all(_overlay(name), Loader=yaml.CSafeLoader))


def overlay_with(name: str, component: str) -> list[dict[str, Any]]:
    """The documents of an overlay and a component that it has not, as an installation puts them together."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder).resolve()
        both = (("resources", MANIFESTS / "overlays" / name), ("components", MANIFESTS / "components" / component))
        document = {key: [os.path.relpath(path, here)] for key, path in both}
        (here / "kustomization.yaml").write_text(yaml.safe_dump(document))
        return list(yaml.load_all(build(here), Loader=yaml.CSafeLoader))
