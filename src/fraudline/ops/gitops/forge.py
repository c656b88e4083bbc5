"""Where a branch becomes a pull request: a plain Git remote, GitHub or GitLab.

    forge = open_forge(params.rollout.forge, token, clone)
    forge.ensure("promote/production/0f3c", "title", "text")      # twice gives the same pull request

GitHub's REST API of 2022-11-28, GitLab's v4. Asking first and creating then leaves a gap when two do it at once; both
forges refuse the second pull request of a branch, and the first one's is then found.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from fraudline.core.clock import now
from fraudline.core.errors import UnavailableError, UsageError
from fraudline.core.log import get_logger
from fraudline.ops.gitops.params import ForgeParams
from fraudline.ops.gitops.repository import Clone

if TYPE_CHECKING:
    import httpx

log = get_logger(__name__)

Shape = TypeVar("Shape")

PUBLIC = {"github": "https://api.github.com", "gitlab": "https://gitlab.com/api/v4"}
_TIMEOUT_S = 30.0
_EXISTS = (409, 422)
_NOT_YET = (405, 406, 409, 422)
"""Answers to a merge that checks or reviews still hold back."""

State = Literal["planned", "open", "merged", "closed"]


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A request to merge a branch. ``url`` and ``number`` are empty on a plain remote."""

    branch: str
    state: State = "open"
    url: str = ""
    number: int = 0


class Forge(Protocol):
    """What opens, merges and asks."""

    def ensure(self, branch: str, title: str, body: str) -> PullRequest:
        """The pull request of a pushed branch; made when there is none.

        Raises:
            UnavailableError: the forge does not answer or refuses.
        """

    def merge(self, request: PullRequest, revision: str) -> bool:
        """Merge it when it is at ``revision``; False when checks or people still hold it back.

        Raises:
            UnavailableError: the forge does not answer or refuses.
        """

    def ask(self, title: str, body: str) -> str:
        """Ask a person, once for a title, by an issue.

        Returns:
            The issue's address; empty on a plain remote.

        Raises:
            UnavailableError: the forge does not answer or refuses.
        """


class PlainGit:
    """A remote without pull requests: the pushed branch is the request, and a merge is made here."""

    def __init__(self, clone: Clone) -> None:
        self._clone = clone

    def ensure(self, branch: str, title: str, body: str) -> PullRequest:
        """The branch itself."""
        return PullRequest(branch)

    def merge(self, request: PullRequest, revision: str) -> bool:
        """Push a merge commit to the target branch; False when the branch has moved meanwhile."""
        clone = self._clone
        clone.run("fetch", "-q", "origin", clone.branch)
        if clone.merged(revision):
            return True
        base = clone.base
        title = clone.run("log", "-1", "--format=%s", revision).strip()
        merged = clone.merge_commit(revision, f"Merge {request.branch}\n\n{title}", int(now().timestamp()))
        return bool(merged) and clone.push(merged, clone.branch, expected=base)

    def ask(self, title: str, body: str) -> str:
        """Nobody can be asked here: the caller says it."""
        log.warning("rollout.asks", title=title)
        return ""


class _Pull(Struct):
    """What is read of GitHub's pull request."""

    html_url: str
    number: int
    state: str
    merged_at: str | None = None


class _Issue(Struct):
    """What is read of GitHub's issue."""

    html_url: str
    title: str


class _MergeRequest(Struct):
    """What is read of GitLab's merge request."""

    web_url: str
    iid: int
    state: str


class _GitLabIssue(Struct):
    """What is read of GitLab's issue."""

    web_url: str
    title: str


class _Api:
    """A forge's API: JSON in, JSON out, errors of ours."""

    def __init__(self, base: str, headers: dict[str, str]) -> None:
        import httpx

        self._base = base
        self._client = httpx.Client(base_url=base, headers=headers, timeout=_TIMEOUT_S)

    def call(self, method: str, path: str, *, accept: tuple[int, ...] = (), **arguments: Any) -> "httpx.Response":
        """Call it; a status among ``accept`` is the caller's matter.

        Raises:
            UnavailableError: it does not answer or refuses.
        """
        import httpx

        try:
            answer = self._client.request(method, path, **arguments)
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


