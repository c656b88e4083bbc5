"""Step package: a blessed artifact into the immutable store, with its provenance and its model card."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from fraudline.core.clock import now
from fraudline.core.digest import sha256_file
from fraudline.core.errors import DataError, DigestMismatch, GateFailed
from fraudline.core.files import atomic_folder, read_json, write_json, write_text
from fraudline.core.log import get_logger
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.ops import model_card
from fraudline.ops import store as stores
from fraudline.ops.provenance import UNKNOWN, git_state
from fraudline.steps.params import Params

log = get_logger(__name__)


def package(
    *, model: Path, evaluation: Path, blessing: Path, infra: Path, package: Path, store: Path, params: Params
) -> dict[str, Any]:
    """Put a blessed model where nothing can change it.

    Args:
        model: the artifact.
        evaluation: folder of step evaluate.
        blessing: folder of step gate.
        infra: folder of step infra_validate.
        package: folder to write: ``package.json`` (``digest``, ``uri``) and ``model_card.html``; the same for the same
            model, evaluation and revision.
        store: folder of the artifact store; gets ``<digest>/`` and ``<digest>.provenance.json``.
        params: not used; every step has it.

    Returns:
        ``digest`` and ``uri``.

    Raises:
        ArtifactError: the artifact is damaged.
        DigestMismatch: a record is of another model, or the store's copy was changed.
        GateFailed: the model is not blessed, or the server did not reproduce its scores.
        DataError: a step before this one has not run.
    """
    artifact = load_artifact(model)
    record, served = _read(blessing / "blessing.json", "gate"), _read(infra / "infra.json", "infra_validate")
    metrics = _read(evaluation / "metrics.json", "evaluate")
    _check(artifact, record, served, evaluation_sha256=sha256_file(evaluation / "metrics.json"))
    code = git_state()
    entry = stores.put(model, store)
    provenance = stores.provenance_file(entry)
    known = read_json(provenance) if provenance.is_file() else {}
    git = asdict(code)
    committed = _committed(git) and not _committed(known.get("git", {}))  # the code that made it has a commit by now
    if committed or known.get("blessing") != record:  # judged anew: against another champion, by other rules
        content = _provenance(artifact, metrics, record, served, git)
        write_json(provenance, content | {"registration": known.get("registration")})
    uri = entry.resolve().as_uri()
    with atomic_folder(package) as folder:
        write_json(folder / "package.json", {"digest": artifact.digest, "uri": uri})
        meta = artifact.meta.model_dump(mode="json")
        card = model_card.CardSource(artifact.digest, meta, metrics, record, served, code.revision)
        write_text(folder / "model_card.html", model_card.render(card))
    log.info("package.stored", digest=artifact.version, store=str(store))
    return {"digest": artifact.digest, "uri": uri}


def _committed(git: dict[str, Any]) -> bool:
    return git.get("revision") not in (None, UNKNOWN) and not git.get("dirty")


def _read(path: Path, step: str) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"{path} is missing.", f"Run the {step} step first.")
    content: dict[str, Any] = read_json(path)
    return content


def _digest_in(record: dict[str, Any]) -> str:
    model = record.get("model")
    return str(model.get("digest", "") if isinstance(model, dict) else record.get("digest", ""))


def _check(artifact: Artifact, record: dict[str, Any], served: dict[str, Any], *, evaluation_sha256: str) -> None:
    for what, found in (("blessing", _digest_in(record)), ("server's check", _digest_in(served))):
        if found != artifact.digest:
            raise DigestMismatch(
                f"The {what} is of the model {found[:12] or '(none)'}, not of {artifact.version}.",
                "Run the gate and infra_validate steps on this model.",
            )
    if record.get("evaluation_sha256") != evaluation_sha256:
        raise DigestMismatch("The blessing was given for other figures than these.", "Run the gate step again.")
    if record.get("blessed") is not True:
        raise GateFailed(
            f"Model {artifact.version} is not blessed.", "See blessing.md: which rule failed, by how much."
        )
    if served.get("ok") is not True:
        raise GateFailed(f"The server did not reproduce the scores of {artifact.version}.", "See infra.json.")


def _provenance(
    artifact: Artifact, metrics: dict[str, Any], record: dict[str, Any], served: dict[str, Any], git: dict[str, Any]
) -> dict[str, Any]:
    """What is true of how the artifact came about, and not of what it is."""
    return {
        "format": 1,
        "digest": artifact.digest,
        "git": git,
        "packaged_at": now().isoformat(),
        "data_md5": artifact.meta.data_md5,
        "metrics": {name: value for name, value in metrics.items() if isinstance(value, int | float)},
        "blessing": record,
        "infra": served,
        "registration": None,
    }
