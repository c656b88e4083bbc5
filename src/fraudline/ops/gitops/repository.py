"""A Git remote, worked on in a temporary clone: the user's own tree is never touched.

    with Clone.of("origin", branch="main") as clone:
        clone.read("manifests/overlays/standard/rollout.yaml")
        revision = clone.commit({"manifests/overlays/standard/rollout.yaml": "..."}, "message", when)
        clone.push(revision, "promote/production/0f3c")

Git is run as a program, with argument lists; credentials are Git's own (a credential helper, an SSH agent), or the
forge's token, which is handed over in the environment and so stands in no list of processes.
"""

import base64
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.core.log import get_logger
from fraudline.ops.gitops.params import CommitParams
from fraudline.ops.provenance import git_environment

log = get_logger(__name__)

_TIMEOUT_S = 300


def git(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Run git in a folder.

    Returns:
        What it printed, each end of a line as it is; bytes that are no UTF-8 are surrogates.

    Raises:
        UnavailableError: it failed; quotes what it said.
    """
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=True,
            env={**git_environment(), "GIT_TERMINAL_PROMPT": "0", **(env or {})},
        )
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).decode(errors="replace").strip().splitlines()
        problem = f"git {arguments[0]} failed: {said[-1] if said else error.returncode}."
        action = "Check the remote's address and your right to push."
        if "not a git repository" in problem:
            action = "Go to a clone of the repository that has the manifests, and run it there."
        raise UnavailableError(problem, action) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"git {arguments[0]} failed: {error}.", "Install git, or try again.") from error
    return done.stdout.decode(errors="surrogateescape")


def changes(folder: Path, revision: str, *paths: str, most: int = -1) -> list[tuple[str, int]]:
    """Commits of a branch's own line that changed a path, newest first: revision, and seconds since 1970.

    What stood inside a merged branch alone is not among them: nobody verified it.

    Args:
        folder: the repository.
        revision: the branch.
        paths: files or folders.
        most: how many at most; all when negative.
    """
    found = git(folder, "log", f"--max-count={most}", "--first-parent", "--format=%H %ct", revision, "--", *paths)
    return [(name, int(when)) for name, when in map(str.split, found.splitlines())]


def address_of(remote: str, folder: Path) -> str:
    """The address of a remote: a name of the repository at ``folder``, or an address itself.

    Raises:
        UsageError: it is neither.
    """
    try:
        found = git(folder, "remote", "get-url", remote).strip()
        return str((folder / found).resolve()) if (folder / found).is_dir() else found  # it may be relative
    except UnavailableError as error:
        if any(sign in remote for sign in ("/", ":")):
            return str(Path(remote).resolve()) if Path(remote).is_dir() else remote
        raise UsageError(
            f"There is no Git remote named {remote}.", "Name one in rollout.forge.remote, or give its address."
        ) from error


def read_at(folder: Path, revision: str, path: str) -> str:
    """The text of a file at a revision; empty when it is not there.

    Raises:
        UnavailableError: there is no such revision, or git cannot read what it has: that is no file that is missing.
    """
    try:
        return git(folder, "show", f"{revision}:{path}")
    except UnavailableError:
        if path in git(folder, "ls-tree", "-r", "-t", "-z", "--name-only", "--full-tree", revision).split("\0"):
            raise
        return ""


def access(url: str, token: str) -> dict[str, str]:
    """Settings that let git use a token over HTTP, after those that the environment has for it already.

    GitHub and GitLab take it as a password.
    """
    if not token or not url.startswith(("http://", "https://")):
        return {}
    secret = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    given = git_environment().get("GIT_CONFIG_COUNT", "")
    number = int(given) if given.isdecimal() else 0
    return {
        "GIT_CONFIG_COUNT": str(number + 1),
        f"GIT_CONFIG_KEY_{number}": f"http.{url}.extraHeader",
        f"GIT_CONFIG_VALUE_{number}": f"Authorization: Basic {secret}",
    }


class Clone:
    """A temporary clone of one branch of a remote.

    Args:
        folder: where it lies; removed at the end.
        url: the remote.
        branch: the target branch.
        commits: whose its commits are.
    """

    def __init__(
        self,
        scratch: "tempfile.TemporaryDirectory[str]",
        url: str,
        branch: str,
        access: Mapping[str, str],
        commits: CommitParams,
    ) -> None:
        self._scratch = scratch
        self._commits = commits
        self._access = dict(access)
        self.folder = Path(scratch.name) / "clone"
        self.url = url
        self.branch = branch

    @classmethod
    def of(cls, url: str, branch: str, token: str = "", commits: CommitParams | None = None) -> Self:
        """Clone ``branch`` of ``url`` without its files; ``token`` is for an address over HTTP.

        Raises:
            UnavailableError: the remote does not answer or has no such branch.
        """
        if Path(url).is_dir():
            url = str(Path(url).resolve())  # git runs in another folder
        scratch = tempfile.TemporaryDirectory(prefix="fraudline-git-")
        clone = cls(scratch, url, branch, access(url, token), commits or CommitParams())
        arguments = ("clone", "-q", "--no-checkout", "--branch", branch, url, "clone")
        try:
            git(Path(clone._scratch.name), *arguments, env=clone._access)
        except UnavailableError:
            clone._scratch.cleanup()
            raise
        return clone

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scratch.cleanup()

    @property
    def base(self) -> str:
        """Revision of the target branch."""
        return self.run("rev-parse", f"origin/{self.branch}").strip()

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """Run git in the clone."""
        return git(self.folder, *arguments, env={**self._access, **(env or {})})

    def read(self, path: str, revision: str = "") -> str:
        """The text of a file on the target branch, or at a revision; empty when it is not there."""
        return read_at(self.folder, revision or f"origin/{self.branch}", path)

    def remote_branch(self, name: str) -> str:
        """Revision of a branch of the remote, fetched; empty when it is not there."""
        if not self.run("ls-remote", "origin", f"refs/heads/{name}").strip():
            return ""
        self.run("fetch", "-q", "origin", f"+refs/heads/{name}:refs/remotes/origin/{name}")
        return self.run("rev-parse", f"origin/{name}").strip()

    def merged(self, revision: str) -> bool:
        """Whether the target branch holds a revision."""
        try:
            self.run("merge-base", "--is-ancestor", revision, f"origin/{self.branch}")
        except UnavailableError:
            return False
        return True

    def is_merge(self, revision: str) -> bool:
        """Whether a revision joins branches, and so was made when it came to the branch."""
        return len(self.run("log", "-1", "--format=%P", revision).split()) > 1

    def diff(self, revision: str) -> str:
        """What a revision changes beside the target branch, as a patch."""
        return self.run("diff", "--no-color", "--no-ext-diff", f"origin/{self.branch}...{revision}")

    def changes(self, *paths: str, most: int = -1) -> list[tuple[str, int]]:
        """Commits of the target branch: see :func:`changes`."""
        return changes(self.folder, f"origin/{self.branch}", *paths, most=most)

    def last_change(self, *paths: str) -> tuple[str, int]:
        """The newest commit of the target branch's own line that changed a path: revision, and seconds since 1970.

        Both are empty when there is none.
        """
        return next(iter(self.changes(*paths, most=1)), ("", 0))

    def commit(self, files: Mapping[str, str], message: str, when: int) -> str:
        """Make one commit on top of the target branch: the same files, message and time give the same revision.

        Args:
            files: path to text.
            message: of the commit.
            when: its time, seconds since 1970.
        """
        env = {"GIT_INDEX_FILE": str(self.folder / ".git" / "fraudline-index")}
        self.run("read-tree", f"origin/{self.branch}", env=env)
        for path, text in files.items():
            source = Path(self._scratch.name) / "blob"
            source.write_text(text, encoding="utf-8")
            blob = self.run("hash-object", "-w", "--no-filters", str(source)).strip()
            self.run("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=env)
        tree = self.run("write-tree", env=env).strip()
        return self._commit_tree(tree, message, when, self.base)

    def commit_files(self, message: str, when: int) -> str:
        """Make one commit of the files of the clone, on top of the target branch; as :meth:`commit`."""
        self.run("add", "-A")
        return self._commit_tree(self.run("write-tree").strip(), message, when, self.base)

    def _commit_tree(self, tree: str, message: str, when: int, *parents: str) -> str:
        whose = {"NAME": self._commits.name, "EMAIL": self._commits.email, "DATE": f"{when} +0000"}
        env = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in whose.items()}
        sides = [part for parent in parents for part in ("-p", parent)]
        signed = ("-S",) if self._commits.sign else ()
        try:
            return self.run("commit-tree", *signed, tree, *sides, "-m", message, env=env).strip()
        except UnavailableError as error:
            if not signed:
                raise
            raise UsageError(
                f"A commit could not be signed: {error.problem}",
                "Set Git's gpg.format and user.signingkey, or rollout.forge.commits.sign: false.",
            ) from error

    def merge_commit(self, revision: str, message: str, when: int) -> str:
        """Merge a commit into the target branch without files; empty when they conflict."""
        try:
            tree = self.run("merge-tree", "--write-tree", f"origin/{self.branch}", revision).strip()
        except UnavailableError:
            return ""
        return self._commit_tree(tree, message, when, self.base, revision)

    def push(self, revision: str, branch: str, *, expected: str = "") -> bool:
        """Push a commit as a branch that is at ``expected`` until now (empty: it must not be there).

        Returns:
            False when somebody else was faster.

        Raises:
            UnavailableError: the remote refuses, and the branch is not there.
        """
        lease = f"--force-with-lease=refs/heads/{branch}:{expected}"
        try:
            self.run("push", "-q", lease, "origin", f"{revision}:refs/heads/{branch}")
        except UnavailableError:
            if self.remote_branch(branch) in ("", expected):
                raise
            return False
        log.info("git.pushed", branch=branch, revision=revision[:12])
        return True

    def delete(self, branch: str) -> None:
        """Delete a branch of the remote where it is there.

        Raises:
            UnavailableError: the remote refuses, or somebody pushed to it meanwhile.
        """
        if tip := self.remote_branch(branch):
            lease = f"--force-with-lease=refs/heads/{branch}:{tip}"
            self.run("push", "-q", lease, "origin", f":refs/heads/{branch}")
            log.info("git.deleted", branch=branch)
