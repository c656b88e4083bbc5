"""The one error tree.

    FraudlineError                 exit 1
    ├── UsageError                 exit 2   the caller's parameters are wrong
    ├── DataError                  exit 3   a data file or data set is wrong
    │   ├── SchemaError                     a column, type or value is wrong (says row and column)
    │   └── ValidationFailed                a critical expectation failed
    ├── GateFailed                 exit 4   the candidate is not blessed
    │   └── PromotionRefused                    a promotion or a step of a rollout is not what the rules allow
    ├── ArtifactError              exit 5   a model artifact is missing, changed or of another format
    │   └── DigestMismatch
    ├── StateError                 exit 6   feature state or a checkpoint cannot be used
    ├── MessageError               exit 7   one record or request is malformed (a dead letter, a 4xx)
    ├── UnavailableError           exit 8   a broker, registry or endpoint does not answer (try again)
    └── WatchFailed                exit 10  what production does is not what training saw
        ├── DriftFound                      the traffic moved
        └── SkewFound                       the stream's features are not those of the same rows offline

Each error says the problem and the corrective action, and carries the ``exit_code`` of a command line.
"""

import re
from typing import ClassVar

from fraudline.core.masking import mask_text

_PASSWORD = re.compile(r"(?<=://)(?:[^/?#\s]*|[^:/?#\s]*:(?!\d*[?#])[^/\s]*)@")
"""Up to the last ``@`` before a path or a query; a ``?`` or ``#`` after a colon may be the password's own."""


def without_passwords(text: str) -> str:
    """A text with the names and passwords of the addresses in it left out."""
    return _PASSWORD.sub("", text)


class FraudlineError(Exception):
    """Base of all errors that fraudline raises on purpose.

    Args:
        problem: what is wrong, with the name of the thing that is wrong.
        action: what the user does about it.

    In both card numbers are masked, and passwords of addresses left out.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, problem: str, action: str = "") -> None:
        self.problem = without_passwords(mask_text(problem))
        self.action = without_passwords(mask_text(action))
        super().__init__(f"{self.problem} {self.action}".strip())


class UsageError(FraudlineError):
    """The caller's parameters are wrong."""

    exit_code = 2


class DataError(FraudlineError):
    """A data file or data set is wrong."""

    exit_code = 3


class SchemaError(DataError):
    """A column, a type or a value does not fit the schema."""


class ValidationFailed(DataError):
    """A critical expectation failed on the data set."""


class GateFailed(FraudlineError):
    """The candidate model is not blessed."""

    exit_code = 4


class PromotionRefused(GateFailed):
    """A promotion or a step of a rollout is not what the rules of the target branch allow."""


class ArtifactError(FraudlineError):
    """A model artifact is missing, incomplete, changed or of another format."""

    exit_code = 5


class DigestMismatch(ArtifactError):
    """The bytes found are not the bytes that were named."""


class StateError(FraudlineError):
    """Feature state or a checkpoint cannot be used."""

    exit_code = 6


class MessageError(FraudlineError):
    """One record or one request is malformed."""

    exit_code = 7


class UnavailableError(FraudlineError):
    """A broker, a registry or an endpoint does not answer."""

    exit_code = 8


class WatchFailed(FraudlineError):
    """What production does is not what training saw."""

    exit_code = 10


class DriftFound(WatchFailed):
    """The traffic moved."""


class SkewFound(WatchFailed):
    """The stream's features are not those of the same rows offline."""
