"""Run a compiled pipeline on this machine, under kfp's local runner.

    arguments = arguments_of(params, data_dvc="data.dvc", store="artifacts")
    run = run_local(Path("pipelines/training.yaml"), arguments, Path("build/pipeline"))
    run.output("train", "model")     # the artifact's folder

A step is a process here, or a container of its image. A server takes the same file and arguments:
:mod:`fraudline.ops.pipeline_server`.
"""

import contextlib
import io
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import yaml

from fraudline.core import errors
from fraudline.core.errors import FraudlineError, StateError, UnavailableError, UsageError
from fraudline.core.files import read_json, sole
from fraudline.core.settings import Settings

ERROR_FILE = "FRAUDLINE_ERROR_FILE"
LOG_FILE = "run.log"
_RUNS, _ERROR = "runs", "error.json"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PROGRESS = re.compile(r"(Executing task|Task) '(?P<task>[\w-]+)'(?: finished with status (?P<status>\w+))?$")


@dataclass(frozen=True, slots=True)
class LocalRun:
    """A finished local run: the folder that holds a folder a task."""

    folder: Path

    def output(self, task: str, name: str) -> Path:
        """The path of an output artifact of a task.

        Raises:
            UsageError: the task has no such output.
        """
        path = self.folder / task.replace("_", "-") / name
        if not path.exists():
            raise UsageError(f"The run in {self.folder} has no output {name} of task {task}.", "See its run.log.")
        return path


@dataclass(frozen=True, slots=True)
class Containers:
    """Run each step in its image, as a cluster would: no root, nothing to write but ``/tmp`` and the folders given.

    Args:
        folders: mounted at their own path: the repository, the artifact store.
        user: ``uid:gid`` of the steps; they must be able to write the run's folder and the store.
    """

    folders: tuple[Path, ...]
    user: str = field(default_factory=lambda: f"{os.getuid()}:{os.getgid()}")


def arguments_of(
    params: Settings,
    *,
    data_dvc: str,
    repo: str = ".",
    revision: str = "",
    md5: str = "",
    store: str = "artifacts",
    promote_to: str = "",
) -> dict[str, Any]:
    """The pipeline's arguments, as plain JSON values. Values that are null are left out: kfp takes none."""
    return {
        "params": params.model_dump(mode="json", by_alias=True, exclude_none=True),
        "data_dvc": data_dvc,
        "repo": repo,
        "revision": revision,
        "md5": md5,
        "store": store,
        "promote_to": promote_to,
    }


