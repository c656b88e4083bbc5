"""Git as a program."""

from pathlib import Path

import pytest

from fraudline.core.errors import UnavailableError
from fraudline.ops.gitops.repository import git


def test_outside_a_repository_the_user_is_sent_to_one_and_not_to_the_remote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UnavailableError, match="Go to a clone of the repository"):
        git(tmp_path, "merge-base", "main", "HEAD")
