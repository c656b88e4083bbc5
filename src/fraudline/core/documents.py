"""JSON and YAML, read in one way: whatever is wrong with a text is one error that names it, the place and what to do.

    parse_json(content, "release.json", wrong=ArtifactError, action="Sign the artifact again.")

Positions are given, the text itself is not: a secret may stand there.
"""

import json
from typing import Any

import yaml

from fraudline.core.errors import DataError, FraudlineError, UsageError

_MALFORMED = (ValueError, RecursionError, yaml.YAMLError)
"""Not of the format, not UTF-8, a number of more digits than Python takes, nested without end."""


class _Loader(yaml.SafeLoader):
    """A value that does not fit its tag, as ``!!bool maybe`` or the date 2018-02-31, is an error with its place."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(None, None, f"this is no {kind}", node.start_mark) from error


def parse_json(
    content: str | bytes, name: str, *, wrong: type[FraudlineError] = DataError, action: str = "Make it again."
) -> Any:
    """The value of a JSON text.

    Args:
        content: the text; bytes are UTF-8.
        name: what the text is, for the error: a file, a line of one, a message.
        wrong: class of the error.
        action: what to do about one.

    Raises:
        FraudlineError: the text is not JSON, or nested too deeply; of the class ``wrong``.
    """
    try:
        return json.loads(content)
    except _MALFORMED as error:
        raise wrong(f"{name} is not JSON: {_said(error)}.", action) from error


def parse_yaml(
    content: str | bytes, name: str, *, wrong: type[FraudlineError] = UsageError, action: str = "Correct the file."
) -> Any:
    """The value of a YAML text, of plain types only; None for one without content. Like :func:`parse_json`.

    Raises:
        FraudlineError: the text is not YAML, or nested too deeply; of the class ``wrong``.
    """
    try:
        return _Loader(content.decode("utf-8") if isinstance(content, bytes) else content).get_single_data()
    except _MALFORMED as error:
        raise wrong(f"{name} is not YAML: {_said(error)}.", action) from error


def _said(error: Exception) -> str:
    """The place and the reason, on one line."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}: {error.msg}"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(str(error).split())
