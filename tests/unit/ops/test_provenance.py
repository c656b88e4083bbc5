"""The Git state: revision, dirty or not, and outside a repository."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from fraudline.ops.provenance import REVISION, UNKNOWN, GitState, git_environment, git_state

ROOT = Path(__file__).parents[3]


@pytest.fixture
def repository(tmp_path):
    def git(*arguments):
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True, capture_output=True)

    git("init", "-q")
    for name in ("code.py", "dvc.lock"):
        (tmp_path / name).write_text("1")
    git("add", ".")
    git("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "first")
    return tmp_path


def test_a_clean_checkout_has_its_revision(repository):
    state = git_state(repository)
    assert len(state.revision) == 40
    assert not state.dirty


def test_to_look_takes_no_lock_that_would_stop_a_commit_of_the_same_moment(repository):
    index = repository / ".git" / "index"
    os.utime(repository / "code.py", (1, 1))  # else git has nothing to write into its index
    before = index.stat().st_ino, index.read_bytes()
    assert not git_state(repository).dirty
    assert (index.stat().st_ino, index.read_bytes()) == before


def test_a_changed_file_makes_it_dirty(repository):
    (repository / "code.py").write_text("2")
    assert git_state(repository).dirty


def test_the_lock_that_every_run_rewrites_does_not(repository):
    (repository / "dvc.lock").write_text("2")
    assert not git_state(repository).dirty


def test_outside_a_repository_the_revision_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path).revision == UNKNOWN


def test_in_another_repositorys_hook_the_folder_still_counts(repository, tmp_path_factory, monkeypatch):
    other = tmp_path_factory.mktemp("other")
    subprocess.run(["git", "init", "-q", other], check=True)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    state = git_state(repository)
    assert len(state.revision) == 40
    assert not state.dirty


def test_git_is_told_of_no_repository_and_keeps_the_credentials(monkeypatch):
    listed = subprocess.run(["git", "rev-parse", "--local-env-vars"], capture_output=True, text=True, check=True)
    names = set(listed.stdout.split())
    for name in names | {"GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0"}:
        monkeypatch.setenv(name, "1")
    kept = git_environment().keys()
    assert names & kept == {"GIT_CONFIG_COUNT"}
    assert {"GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0", "PATH"} <= kept


def test_what_git_cannot_say_is_clean_is_not(repository):
    (repository / ".git" / "index").write_bytes(b"half written")
    state = git_state(repository)
    assert len(state.revision) == 40
    assert state.dirty


@pytest.mark.parametrize(
    ("built", "revision", "dirty"),
    [
        ("ab" * 20, "ab" * 20, False),
        ("ab" * 20 + "-dirty", "ab" * 20, True),
        ("unknown", UNKNOWN, False),
        ("main", UNKNOWN, False),
    ],
)
def test_in_a_pod_the_code_is_that_of_the_image_so_that_its_model_can_be_promoted(
    tmp_path, monkeypatch, built, revision, dirty
):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv(REVISION, built)
    assert git_state(tmp_path) == GitState(revision, dirty)


def test_in_a_repository_the_images_revision_says_nothing(repository, monkeypatch):
    monkeypatch.setenv(REVISION, "ab" * 20)
    assert git_state(repository).revision != "ab" * 20


def test_the_image_of_the_steps_is_built_with_the_revision_as_the_state_would_say_it(repository):
    stage = (ROOT / "docker" / "Dockerfile").read_text().partition("AS pipeline\n")[2]
    assert f"ENV {REVISION}=${{REVISION}}\n" in stage
    (line,) = re.findall(r"^code_revision = (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    def said():
        command = ["bash", "-c", f"echo {line.replace('$$', '$')}"]
        return subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout.strip()

    revision = git_state(repository).revision
    (repository / "dvc.lock").write_text("2")
    assert said() == revision
    (repository / "code.py").write_text("2")
    assert said() == f"{revision}-dirty"
