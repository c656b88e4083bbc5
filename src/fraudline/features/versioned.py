"""A specification whose name is the digest of its content: what models, state and decisions refer to."""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Self

from fraudline.core.digest import sha256_bytes
from fraudline.core.errors import ArtifactError, UsageError
from fraudline.core.settings import Settings


class Versioned(Settings):
    """Settings that travel inside ``model.json`` with their version."""

    what: ClassVar[str] = "specification"
    """The kind of specification, for errors."""

    def content(self) -> dict[str, Any]:
        """What the version is made of, JSON-able."""
        return self.model_dump(mode="json")

    @cached_property
    def version(self) -> str:
        """Twelve hex digits: SHA-256 of the canonical JSON of the content."""
        return short_digest(self.content())

    def to_dict(self) -> dict[str, Any]:
        """JSON-able content with ``version``: what ``model.json`` carries."""
        return {"version": self.version, **self.model_dump(mode="json")}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`.

        Raises:
            ArtifactError: the content does not fit this release, or its version is not the digest of its content.
        """
        content = {key: value for key, value in values.items() if key != "version"}
        try:
            spec = cls.parse(content, cls.what)
        except UsageError as error:
            raise ArtifactError(error.problem, "Use the release of fraudline that made the artifact.") from error
        named = values.get("version", spec.version)
        if named != spec.version:
            raise ArtifactError(
                f"The {cls.what} is named {named} but its content is {spec.version}.",
                "Package the model again from its training run.",
            )
        return spec


def short_digest(content: Mapping[str, Any]) -> str:
    """Twelve hex digits: SHA-256 of the canonical JSON of ``content``."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256_bytes(text.encode())[:12]
