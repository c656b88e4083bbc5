"""The model registry: versions that name an immutable artifact by address and digest, and two aliases.

``challenger`` is the newest blessed model. ``champion`` is what production serves; it moves only by promotion, but an
empty registry takes its first blessed model as champion, and says so (``bootstrap``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.core.log import get_logger
from fraudline.ops.mlflow_client import connect, translated
from fraudline.ops.params import RegistryParams
from fraudline.ops.recorders import DIGEST_TAG

log = get_logger(__name__)

CHAMPION = "champion"
CHALLENGER = "challenger"
BOOTSTRAP_TAG = "fraudline.bootstrap"
ADDRESS_TAG = "fraudline.uri"
"""Where the artifact lies; versions without it say so in their source."""


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A version of the registry: which artifact it is, where its immutable copy lies, and how it became champion."""

    name: str
    version: str
    digest: str
    uri: str
    aliases: tuple[str, ...] = ()
    bootstrap: bool = False


class Registry:
    """One registered model of an MLflow registry.

    Args:
        settings: where the registry is and what the model is called.

    Raises:
        UsageError: no address is set.
        UnavailableError: the registry does not answer.
    """

    def __init__(self, settings: RegistryParams) -> None:
        if not settings.tracking_uri:
            raise UsageError("There is no registry: registry.tracking_uri is empty.", "Set it in params.yaml.")
        self._uri = settings.tracking_uri
        self._name = settings.model_name
        self._client = connect(settings.tracking_uri)

    def resolve(self, alias: str) -> RegisteredModel | None:
        """The version that ``alias`` points to now, or None. The answer's address is immutable, the alias is not.

        Raises:
            UnavailableError: the registry does not answer.
        """
        from mlflow.exceptions import MlflowException

        with translated(self._uri):
            try:
                return _model(self._client.get_model_version_by_alias(self._name, alias))
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return None
                raise

    def find(self, digest: str) -> RegisteredModel | None:
        """The version that holds the artifact ``digest``, or None.

        Raises:
            UnavailableError: the registry does not answer.
        """
        with translated(self._uri):
            versions = self._client.search_model_versions(f"name = '{self._name}'")
            mine = [version for version in versions if version.tags.get(DIGEST_TAG) == digest]
            if not mine:
                return None
            oldest = min(mine, key=lambda version: int(version.version))
            return _model(self._client.get_model_version(self._name, oldest.version))  # a search leaves aliases out

    def register(self, digest: str, uri: str, *, run_id: str = "", tags: Mapping[str, str]) -> RegisteredModel:
        """Register an artifact once; the same digest gives the same version again.

        Args:
            digest: the artifact's digest.
            uri: the address of its immutable copy.
            run_id: the run that made it.
            tags: what else the version says about itself.

        Raises:
            UnavailableError: the registry does not answer.
        """
        known = self.find(digest)
        if known is None:
            with translated(self._uri):
                self._ensure_model()
                version = self._client.create_model_version(
                    self._name,
                    source_of(uri, digest, self._uri),
                    run_id=run_id or None,
                    tags={**tags, DIGEST_TAG: digest, ADDRESS_TAG: uri},
                    description=f"Artifact {digest}. Score with it: fraudline score FILE -o OUT --model {uri}",
                )
                known = _model(version)
            log.info("registry.registered", model=self._name, version=known.version, digest=digest[:12])
        return known

    def point(self, alias: str, model: RegisteredModel) -> None:
        """Let ``alias`` point to a version.

        Raises:
            UnavailableError: the registry does not answer.
        """
        with translated(self._uri):
            self._client.set_registered_model_alias(self._name, alias, model.version)
        log.info("registry.alias", model=self._name, alias=alias, version=model.version)

    def mark_bootstrap(self, model: RegisteredModel) -> None:
        """Record that a version became champion because there was none.

        Raises:
            UnavailableError: the registry does not answer.
        """
        with translated(self._uri):
            self._client.set_model_version_tag(self._name, model.version, BOOTSTRAP_TAG, "true")

    def _ensure_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(self._name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def source_of(uri: str, digest: str, tracking_uri: str) -> str:
    """What a version names as its source: a server refuses a folder that is not below its own runs.

    Args:
        uri: the artifact's address.
        digest: its digest.
        tracking_uri: MLflow's address.
    """
    local = uri.startswith("file:") and tracking_uri.startswith(("http:", "https:"))
    return f"fraudline://store/{digest}" if local else uri


def give_alias(registry: Registry, model: RegisteredModel) -> RegisteredModel:
    """Give a newly blessed model its alias: challenger, or champion when the registry has none yet (a bootstrap).

    The champion itself keeps its place, so giving twice changes nothing.

    Returns:
        The version with its aliases as they are now.

    Raises:
        UnavailableError: the registry does not answer.
    """
    champion = registry.resolve(CHAMPION)
    if champion is None:
        registry.mark_bootstrap(model)
        registry.point(CHAMPION, model)
    elif champion.digest != model.digest:
        registry.point(CHALLENGER, model)
    return registry.find(model.digest) or model


def _model(version: Any) -> RegisteredModel:
    digest = version.tags.get(DIGEST_TAG, "")
    if not digest:
        raise UnavailableError(
            f"Version {version.version} of {version.name} was not registered by fraudline: it has no {DIGEST_TAG}.",
            "Point the alias to a version made by the register step.",
        )
    return RegisteredModel(
        version.name,
        str(version.version),
        digest,
        version.tags.get(ADDRESS_TAG, version.source),
        tuple(sorted(version.aliases)),
        version.tags.get(BOOTSTRAP_TAG) == "true",
    )