class GitHub:
    """Pull requests of a repository on GitHub."""

    def __init__(self, settings: ForgeParams, token: str, base: str) -> None:
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        self._api = _Api(settings.api or PUBLIC["github"], headers | {"Authorization": f"Bearer {token}"})
        self._repo = f"/repos/{settings.project}"
        self._owner = settings.project.split("/")[0]
        self._base = base

    def ensure(self, branch: str, title: str, body: str) -> PullRequest:
        """See :class:`Forge`."""
        if (known := self._find(branch)) is not None:
            return known
        content = {"title": title, "head": branch, "base": self._base, "body": body}
        answer = self._api.call("POST", f"{self._repo}/pulls", json=content, accept=_EXISTS)
        if answer.is_success:
            made = self._api.read(answer, _Pull)
            return PullRequest(branch, "open", made.html_url, made.number)
        return _found(self._find(branch), answer)

    def merge(self, request: PullRequest, revision: str) -> bool:
        """See :class:`Forge`."""
        content = {"sha": revision, "merge_method": "merge"}
        path = f"{self._repo}/pulls/{request.number}/merge"
        return self._api.call("PUT", path, json=content, accept=_NOT_YET).is_success

    def ask(self, title: str, body: str) -> str:
        """See :class:`Forge`."""
        path, query = f"{self._repo}/issues", {"state": "open", "per_page": 100}
        for known in self._api.read(self._api.call("GET", path, params=query), list[_Issue]):
            if known.title == title:
                return known.html_url
        return self._api.read(self._api.call("POST", path, json={"title": title, "body": body}), _Issue).html_url

    def _find(self, branch: str) -> PullRequest | None:
        query = {"state": "all", "head": f"{self._owner}:{branch}", "base": self._base}
        for known in self._api.read(self._api.call("GET", f"{self._repo}/pulls", params=query), list[_Pull]):
            state: State = "merged" if known.merged_at else "open" if known.state == "open" else "closed"
            return PullRequest(branch, state, known.html_url, known.number)
        return None


class GitLab:
    """Merge requests of a project on GitLab."""

    def __init__(self, settings: ForgeParams, token: str, base: str) -> None:
        self._api = _Api(settings.api or PUBLIC["gitlab"], {"PRIVATE-TOKEN": token})
        self._project = f"/projects/{quote(settings.project, safe='')}"
        self._base = base

    def ensure(self, branch: str, title: str, body: str) -> PullRequest:
        """See :class:`Forge`."""
        if (known := self._find(branch)) is not None:
            return known
        content = {"source_branch": branch, "target_branch": self._base, "title": title, "description": body}
        answer = self._api.call("POST", f"{self._project}/merge_requests", json=content, accept=_EXISTS)
        if answer.is_success:
            made = self._api.read(answer, _MergeRequest)
            return PullRequest(branch, "open", made.web_url, made.iid)
        return _found(self._find(branch), answer)

    def merge(self, request: PullRequest, revision: str) -> bool:
        """See :class:`Forge`."""
        path = f"{self._project}/merge_requests/{request.number}/merge"
        return self._api.call("PUT", path, json={"sha": revision}, accept=_NOT_YET).is_success

    def ask(self, title: str, body: str) -> str:
        """See :class:`Forge`."""
        path, query = f"{self._project}/issues", {"state": "opened", "search": title, "in": "title"}
        for known in self._api.read(self._api.call("GET", path, params=query), list[_GitLabIssue]):
            if known.title == title:
                return known.web_url
        content = {"title": title, "description": body}
        return self._api.read(self._api.call("POST", path, json=content), _GitLabIssue).web_url

    def _find(self, branch: str) -> PullRequest | None:
        states: dict[str, State] = {"opened": "open", "merged": "merged"}
        query = {"state": "all", "source_branch": branch, "target_branch": self._base}
        answer = self._api.call("GET", f"{self._project}/merge_requests", params=query)
        for known in self._api.read(answer, list[_MergeRequest]):
            return PullRequest(branch, states.get(known.state, "closed"), known.web_url, known.iid)
        return None


def open_forge(settings: ForgeParams, token: str, clone: Clone) -> Forge:
    """The forge that the parameters name.

    Raises:
        UsageError: it needs a token.
    """
    if settings.kind == "git":
        return PlainGit(clone)
    if not token:
        raise UsageError(f"{settings.kind} needs a token.", "Set FRAUDLINE_FORGE_TOKEN.")
    return (GitHub if settings.kind == "github" else GitLab)(settings, token, clone.branch)


def _found(known: PullRequest | None, answer: "httpx.Response") -> PullRequest:
    if known is None:
        raise UnavailableError(
            f"The pull request is refused: {answer.status_code}: {answer.text[:200]}.",
            "Check the branch and its rules.",
        )
    return known
