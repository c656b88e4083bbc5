"""What the sections share: a broker, a model, and the size of the run."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fraudline.model.artifact import Artifact, load_artifact
from fraudline.ops.local.kafka import LocalKafka

CACHE = Path(os.environ.get("FRAUDLINE_CACHE", ".cache"))


@dataclass(frozen=True)
class Setting:
    """A run.

    Attributes:
        folder: for logs and checkpoints of this run.
        model: the artifact, which every contestant scores with.
        short: a tenth of everything.
        peers_python: interpreter of the peers' environment.
    """

    folder: Path
    model: Path
    short: bool
    peers_python: str
    broker: list[LocalKafka]

    @cached_property
    def artifact(self) -> Artifact:
        """The model."""
        return load_artifact(self.model)

    @property
    def bootstrap(self) -> str:
        """Address of the broker, which is started when a section first asks for it."""
        if not self.broker:
            self.broker.append(LocalKafka(self.folder / "kafka", cache=CACHE).start())
        return self.broker[0].bootstrap

    def size(self, count: int) -> int:
        """``count`` records, or a tenth in the short form."""
        return count // 10 if self.short else count


@contextmanager
def open_setting(arguments: argparse.Namespace, folder: Path) -> Iterator[Setting]:
    """The setting of a run; its broker ends with it."""
    model = arguments.model
    if not (model / "model.onnx").exists():
        from tests.support.artifacts import tiny_artifact

        print(f"no artifact at {model}: a small graph takes its place (make repro trains the real one)")
        model = tiny_artifact(folder / "model")
    python = str(Path(arguments.peers_python).absolute())
    setting = Setting(folder, model.resolve(), arguments.short, python, [])
    try:
        yield setting
    finally:
        for broker in setting.broker:
            broker.stop()
