"""Step register: the stored artifact into the model registry, as challenger."""

from pathlib import Path
from typing import Any

from fraudline.core.errors import DataError
from fraudline.core.files import atomic_folder, local_path, read_json, write_json
from fraudline.core.log import get_logger
from fraudline.model.artifact import load_artifact
from fraudline.ops import registry as registries
from fraudline.ops import store as stores
from fraudline.ops.recorders import DATA_TAG
from fraudline.ops.tracking import BLESSED_TAG, step_run
from fraudline.steps.params import Params

log = get_logger(__name__)

REGISTRATION = "registration.json"


def register(*, package: Path, evaluation: Path, registration: Path, params: Params) -> dict[str, Any]:
    """Register a packaged model once: the same digest gives the same version again.

    Args:
        package: folder of step package.
        evaluation: folder of step evaluate; its report is kept with the run.
        registration: folder to write: ``registration.json``.
        params: ``registry`` says where.

    Returns:
        ``version``, ``aliases``, and whether this model became champion because there was none (``bootstrap``).

    Raises:
        DataError: step package has not run.
        ArtifactError: the stored artifact is gone or was changed.
        UnavailableError: the registry does not answer.
    """
    source = package / "package.json"
    if not source.is_file():
        raise DataError(f"{source} is missing.", "Run the package step first.")
    packed = read_json(source)
    entry = local_path(packed["uri"])
    artifact = load_artifact(entry, packed["digest"])
    record: dict[str, Any] = {"digest": artifact.digest, "uri": packed["uri"], "registered": False}
    if params.registry.tracking_uri:
        with step_run("register", params.registry, digest=artifact.digest) as run:
            for page in (package / "model_card.html", evaluation / "index.html"):
                if page.is_file():
                    run.artifact(page, "reports")
            registry = registries.Registry(params.registry)
            tags = {DATA_TAG: artifact.meta.data_md5, BLESSED_TAG: "true"}
            run.tag(BLESSED_TAG, "true")
            version = registry.register(artifact.digest, packed["uri"], run_id=run.run_id, tags=tags)
            version = registries.give_alias(registry, version)
        record |= {
            "registered": True,
            "model": version.name,
            "version": version.version,
            "aliases": list(version.aliases),
            "bootstrap": version.bootstrap,
            "run_id": run.run_id,
        }
        _complete_provenance(entry, record)
    with atomic_folder(registration) as folder:
        write_json(folder / REGISTRATION, record)
    log.info("register.done", digest=artifact.version, **{k: record[k] for k in ("version", "aliases") if k in record})
    return record


def _complete_provenance(entry: Path, record: dict[str, Any]) -> None:
    path = stores.provenance_file(entry)
    if path.is_file():
        write_json(path, {**read_json(path), "registration": record})
