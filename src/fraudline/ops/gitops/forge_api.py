"""The API of a forge: JSON in, JSON out, errors of ours."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from fraudline.core.errors import UnavailableError

if TYPE_CHECKING:
    import httpx

Shape = TypeVar("Shape")

EXISTS = (409, 422)
"""Answers to a second pull request of a branch."""
NOT_YET = (405, 406, 409, 422)
"""Answers to a merge that checks or reviews still hold back."""

_TIMEOUT_S = 30.0
_PAGE = 50

State = Literal["planned", "open", "merged", "closed"]


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A request to merge a branch. ``url`` and ``number`` are empty on a plain remote."""

    branch: str
    state: State = "open"
    url: str = ""
    number: int = 0


class Api:
    """Calls of one forge.

    Args:
        base: address that the paths of calls follow.
        headers: of every call.
    """

    def __init__(self, base: str, headers: dict[str, str]) -> None:
        self._base, self._headers = base, headers

    def call(self, method: str, path: str, *, accept: tuple[int, ...] = (), **arguments: Any) -> "httpx.Response":
        """Call it; a status among ``accept`` is the caller's matter.

        Raises:
            UnavailableError: it does not answer or refuses.
        """
        import httpx

        try:
            with httpx.Client(base_url=self._base, headers=self._headers, timeout=_TIMEOUT_S) as client:
                answer = client.request(method, path, **arguments)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnavailableError(
                f"{self._base} does not answer: {error}.", "Try again: nothing is done twice."
            ) from error
        if answer.is_success or answer.status_code in accept:
            if answer.content and "json" not in answer.headers.get("content-type", ""):
                raise UnavailableError(f"{self._base} is no API: it answers a page.", "Correct rollout.forge.api.")
            return answer
        action = "Try again: nothing is done twice."
        if answer.status_code in (401, 403, 404):
            action = (
                "Give a token that may open pull requests (FRAUDLINE_FORGE_TOKEN), and check rollout.forge.project."
            )
        raise UnavailableError(f"{method} {path} answers {answer.status_code}: {answer.text[:200]}.", action)

    def read(self, answer: "httpx.Response", shape: type[Shape]) -> Shape:
        """What an answer says.

        Raises:
            UnavailableError: it is JSON of another shape.
        """
        try:
            return msgspec.json.decode(answer.content, type=shape)
        except msgspec.MsgspecError as error:
            said = str(error)
            problem = f"{answer.request.method} {answer.request.url} answers what is no answer of this API: {said}."
            raise UnavailableError(problem, "Correct rollout.forge.api and rollout.forge.kind.") from error

    def pages(self, path: str, query: dict[str, Any], shape: type[list[Shape]], *, size: str) -> Iterator[Shape]:
        """Every item of a list that is given page by page, as far as the caller goes on.

        Args:
            path: of the list.
            query: what to ask it for.
            shape: of a page.
            size: name of the parameter that says how many items a page has.

        Raises:
            UnavailableError: as :meth:`call` and :meth:`read`.
        """
        number = 1
        while items := self.read(self.call("GET", path, params=query | {size: _PAGE, "page": number}), shape):
            yield from items
            if len(items) < _PAGE:
                return
            number += 1


def found(known: PullRequest | None, answer: "httpx.Response") -> PullRequest:
    """The pull request that was there before, after an ``answer`` that refused another one.

    Raises:
        UnavailableError: there is none; quotes the answer.
    """
    if known is None:
        raise UnavailableError(
            f"The pull request is refused: {answer.status_code}: {answer.text[:200]}.",
            "Check the branch and its rules.",
        )
    return known


def foremost(known: Iterable[PullRequest]) -> PullRequest | None:
    """The one of a branch that counts: of several, all but one were closed."""
    return min(known, key=lambda each: each.state == "closed", default=None)
