"""What the sections share: a broker, a model, and the size of the run."""

import argparse
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.streaming import load
from fraudline.core.files import read_json, write_json
from fraudline.features.columns import columns_from_messages
from fraudline.features.engine import FeatureEngine
from fraudline.model.artifact import Artifact, load_artifact, write_manifest
from fraudline.model.scorer import Scorer
from fraudline.model.thresholds import Thresholds
from fraudline.ops.local.kafka import LocalKafka
from fraudline.stream.decoding import Decoder

ALERTS, SAMPLE = 200, 50_000
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
    model = calibrated(model, folder / "calibrated")
    python = str(Path(arguments.peers_python).absolute())
    setting = Setting(folder, model.resolve(), arguments.short, python, [])
    try:
        yield setting
    finally:
        for broker in setting.broker:
            broker.stop()


def calibrated(model: Path, folder: Path) -> Path:
    """The artifact with other thresholds: one in :data:`ALERTS` of the load is not allowed, one in ten of it blocked.

    The load is synthetic: by the thresholds of its training data most of it would be an alert.
    """
    shutil.copytree(model, folder)
    artifact = load_artifact(model)
    decoder, engine = Decoder(artifact.card_spec.currencies), FeatureEngine(artifact.card_spec)
    messages = [decoder.decode(value) for _, value in load.transactions(SAMPLE, SAMPLE // 10)]
    scores = Scorer(artifact).only_scores(engine.advance(columns_from_messages(messages)))
    review, block = np.quantile(scores, [1 - 1 / ALERTS, 1 - 1 / (10 * ALERTS)]).tolist()
    meta = read_json(folder / "model.json")
    meta["thresholds"] = Thresholds.of(review, block, {"name": "fixed"}).model_dump(mode="json")
    write_json(folder / "model.json", meta)
    write_manifest(folder)
    return folder
