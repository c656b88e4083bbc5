"""Before the stream: the data, ``dvc repro``, and a challenger trained with another seed beside it."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import yaml
from rich.console import Console

from fraudline.cli import extras
from fraudline.cli.serve import newest_artifact
from fraudline.core.errors import FraudlineError, UsageError
from fraudline.core.files import write_text
from fraudline.model.artifact import load_artifact
from fraudline.steps.params import Params


def prepare(folder: Path, params: Params, console: Console, *, train: bool = True) -> tuple[Path, Path]:
    """Make champion and challenger.

    Args:
        folder: where the challenger is kept between demos.
        params: what champion and challenger are trained with; the challenger's seed is the next one.
        console: where progress is shown.
        train: false to take what an earlier run left.

    Returns:
        The folders of the champion's and the challenger's artifact.

    Raises:
        UsageError: this folder is no clone of the repository, or dvc is not installed.
        FraudlineError: a step failed; its own message stands above.
    """
    if not train and _loads(folder / "challenger"):
        return newest_artifact(), folder / "challenger"
    if not Path("dvc.yaml").is_file() or not Path("data.dvc").is_file():
        raise UsageError(
            "The demo trains by dvc.yaml on data.dvc, and this folder has not both.",
            "Go to a clone of fraudline's repository, and run `make demo` there.",
        )
    if find_spec("dvc") is None:
        raise extras.missing("dvc")
    _run("dvc", "pull", "--quiet", "data.dvc")
    _run("dvc", "repro", "--quiet", "featurize")
    challenger = _start_challenger(folder, params)
    try:
        _run("dvc", "repro", "--quiet")
        champion = newest_artifact()
        if challenger is not None:
            with console.status("waiting for the challenger"):
                code = challenger.wait()
            if code != 0:
                raise FraudlineError(f"Training the challenger ended with exit code {code}.", "See its message above.")
    finally:
        if challenger is not None and challenger.poll() is None:
            challenger.terminate()
            challenger.wait()
    return champion, folder / "challenger"


def _start_challenger(folder: Path, params: Params) -> "subprocess.Popen[bytes] | None":
    """Train the challenger in a process of its own, unless the one that is there fits these features and parameters."""
    settings = params.model_copy(
        update={"seed": params.seed + 1, "registry": params.registry.model_copy(update={"tracking_uri": ""})}
    )
    recipe = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=True)
    recipe += f"# features {_features_md5()}\n"
    path, artifact = folder / "challenger.yaml", folder / "challenger"
    if artifact.is_dir() and path.exists() and path.read_text(encoding="utf-8") == recipe and _loads(artifact):
        return None
    shutil.rmtree(artifact, ignore_errors=True)
    write_text(path, recipe)
    command = ["step", "train", "--features", "build/features", "--dataset", "build/dataset", "--model", str(artifact)]
    return subprocess.Popen(
        [sys.executable, "-m", "fraudline.cli.main", *command, "--params", str(path)], env=_environment()
    )


def _loads(artifact: Path) -> bool:
    try:
        load_artifact(artifact)
    except FraudlineError:
        return False
    return True


def _features_md5() -> str:
    """What dvc recorded of the features: they change when the data, the code or the parameters do."""
    lock = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))
    return str(lock["stages"]["featurize"]["outs"][0]["md5"])


def _run(*command: str) -> None:
    """Run one command of the environment, its output shown as it comes.

    Raises:
        FraudlineError: it failed; dvc has one exit code for all failures, the step's message and code stand above.
    """
    code = subprocess.run([sys.executable, "-m", *command], check=False, env=_environment()).returncode
    if code != 0:
        problem = f"`{' '.join(command)}` ended with exit code {code}."
        raise FraudlineError(problem, "The step's own message stands above.")


def _environment() -> dict[str, str]:
    """This environment, with this interpreter's programs first on the path: dvc's stages call ``fraudline``.

    Steps tell their result in one line each; their events are shown when somebody asked for a log level.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {"FRAUDLINE_LOG_LEVEL": "warning", **os.environ, "PATH": path}
