"""Which code ran: the Git revision, and whether files differed from it."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

UNKNOWN = "unknown"
_TIMEOUT_S = 10


@dataclass(frozen=True)
class GitState:
    """A Git revision, ``unknown`` outside a repository, and whether tracked files differed from it."""

    revision: str
    dirty: bool


def git_state(folder: Path = Path()) -> GitState:
    """The state of the repository that holds ``folder``; ``dvc.lock``, which every run rewrites, does not count."""
    revision = _git(folder, "rev-parse", "HEAD")
    if revision is None:
        return GitState(UNKNOWN, dirty=False)
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)dvc.lock")
    return GitState(revision, dirty=bool(changed))


def file_at(revision: str, path: str, folder: Path = Path()) -> str | None:
    """The text of a file as a Git revision has it; None where repository, revision or file is not there."""
    return _git(folder, "show", "--end-of-options", f"{revision}:{path}")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
