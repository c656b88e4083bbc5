"""Artifacts of every released format load, verify and score as they did when they were released; forever."""

from pathlib import Path

import pytest

from fraudline.core.errors import ArtifactError
from fraudline.model.artifact import FORMAT, load_artifact
from fraudline.model.signature import Trust
from fraudline.stream.champion import proven

FIXTURES = Path(__file__).parents[1] / "fixtures" / "artifacts"
VERSIONS = sorted(path.name for path in FIXTURES.iterdir() if path.is_dir())
DIGESTS = {"v1": "f02d5abf5e30ee95e0f1ad466f82e1233436efca7c1b23efb96cd5c3c7e2e06e"}


def test_every_format_that_was_released_has_an_artifact_here() -> None:
    assert VERSIONS == [f"v{number}" for number in range(1, FORMAT + 1)] == list(DIGESTS)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_released_artifact_has_its_digest_and_its_signature_and_reproduces_its_scores(version: str) -> None:
    trust = Trust(public_key=str(FIXTURES / f"{version}.pub"), minimum_release=1)
    artifact = load_artifact(FIXTURES / version, DIGESTS[version], trust)
    assert proven(artifact).artifact.version == DIGESTS[version][:12]
    with pytest.raises(ArtifactError, match="is release 1"):
        load_artifact(FIXTURES / version, trust=trust.model_copy(update={"minimum_release": 2}))
