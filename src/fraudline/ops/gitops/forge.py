"""Where a branch becomes a pull request: a plain Git remote, GitHub, GitLab, or Gitea and Forgejo.

    forge = open_forge(params.rollout.forge, token, clone)
    forge.ensure("promote/production/0f3c", "title", "text")      # twice gives the same pull request

GitHub's REST API of 2022-11-28, GitLab's v4, Gitea's v1. Asking first and creating then leaves a gap when two do it at
once: GitHub and GitLab refuse the second pull request of a branch, and the first one's is then found; Gitea may make
both, and the second is closed again.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Protocol
from urllib.parse import quote

from msgspec import Struct

from fraudline.core.clock import now
from fraudline.core.errors import UsageError
from fraudline.core.log import get_logger
from fraudline.ops.gitops.forge_api import EXISTS, NOT_YET, Api, PullRequest, State, foremost, found
from fraudline.ops.gitops.params import ForgeParams
from fraudline.ops.gitops.repository import Clone

if TYPE_CHECKING:
    import httpx

log = get_logger(__name__)

PUBLIC = {"github": "https://api.github.com", "gitlab": "https://gitlab.com/api/v4"}

_UNKNOWN = 404
_KNOWN_S = 10.0
_LOOK_S = 0.2
"""Seconds that a pushed branch is waited for at most, and between two looks."""


class Forge(Protocol):
    """What opens, merges and asks."""

    def ensure(self, branch: str, title: str, body: str, *, anew: bool = False) -> PullRequest:
        """The pull request of a pushed branch; made when there is none.

        Args:
            branch: its name.
            title: of the request.
            body: of the request.
            anew: the branch was not there before: a closed request is of one that was deleted since.

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

    def ensure(self, branch: str, title: str, body: str, *, anew: bool = False) -> PullRequest:
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
    """What is read of a pull request of GitHub or Gitea."""

    html_url: str
    number: int
    state: str
    merged_at: str | None = None


class _Issue(Struct):
    """What is read of an issue of GitHub or Gitea."""

    html_url: str
    title: str


class _Branch(Struct):
    """What is read of a branch of Gitea's pull request."""

    ref: str


class _OfBranch(_Pull, kw_only=True):
    """A pull request of Gitea with the branch that it is of."""

    head: _Branch


class _MergeRequest(Struct):
    """What is read of GitLab's merge request."""

    web_url: str
    iid: int
    state: str


class _GitLabIssue(Struct):
    """What is read of GitLab's issue."""

    web_url: str
    title: str


class GitHub:
    """Pull requests of a repository on GitHub."""

    _page_size = "per_page"
    _headers: ClassVar[dict[str, str]] = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}

    def __init__(self, settings: ForgeParams, token: str, base: str) -> None:
        address = settings.api or PUBLIC[settings.kind]
        self._api = Api(address, {"Authorization": f"Bearer {token}", **self._headers})
        self._repo = f"/repos/{settings.project}"
        self._owner = settings.project.split("/")[0]
        self._base = base

    def ensure(self, branch: str, title: str, body: str, *, anew: bool = False) -> PullRequest:
        """See :class:`Forge`."""
        if (known := self._find(branch)) is not None and not (anew and known.state == "closed"):
            return known
        answer = self._open({"title": title, "head": branch, "base": self._base, "body": body})
        if answer.is_success:
            made = self._api.read(answer, _Pull)
            return PullRequest(branch, "open", made.html_url, made.number)
        return found(self._find(branch), answer)

    def merge(self, request: PullRequest, revision: str) -> bool:
        """See :class:`Forge`."""
        content = {"sha": revision, "merge_method": "merge"}
        path = f"{self._repo}/pulls/{request.number}/merge"
        return self._api.call("PUT", path, json=content, accept=NOT_YET).is_success

    def ask(self, title: str, body: str) -> str:
        """See :class:`Forge`."""
        path = f"{self._repo}/issues"
        for known in self._api.pages(path, {"state": "open"}, list[_Issue], size=self._page_size):
            if known.title == title:
                return known.html_url
        return self._api.read(self._api.call("POST", path, json={"title": title, "body": body}), _Issue).html_url

    def _open(self, content: dict[str, str]) -> "httpx.Response":
        return self._api.call("POST", f"{self._repo}/pulls", json=content, accept=EXISTS)

    def _find(self, branch: str) -> PullRequest | None:
        query = {"state": "all", "head": f"{self._owner}:{branch}", "base": self._base}
        known = self._api.read(self._api.call("GET", f"{self._repo}/pulls", params=query), list[_Pull])
        return foremost(_standing(branch, each) for each in known)


