"""The comparison of a change with its target branch checks out other revisions: it must cost nobody his work."""

import shutil
import subprocess
from pathlib import Path

from fraudline.ops.provenance import git_environment

PIPELINE = Path(__file__).parents[2] / ".ci" / "pipeline"


def test_a_tree_with_changes_that_no_commit_holds_is_refused_before_anything_is_checked_out(tmp_path: Path) -> None:
    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=tmp_path, env=git_environment(), capture_output=True, text=True, timeout=60, check=False
        )

    def commit(what: str) -> None:
        run("git", "add", "-A")
        identity = ("-c", "user.name=a", "-c", "user.email=a@localhost")
        assert run("git", *identity, "commit", "-q", "-m", what).returncode == 0

    run("git", "init", "-q", "-b", "main")
    (tmp_path / ".ci").mkdir()
    shutil.copy(PIPELINE, tmp_path / ".ci")
    (tmp_path / "Makefile").write_text("repro:\n\ttouch made\n")
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    commit("base")
    (tmp_path / "README").write_text("more\n")
    commit("change")
    (tmp_path / "params.yaml").write_text("seed: 2\n")

    done = run(".ci/pipeline", "main~1")

    assert (done.returncode, "Commit or stash them" in done.stderr) == (2, True)
    assert (tmp_path / "params.yaml").read_text() == "seed: 2\n"
    assert run("git", "rev-parse", "--abbrev-ref", "HEAD").stdout == "main\n"
    assert not (tmp_path / "made").exists()
