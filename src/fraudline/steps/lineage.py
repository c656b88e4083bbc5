"""The lineage of a step: what its arguments say that it reads and writes, in which versions.

with observed("train", {"features": Path("build/features"), ...}, params, os.environ) as run:
    result = train(...)
    run.tag(digest=result["digest"])
"""

import importlib
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fraudline.core.errors import FraudlineError
from fraudline.core.files import read_json
from fraudline.core.lineage import NoLineage, Run, Thing, model_thing, open_lineage
from fraudline.model.artifact import MANIFEST
from fraudline.ops.provenance import git_state
from fraudline.steps.params import Params

WRITES: Mapping[str, frozenset[str]] = {
    "fetch": frozenset({"dataset"}),
    "validate": frozenset({"report"}),
    "featurize": frozenset({"features", "profiles"}),
    "profiles": frozenset({"profiles"}),
    "train": frozenset({"model"}),
    "evaluate": frozenset({"evaluation"}),
    "gate": frozenset({"blessing"}),
    "infra_validate": frozenset({"report"}),
    "package": frozenset({"package", "store"}),
    "register": frozenset({"registration"}),
    "drift": frozenset({"report"}),
    "skew": frozenset({"report"}),
}
"""Arguments of each step that name what it writes; every other path is read."""

_TAGS = ("digest", "run_id", "uri", "blessed", "version")


def arguments_of(step: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a component's arguments that its step has, too: what Kubeflow adds to show is left out."""
    function = getattr(importlib.import_module(f"fraudline.steps.{step}"), step)
    return {name: given[name] for name in inspect.signature(function).parameters if name in given}


@contextmanager
def observed(step: str, paths: Mapping[str, Any], params: Params, environment: Mapping[str, str]) -> Iterator[Run]:
    """Say that a step runs, when lineage is on.

    Args:
        step: its name.
        paths: its arguments; those that are paths, or Kubeflow artifacts, count.
        params: ``lineage``.
        environment: may name the receiver.

    Raises:
        UsageError: lineage is on and its client is not installed.
    """
    lineage = open_lineage(params.lineage, environment)
    if isinstance(lineage, NoLineage):
        with lineage.run(step) as run:
            yield run
        return
    writes = WRITES.get(step, frozenset())
    found = {name: path for name, value in paths.items() if (path := _path(value)) is not None}
    reads = [thing_of(name, path, step) for name, path in found.items() if name not in writes]
    with lineage.run(step, inputs=reads) as run:
        run.tag(git_revision=git_state().revision, mlflow_run_id=params.registry.run_id)
        yield run
        run.wrote(*(thing_of(name, path, step) for name, path in found.items() if name in writes))


def finished(run: Run, result: Mapping[str, Any]) -> None:
    """Add what a step's result says to its run: the model that it made, packaged or registered, and where that lies."""
    run.tag(**{name: str(result[name]) for name in _TAGS if result.get(name) not in (None, "")})
    if result.get("digest") and result.get("uri"):
        run.wrote(Thing("model", str(result["digest"]), str(result["uri"])))


def thing_of(name: str, path: Path, step: str = "") -> Thing:
    """What lies at a path: its version is the digest of a model and the md5 of a data set, as far as it has one.

    Args:
        name: of the argument.
        path: file or folder.
        step: tells apart what several steps call a report.
    """
    uri = path.resolve().as_uri()
    try:
        if (path / MANIFEST).is_file():
            return model_thing(path, str(read_json(path / MANIFEST)["digest"]))
        if (path / "fetch.json").is_file():
            return Thing("dataset", str(read_json(path / "fetch.json")["md5"]), uri)
    except (OSError, KeyError, TypeError, FraudlineError):
        return Thing(name, uri=uri)
    return Thing(f"{step}.{name}" if name == "report" and step else name, uri=uri)


def _path(value: Any) -> Path | None:
    if isinstance(value, Path):
        return value
    path = getattr(value, "path", None)  # an artifact of Kubeflow
    return Path(path) if isinstance(path, str) and path else None
