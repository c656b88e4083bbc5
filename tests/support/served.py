"""A predictor that runs for the tests of one file, with what its answers must be."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import numpy as np
import pytest

from fraudline.model.artifact import load_artifact
from fraudline.ops.local.predictor import LocalPredictor
from tests.support.artifacts import tiny_artifact

ROWS = 16


@dataclass
class Served:
    """A running predictor and what its answers must be."""

    predictor: LocalPredictor
    client: httpx.Client
    names: list[str]
    features: np.ndarray
    scores: np.ndarray
    version: str
    objects: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.objects = [dict(zip(self.names, row, strict=True)) for row in self.features.tolist()]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tiny_artifact(tmp_path_factory.mktemp("serve") / "model", review=0.5, block=0.55)
    artifact = load_artifact(folder)
    golden = artifact.table("golden.parquet").slice(0, ROWS)
    names = list(artifact.spec.names)
    features = np.column_stack([golden[name].to_numpy() for name in names]).astype(np.float32)
    with (
        LocalPredictor(folder, grpc=True, expected_digest=artifact.digest) as predictor,
        httpx.Client(base_url=predictor.url, timeout=20) as client,
    ):
        yield Served(predictor, client, names, features, golden["score"].to_numpy(), artifact.version)
    assert predictor.child.returncode == 0, "SIGTERM is a normal end"
