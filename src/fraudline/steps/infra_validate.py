"""Step infra_validate: the real server loads the artifact and reproduces its golden scores over every protocol.

What ``model.json`` lists is what is checked: each format that the artifact has, and its method of reasons.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraudline.core.errors import ArtifactError
from fraudline.core.files import atomic_folder, write_json
from fraudline.core.log import get_logger
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.model.golden import TOLERANCE, differences, read_golden
from fraudline.model.runtime import load_tensorflow
from fraudline.ops.local.predictor import LocalPredictor
from fraudline.steps.params import Params
from fraudline.stream import v2

if TYPE_CHECKING:
    import httpx

log = get_logger(__name__)

_NAME = "fraud"
_CHUNK = 512
_EVENT_ROWS = 32
_REBUILD = "Run the train step again with the versions of the lock files, and compare those of the server."


@dataclass(frozen=True, slots=True)
class Golden:
    """What the artifact says of its golden rows.

    Attributes:
        names: of d features.
        features: (n, d) float32 rows.
        scores: (n,) float32.
        contributions: (n, d) float32: what the reasons are made of.
    """

    names: tuple[str, ...]
    features: NDArray[np.float32]
    scores: NDArray[np.float32]
    contributions: NDArray[np.float32]

    def chunks(self) -> Iterator[NDArray[np.float32]]:
        """The rows, a request at a time."""
        for start in range(0, len(self.features), _CHUNK):
            yield self.features[start : start + _CHUNK]

    def objects(self, rows: NDArray[np.float32]) -> list[dict[str, float]]:
        """Rows as objects of features."""
        return [dict(zip(self.names, row, strict=True)) for row in rows.tolist()]


def infra_validate(*, model: Path, report: Path, params: Params) -> dict[str, Any]:
    """Serve the artifact as in production and compare every protocol with the golden scores.

    Args:
        model: the artifact.
        report: folder for ``infra.json``: differences by protocol, time to readiness, digest.
        params: not used; every step takes them.

    Returns:
        ``digest``, ``rows``, ``ready_seconds`` and ``max_difference``.

    Raises:
        ArtifactError: the artifact is not what it says, the server does not start, or a score is not reproduced
            (names the protocol, the row and both values); ``infra.json`` is written in the last case, too.
        ModuleNotFoundError: the server's package is not installed.
    """
    if find_spec("kserve") is None:  # before a server that cannot start is waited for
        raise ModuleNotFoundError("No module named 'kserve'", name="kserve")
    artifact = load_artifact(model)
    golden = golden_of(artifact)
    predictor = LocalPredictor(model, _NAME, label="infra-validate", expected_digest=artifact.digest)
    scores: dict[str, NDArray[np.float32]] = {}
    predictor.start()
    try:
        with ThreadPoolExecutor(1) as pool:
            ready = pool.submit(predictor.wait_ready)
            if "savedmodel" in artifact.meta.formats:  # TensorFlow is imported while the server starts
                scores["savedmodel"] = savedmodel_scores(model / "savedmodel" / "1", golden)
            ready.result()
        scores |= served_scores(predictor.url, golden)
        contributions = served_contributions(predictor.url, golden)
    finally:
        predictor.stop()
    worst = {protocol: difference(found, golden.scores) for protocol, found in scores.items()}
    problem = next((p for p in (mismatch(name, found, golden) for name, found in scores.items()) if p), "")
    reasons = difference(contributions.ravel(), golden.contributions.ravel())
    if not problem and reasons > TOLERANCE:
        problem = f"{artifact.meta.reasons}: contributions differ from golden.parquet by {reasons:.3g}."
    result = {
        "digest": artifact.digest,
        "rows": len(golden.scores),
        "ready_seconds": round(predictor.ready_seconds, 3),
        "max_difference": max(worst.values()),
    }
    with atomic_folder(report) as folder:
        content = result | {"ok": not problem, "tolerance": TOLERANCE, "differences": worst, "problem": problem}
        content["reasons"] = {"method": artifact.meta.reasons, "difference": reasons}
        write_json(folder / "infra.json", content)
    if problem:
        raise ArtifactError(problem, _REBUILD)
    log.info("infra_validate.done", version=artifact.version, **{k: v for k, v in result.items() if k != "digest"})
    return result


def golden_of(artifact: Artifact) -> Golden:
    """The golden rows of a verified artifact.

    Raises:
        ArtifactError: a column is missing, or there is no row.
    """
    names = tuple(artifact.spec.names)
    features, scores = read_golden(artifact.table("golden.parquet"), names)
    if not len(features):
        raise ArtifactError("golden.parquet lacks rows.", "Run the train step again.")
    return Golden(names, features, scores.score, scores.contributions)


def served_scores(url: str, golden: Golden) -> dict[str, NDArray[np.float32]]:
    """Scores of the golden rows by protocol, from the server at ``url``; events for the first rows only.

    Raises:
        ArtifactError: an answer is not 200, or has another number of rows.
    """
    import httpx

    asks: dict[str, Callable[[httpx.Client, Golden], list[float]]] = {
        "v1": _ask_v1,
        "v2_json": lambda client, rows: _ask_v2(client, rows, binary=False),
        "v2_binary": lambda client, rows: _ask_v2(client, rows, binary=True),
        "cloudevents_structured": _ask_structured,
        "cloudevents_binary": _ask_binary_event,
    }
    with httpx.Client(base_url=url, timeout=30.0) as client:
        scores = {protocol: np.array(ask(client, golden), np.float32) for protocol, ask in asks.items()}
    for protocol, found in scores.items():
        asked = len(golden.scores[:_EVENT_ROWS] if protocol.startswith("cloudevents") else golden.scores)
        if len(found) != asked:
            raise ArtifactError(f"{protocol}: {len(found)} scores for {asked} rows.", _REBUILD)
    return scores


def served_contributions(url: str, golden: Golden) -> NDArray[np.float32]:
    """Contributions of the golden rows, (n, d) float32, from the server at ``url``.

    Raises:
        ArtifactError: an answer is not 200.
    """
    import httpx

    parts = []
    with httpx.Client(base_url=url, timeout=30.0) as client:
        for rows in golden.chunks():
            headers, body = v2.request(rows, binary=True)
            answer = _post(client, f"/v2/models/{_NAME}/infer", body, headers)
            parts.append(v2.response(answer.headers, answer.content)[1]["contributions"].reshape(rows.shape))
    return np.concatenate(parts)


def savedmodel_scores(folder: Path, golden: Golden) -> NDArray[np.float32]:
    """Scores of the golden rows from the SavedModel's signature.

    Raises:
        ArtifactError: it cannot be loaded or has no such signature.
    """
    load_tensorflow()
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(folder))
        serve = loaded.signatures["serving_default"]
        parts = [serve(features=tf.constant(rows))["score"].numpy() for rows in golden.chunks()]
    except (OSError, ValueError, KeyError, TypeError, tf.errors.OpError) as error:
        raise ArtifactError(f"savedmodel: {type(error).__name__}: {error}.", _REBUILD) from error
    return np.concatenate(parts).astype(np.float32)


def difference(found: NDArray[np.float32], golden: NDArray[np.float32]) -> float:
    """The largest of :func:`~fraudline.model.golden.differences`."""
    return float(differences(found, golden).max())


def mismatch(protocol: str, found: NDArray[np.float32], golden: Golden) -> str:
    """What to say of the worst row beyond the tolerance; empty when there is none."""
    off = differences(found, golden.scores)
    row = int(off.argmax())
    if off[row] <= TOLERANCE:
        return ""
    return (
        f"{protocol}: row {row} has the score {float(found[row])!r}, golden.parquet says {float(golden.scores[row])!r}."
    )


def _ask_v1(client: "httpx.Client", golden: Golden) -> list[float]:
    return [
        prediction["score"]
        for rows in golden.chunks()
        for prediction in _post_v1(client, {"instances": golden.objects(rows)}, {})["predictions"]
    ]


def _ask_v2(client: "httpx.Client", golden: Golden, *, binary: bool) -> list[float]:
    scores: list[float] = []
    for rows in golden.chunks():
        headers, body = v2.request(rows, binary=binary)
        answer = _post(client, f"/v2/models/{_NAME}/infer", body, headers)
        _, tensors = v2.response(answer.headers, answer.content)
        scores += tensors["score"].tolist()
    return scores


def _ask_structured(client: "httpx.Client", golden: Golden) -> list[float]:
    headers = {"Content-Type": "application/cloudevents+json"}
    scores = []
    for i, row in enumerate(golden.objects(golden.features[:_EVENT_ROWS])):
        event = {
            "specversion": "1.0",
            "id": str(i),
            "source": "infra-validate",
            "type": "fraudline.features",
            "data": row,
        }
        scores.append(_post_v1(client, event, headers)["data"]["predictions"][0]["score"])
    return scores


def _ask_binary_event(client: "httpx.Client", golden: Golden) -> list[float]:
    headers = {"ce-specversion": "1.0", "ce-source": "infra-validate", "ce-type": "fraudline.features"}
    return [
        _post_v1(client, row, headers | {"ce-id": str(i)})["predictions"][0]["score"]
        for i, row in enumerate(golden.objects(golden.features[:_EVENT_ROWS]))
    ]


def _post_v1(client: "httpx.Client", body: Any, headers: dict[str, str]) -> Any:
    headers = {"Content-Type": "application/json"} | headers
    answer = _post(client, f"/v1/models/{_NAME}:predict", msgspec.json.encode(body), headers)
    return msgspec.json.decode(answer.content)


def _post(client: "httpx.Client", path: str, body: bytes, headers: dict[str, str]) -> "httpx.Response":
    answer = client.post(path, content=body, headers=headers)
    if answer.status_code != 200:
        raise ArtifactError(f"{path} answers {answer.status_code}: {answer.text[:300]}", _REBUILD)
    return answer