def run_local(
    compiled: Path,
    arguments: Mapping[str, Any],
    root: Path,
    notice: Callable[[str, str], None] | None = None,
    *,
    containers: Containers | None = None,
) -> LocalRun:
    """Run a compiled pipeline on this machine.

    Args:
        compiled: the compiled YAML.
        arguments: the pipeline's arguments; relative paths in them start at the working directory.
        root: folder for the outputs and ``run.log``; an earlier run's are removed.
        notice: called with a task's name and ``started``, ``SUCCESS`` or ``FAILURE``.
        containers: run each step in its image; None: in a process of this environment.

    Raises:
        UnavailableError: no container engine answers.
        FraudlineError: a step failed: the step's own error, with its exit code.
        UsageError: there is no such file, it takes other arguments, or ``root`` holds more than an earlier run.
        StateError: another run is at work in ``root``.
    """
    from kfp import components, local

    if not compiled.is_file():
        raise UsageError(f"{compiled} is missing.", "Compile it: python -m pipelines.training")
    try:
        pipeline = components.load_component_from_file(str(compiled))
    except (ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        raise UsageError(f"{compiled} is no compiled pipeline.", "Compile it: python -m pipelines.training") from error
    unknown = ", ".join(sorted(set(arguments) - set(pipeline.component_spec.inputs or ())))
    if unknown:
        raise UsageError(f"The pipeline in {compiled} takes no {unknown}.", "Name the pipeline that does.")
    root = root.absolute()
    error_file = root / _ERROR
    with _begun(root) as stream, _environment(ERROR_FILE, str(error_file)):
        screen = _Screen(stream, notice or (lambda task, state: None))
        with contextlib.redirect_stdout(screen), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # kfp warns of every image without "python" in its name
            runner = local.SubprocessRunner(use_venv=False) if containers is None else _docker(containers, error_file)
            local.init(runner, pipeline_root=str(root / _RUNS), raise_on_error=True)
            try:
                pipeline(**arguments)
            except RuntimeError as error:
                raise _step_error(error_file, root / LOG_FILE, str(error)) from error
    (folder,) = (root / _RUNS).iterdir()
    return LocalRun(folder)


def error_record(step: str, error: FraudlineError) -> dict[str, str]:
    """A step's error as another process can read it: what :func:`error_of` takes."""
    return {"step": step, "error": type(error).__name__, "problem": error.problem, "action": error.action}


def error_of(record: Mapping[str, str]) -> FraudlineError:
    """The error of a record, as the class that it was."""
    kind: type[FraudlineError] = getattr(errors, record["error"], FraudlineError)
    return kind(record["problem"], record["action"])


def _docker(containers: Containers, error_file: Path) -> Any:
    """The runner for containers, each as a restricted cluster starts it."""
    import docker
    from kfp import local

    engine = None
    try:
        engine = docker.from_env()
        engine.ping()
    except docker.errors.DockerException as error:
        raise UnavailableError(f"No container engine answers: {error}.", "Start one (dockerd).") from error
    finally:
        if engine is not None:
            engine.close()
    folders = dict.fromkeys(str(path.absolute()) for path in (*containers.folders, error_file.parent))
    mounts = [docker.types.Mount(path, path, type="bind") for path in folders]
    return local.DockerRunner(
        entrypoint=[],  # the compiled command is the whole command, as in a pod
        user=containers.user,
        read_only=True,
        tmpfs={"/tmp": ""},  # noqa: S108 - in the container
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        mounts=mounts,
        working_dir=str(Path.cwd()),
        environment={ERROR_FILE: str(error_file)},
    )


@contextlib.contextmanager
def _begun(root: Path) -> Iterator[TextIO]:
    """The log of a run, locked as long as it goes on; an earlier run is gone, and nothing that is no part of one."""
    found = {path.name for path in root.iterdir()} if root.is_dir() else {""} if root.exists() else set()
    if found and not {LOG_FILE} <= found <= {LOG_FILE, _RUNS, _ERROR}:
        raise UsageError(f"{root} holds something else than an earlier run.", "Name a new folder.")
    root.mkdir(parents=True, exist_ok=True)
    with (root / LOG_FILE).open("a", encoding="utf-8") as stream:
        if not sole(stream):
            raise StateError(f"Another run is at work in {root}.", "Wait for it, or name another folder.")
        stream.truncate(0)
        (root / _ERROR).unlink(missing_ok=True)
        if (root / _RUNS).exists():
            shutil.rmtree(root / _RUNS)
        (root / _RUNS).mkdir()  # an engine would make a mounted folder itself, as root
        yield stream


def _step_error(record: Path, log_file: Path, message: str) -> FraudlineError:
    """The error that a component left, as the class it was; otherwise one that says where to look."""
    if record.is_file():
        left = read_json(record)
        return error_of({**left, "problem": f"Step {left['step']}: {left['problem']}"})
    return FraudlineError(_COLOUR.sub("", message), f"See {log_file}.")


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set a variable that the components' processes inherit, for as long as they run."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


class _Screen(io.TextIOBase):
    """Writes kfp's output to a file and calls out where a task starts or ends."""

    def __init__(self, stream: TextIO, notice: Callable[[str, str], None]) -> None:
        super().__init__()
        self._stream = stream
        self._notice = notice
        self._line = ""

    def write(self, text: str) -> int:
        plain = _COLOUR.sub("", text)
        self._stream.write(plain)
        *lines, self._line = (self._line + plain).split("\n")
        for line in lines:
            found = _PROGRESS.search(line)
            if found:
                self._notice(found["task"], found["status"] or "started")
        return len(text)

    def flush(self) -> None:
        if not self._stream.closed:  # the interpreter flushes once more when it frees this, after the file's end
            self._stream.flush()
