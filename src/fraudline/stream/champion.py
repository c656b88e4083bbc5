"""The champion while the worker runs: a pointer file names it, and a change of the file swaps it between two batches.

    # champion.yaml: what a promotion changes
    uri: models/0f3c...        # a folder or file:// address; relative to the pointer file
    digest: 0f3c...            # the whole digest of the artifact

A thread reads the file, verifies the artifact, loads it and makes it reproduce its golden rows; the worker takes it
when all of that is done. A champion that is broken, or of another feature specification, is refused with a line and the
one in use goes on; it is looked at again later, because a pointer may arrive before its artifact.
"""

from pathlib import Path

from fraudline.core.errors import ArtifactError, FraudlineError, UsageError
from fraudline.core.files import local_path
from fraudline.core.log import get_logger
from fraudline.core.settings import Settings
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.model.golden import TOLERANCE, differences, read_golden
from fraudline.model.scorer import Scorer
from fraudline.model.signature import ANYBODY, Trust
from fraudline.stream.watch import Watch

log = get_logger(__name__)

_INTERVAL_S = 1.0
_AGAIN_S = 10.0


class Pointer(Settings):
    """The content of a pointer file.

    Attributes:
        uri: folder or ``file://`` address of the artifact; a relative one begins at the pointer file's folder.
        digest: the whole digest that the artifact must have.
    """

    uri: str
    digest: str

    @classmethod
    def read(cls, path: Path) -> "Pointer":
        """Read a pointer file.

        Raises:
            UsageError: it is missing, not YAML, or lacks a field.
        """
        return cls.load(path)

    def artifact(self, path: Path, trust: Trust = ANYBODY) -> Artifact:
        """The verified artifact that the pointer at ``path`` names, signed as ``trust`` asks.

        Raises:
            ArtifactError: it is not what the pointer says.
            UsageError: the address is not on this machine.
        """
        return load_artifact(path.parent / local_path(self.uri), self.digest, trust)


def proven(artifact: Artifact) -> Scorer:
    """The scorer of an artifact that reproduces its golden rows.

    Raises:
        ArtifactError: its graph cannot be loaded, or gives other scores than it was packaged with.
    """
    scorer = Scorer(artifact)
    features, wanted = read_golden(artifact.table("golden.parquet"), artifact.spec.names)
    worst = differences(scorer.score(features).score, wanted.score).max(initial=0.0)
    if worst > TOLERANCE:
        problem = f"The artifact {artifact.version} misses its golden scores by {worst:g}."
        raise ArtifactError(problem, "Package the model again.")
    return scorer


class ChampionWatch(Watch[Scorer]):
    """Looks at a pointer file on a thread of its own.

    Args:
        path: the pointer file; it may be replaced at any moment, also through a link.
        current: the artifact in use.
        interval_s: seconds between two looks.
        again_s: seconds before a refused champion is looked at again.
    """

    def __init__(
        self,
        path: Path,
        current: Artifact,
        *,
        interval_s: float = _INTERVAL_S,
        again_s: float = _AGAIN_S,
        trust: Trust = ANYBODY,
    ) -> None:
        super().__init__("champion", interval_s)
        self._path = path
        self._trust = trust
        self._spec_version = current.spec.version
        self._digest = current.digest
        self._looks_until_again = max(1, round(again_s / interval_s))
        self._looks = 0
        self._seen: bytes | None = None
        self._begin()

    def _look(self) -> Scorer | None:
        self._looks += 1
        try:
            content = self._path.read_bytes()
        except OSError as error:
            raise UsageError(f"{self._path} cannot be read: {error.strerror}.", "Restore the pointer file.") from error
        again = self.problem and self._looks % self._looks_until_again == 0
        if content == self._seen and not again:
            return None
        self._seen = content
        scorer = self._named()
        self._problem = ""
        return scorer

    def _named(self) -> Scorer | None:
        """The champion that the file names, proven; None when it is in use."""
        pointer = Pointer.read(self._path)
        if pointer.digest == self._digest:
            return None
        artifact = pointer.artifact(self._path, self._trust)
        if artifact.spec.version != self._spec_version:
            problem = (
                f"The champion {artifact.version} is of the feature spec {artifact.spec.version}, "
                f"the state in this worker of {self._spec_version}."
            )
            raise UsageError(problem, "Restart the worker: it then builds its state from the log for the new one.")
        scorer = proven(artifact)
        self._digest = artifact.digest
        return scorer


def first_champion(path: Path, model_dir: Path | None, trust: Trust = ANYBODY) -> Artifact:
    """The artifact to begin with: the pointer's, or where that is refused the one at ``model_dir``.

    Args:
        path: the pointer file.
        model_dir: what to begin with instead; None for nothing.
        trust: whose signature either must have, if any.

    Raises:
        ArtifactError: the pointer's is refused and there is no other.
        UsageError: as above, for a wrong pointer.
    """
    try:
        artifact = Pointer.read(path).artifact(path, trust)
        proven(artifact)
    except (FraudlineError, OSError) as error:  # a folder that the file system does not give is refused, too
        if model_dir is None:
            raise
        log.warning("champion.refused", problem=str(error), instead=str(model_dir))
        return load_artifact(model_dir, trust=trust)
    return artifact
