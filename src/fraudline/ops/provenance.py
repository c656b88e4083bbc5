"""Which code ran: the Git revision, and whether files differed from it."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

UNKNOWN = "unknown"
REVISION = "FRAUDLINE_REVISION"
"""Variable of our images: the revision that they were built from, with ``-dirty`` where files differed from it."""

_BUILT = re.compile(r"([0-9a-f]{40,64})(-dirty)?")
_TIMEOUT_S = 300  # ends a hang: a revision that is not waited for would be recorded as none
_OF_A_REPOSITORY = frozenset((
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS",
    "GIT_DIR", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX", "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
))  # fmt: skip
"""What ``git rev-parse --local-env-vars`` lists but ``GIT_CONFIG_COUNT``: that one hands credentials over."""


@dataclass(frozen=True)
class GitState:
    """A Git revision, ``unknown`` outside a repository and our images, and whether tracked files differed from it."""

    revision: str
    dirty: bool


def git_state(folder: Path = Path()) -> GitState:
    """The state of the repository that holds ``folder``; ``dvc.lock``, which every run rewrites, does not count.

    What git cannot say is clean counts as dirty. Outside a repository it is that of the image, as in a pod. Git is
    asked without a lock of its index, which would stop a commit that somebody makes in the same moment.
    """
    revision = _git(folder, "rev-parse", "HEAD")
    if revision is None:
        built = _BUILT.fullmatch(os.environ.get(REVISION, ""))
        return GitState(built[1], dirty=built[2] is not None) if built else GitState(UNKNOWN, dirty=False)
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)dvc.lock")
    return GitState(revision, dirty=changed != "")


def file_at(revision: str, path: str) -> str | None:
    """The text of a file as a Git revision has it; None where there is no repository, revision or file."""
    return _git(Path(), "show", "--end-of-options", f"{revision}:{path}")


def git_environment() -> dict[str, str]:
    """The environment for a git that works in the folder it is given: a hook's names the hook's repository."""
    return {name: value for name, value in os.environ.items() if name not in _OF_A_REPOSITORY}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
            env=git_environment(),
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