class Gitea(GitHub):
    """Pull requests of a repository on Gitea or Forgejo, whose API follows GitHub's but for these.

    A pushed branch is known to the API a moment after the push has ended: it is waited for.
    """

    _page_size = "limit"
    _headers: ClassVar[dict[str, str]] = {}

    def ensure(self, branch: str, title: str, body: str, *, anew: bool = False) -> PullRequest:
        """See :class:`Forge`."""
        request = super().ensure(branch, title, body, anew=anew)
        first = self._first_open(branch)
        if first is None or first.number >= request.number:
            return request
        self._api.call("PATCH", f"{self._repo}/pulls/{request.number}", json={"state": "closed"})
        return first

    def merge(self, request: PullRequest, revision: str) -> bool:
        """See :class:`Forge`."""
        content = {"Do": "merge", "head_commit_id": revision}
        path = f"{self._repo}/pulls/{request.number}/merge"
        return self._api.call("POST", path, json=content, accept=NOT_YET).is_success

    def _open(self, content: dict[str, str]) -> "httpx.Response":
        until = time.monotonic() + _KNOWN_S
        while time.monotonic() < until:
            answer = self._api.call("POST", f"{self._repo}/pulls", json=content, accept=(404, *EXISTS))
            if answer.status_code != _UNKNOWN:
                return answer
            time.sleep(_LOOK_S)
        return super()._open(content)

    def _first_open(self, branch: str) -> PullRequest | None:
        query = {"state": "open", "base_branch": self._base, "sort": "oldest"}
        pulls = self._api.pages(f"{self._repo}/pulls", query, list[_OfBranch], size=self._page_size)
        return next((_standing(branch, pull) for pull in pulls if pull.head.ref == branch), None)

    def _find(self, branch: str) -> PullRequest | None:
        path = f"{self._repo}/pulls/{quote(self._base, safe='')}/{quote(branch)}"
        answer = self._api.call("GET", path, accept=(404,))
        if not answer.is_success:
            return None
        oldest = _standing(branch, self._api.read(answer, _Pull))
        return (self._first_open(branch) or oldest) if oldest.state == "closed" else oldest


class GitLab:
    """Merge requests of a project on GitLab."""

    def __init__(self, settings: ForgeParams, token: str, base: str) -> None:
        self._api = Api(settings.api or PUBLIC["gitlab"], {"PRIVATE-TOKEN": token})
        self._project = f"/projects/{quote(settings.project, safe='')}"
        self._base = base

    def ensure(self, branch: str, title: str, body: str, *, anew: bool = False) -> PullRequest:
        """See :class:`Forge`."""
        if (known := self._find(branch)) is not None and not (anew and known.state == "closed"):
            return known
        content = {"source_branch": branch, "target_branch": self._base, "title": title, "description": body}
        answer = self._api.call("POST", f"{self._project}/merge_requests", json=content, accept=EXISTS)
        if answer.is_success:
            made = self._api.read(answer, _MergeRequest)
            return PullRequest(branch, "open", made.web_url, made.iid)
        return found(self._find(branch), answer)

    def merge(self, request: PullRequest, revision: str) -> bool:
        """See :class:`Forge`."""
        path = f"{self._project}/merge_requests/{request.number}/merge"
        return self._api.call("PUT", path, json={"sha": revision}, accept=NOT_YET).is_success

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
        known = self._api.read(answer, list[_MergeRequest])
        return foremost(PullRequest(branch, states.get(each.state, "closed"), each.web_url, each.iid) for each in known)


HOSTED: dict[str, Callable[[ForgeParams, str, str], Forge]] = {"github": GitHub, "gitlab": GitLab, "gitea": Gitea}


def open_forge(settings: ForgeParams, token: str, clone: Clone) -> Forge:
    """The forge that the parameters name.

    Raises:
        UsageError: it needs a token.
    """
    if settings.kind == "git":
        return PlainGit(clone)
    if not token:
        raise UsageError(f"{settings.kind} needs a token.", "Set FRAUDLINE_FORGE_TOKEN.")
    return HOSTED[settings.kind](settings, token, clone.branch)


def _standing(branch: str, known: _Pull) -> PullRequest:
    state: State = "merged" if known.merged_at else "open" if known.state == "open" else "closed"
    return PullRequest(branch, state, known.html_url, known.number)
