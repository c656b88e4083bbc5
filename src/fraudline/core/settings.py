"""The base of every settings and parameter model: frozen, strict about unknown names."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from reprlib import Repr
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from fraudline.core.documents import parse_json, parse_yaml
from fraudline.core.errors import UsageError

_NAMES = ("extra_forbidden", "missing")
_SHOWN = 80
"""Characters of a wrong value in an error."""

_short = Repr()
"""A few lines of YAML whose aliases name one another are a value of gigabytes when it is written out whole."""

_short.maxlevel, _short.maxlist, _short.maxdict = 2, _SHOWN, _SHOWN
_short.maxstring = _short.maxlong = _short.maxother = 1 << 20


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
            found = error.errors()
            named = [each for each in found if each["type"] in _NAMES]  # one mistyped: unknown, and one more is missing
            first, *more = sorted(named, key=lambda each: _NAMES.index(each["type"])) or found[:1]
            said = "; ".join(f"{_field(each)}: {_said(each)}{cls._meant(each)}" for each in (first, *more[:1]))
            raise UsageError(f"{source}: {said}.", f"Correct {_field(first)} in {source}.") from error

    @classmethod
    def _meant(cls, error: Mapping[str, Any]) -> str:
        """The setting whose name is near to one that there is not, in brackets."""
        if error["type"] != _NAMES[0]:
            return ""
        *sections, name = error["loc"]
        model: Any = cls
        for section in sections:
            field = getattr(model, "model_fields", {}).get(section)
            model = None if field is None else field.annotation
        near = get_close_matches(str(name), getattr(model, "model_fields", {}), 1)
        return f" (perhaps {near[0]})" if near else ""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a YAML file into this model.

        Raises:
            UsageError: the file is missing, not YAML, or does not fit.
        """
        return cls.parse_yaml(content_of(path), str(path))

    @classmethod
    def parse_yaml(cls, content: bytes, source: str) -> Self:
        """Validate YAML in UTF-8; an error names ``source``.

        Raises:
            UsageError: it is not YAML, or does not fit.
        """
        return cls.parse(parse_yaml(content, source), source)

    @classmethod
    def parse_json(cls, content: str | bytes, source: str) -> Self:
        """Validate JSON, as a line of a log of them; an error names ``source``.

        Raises:
            UsageError: it is not JSON, or does not fit.
        """
        return cls.parse(parse_json(content, source, wrong=UsageError), source)


def content_of(path: Path) -> bytes:
    """The bytes of a settings file.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "Name an existing file.") from error


def _field(error: Mapping[str, Any]) -> str:
    return ".".join(str(part) for part in error["loc"]) or "(top level)"


def _said(error: Mapping[str, Any]) -> str:
    if error["type"] in _NAMES:
        return "there is no such setting" if error["type"] == _NAMES[0] else "it is missing"
    if error["type"] == "model_type" and error["input"] is None:
        return "there is nothing in it"
    shown = _short.repr(error.get("input"))
    return f"{error['msg']} (got {shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '…'})"
