"""A refused request: names the field and what was expected, and is a 400 over REST and INVALID_ARGUMENT over gRPC."""

from kserve.errors import InvalidInput

from fraudline.core.errors import MessageError


class RequestError(MessageError, InvalidInput):  # type: ignore[misc]  # kserve has no type information
    """The request is wrong.

    Args:
        field: path of the wrong part, for example ``instances[3].amount``.
        problem: what is wrong with it.
        action: what the caller sends instead.
    """

    def __init__(self, field: str, problem: str, action: str = "") -> None:
        self.field = field
        super().__init__(f"{field}: {problem}", action)
        self.reason = f"{self.problem} {self.action}".strip()  # what KServe's gRPC interceptor answers
