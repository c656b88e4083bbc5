"""What the sections share."""

import argparse
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.serving.load import Case, cases, ghz_available, ghz_program
from fraudline.core.files import local_path, read_json
from fraudline.model.artifact import Artifact, load_artifact

_PACKAGE = Path("build/package/package.json")


@dataclass(frozen=True)
class Setting:
    """A run.

    Attributes:
        folder: for bodies and files of this run.
        model: the artifact.
        short: no figures to quote, everything once.
        grpc: whether ghz is there.
    """

    folder: Path
    model: Path
    short: bool
    grpc: bool

    @cached_property
    def artifact(self) -> Artifact:
        """The model."""
        return load_artifact(self.model)

    @property
    def has_savedmodel(self) -> bool:
        """Whether TensorFlow can take part."""
        return (self.model / "savedmodel").is_dir()

    @property
    def rounds(self) -> int:
        """How often everything is measured."""
        return 1 if self.short else 3

    @cached_property
    def cases(self) -> list[Case]:
        """The requests: one row and a hundred of every protocol; in the short form one."""
        made = cases(self.artifact, (1,) if self.short else (1, 100))
        return [case for case in made if case.path or self.grpc]

    @property
    def seconds(self) -> int:
        """Of load; wrk takes whole ones."""
        return 1 if self.short else 2

    @property
    def soak_s(self) -> float:
        """Of load while memory is watched."""
        return 3.0 if self.short else float(os.environ.get("FRAUDLINE_SOAK_S", "600"))


def open_setting(arguments: argparse.Namespace, folder: Path) -> Setting:
    """The setting of a run; ghz is built when the long form lacks it."""
    model = arguments.model
    if model is None and _PACKAGE.is_file():
        model = local_path(read_json(_PACKAGE)["uri"])
    if model is None or not (model / "manifest.json").is_file():
        from tests.support.artifacts import tiny_artifact

        print(f"no artifact at {model}: a small graph takes its place (make repro trains the real one)")
        model = tiny_artifact(folder / "model")
    if not arguments.short:
        ghz_program()
    return Setting(folder, model.resolve(), arguments.short, ghz_available())
