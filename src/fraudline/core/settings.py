"""The base of every settings and parameter model: frozen, strict about unknown names."""

from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from fraudline.core.errors import UsageError


class Settings(BaseModel):
    """A frozen pydantic model that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=True)

    @classmethod
    def parse(cls, values: object, source: str) -> Self:
        """Validate ``values``; an error names ``source``, the field and what was expected.

        Raises:
            UsageError: a field is missing, unknown or of the wrong type.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "(top level)"
            raise UsageError(
                f"{source}: {field}: {first['msg']} (got {first.get('input')!r}).",
                f"Correct {field} in {source}.",
            ) from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a YAML file into this model.

        Raises:
            UsageError: the file is missing, not YAML, or does not fit.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}.", "Name an existing file.") from error
        return cls.parse_yaml(content, str(path))

    @classmethod
    def parse_yaml(cls, content: bytes, source: str) -> Self:
        """Validate YAML in UTF-8; an error names ``source``.

        Raises:
            UsageError: it is not YAML, or does not fit.
        """
        try:
            values = yaml.safe_load(content.decode("utf-8"))
        except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date that is none is a ValueError
            raise UsageError(f"{source} is not YAML: {error}.", "Correct the file.") from error
        return cls.parse(values, source)
