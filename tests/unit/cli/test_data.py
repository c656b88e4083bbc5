import json
import subprocess

import pytest
from click.testing import CliRunner

from fraudline.cli.main import cli
from fraudline.core.errors import UsageError
from fraudline.data.store import read_meta, read_transactions
from fraudline.steps.collect_stream import Stream


def test_generate_writes_the_set_it_describes(tmp_path):
    folder = tmp_path / "data"
    arguments = ["data", "generate", "-o", str(folder), "--days", "10", "--cards", "60", "--seed", "3", "--json"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    said = json.loads(result.stdout)
    assert said == read_meta(folder)
    assert said["days"] == 10
    assert said["transactions"] == read_transactions(folder).num_rows
    assert said["generator"]["seed"] == 3


def test_import_brings_a_table_by_its_mapping(tmp_path):
    source, mapping = tmp_path / "bank.csv", tmp_path / "map.yaml"
    result = CliRunner().invoke(cli, ["data", "import", "table", "--help"])
    assert "--mapping" in result.stdout
    source.write_text("a,b\n1,2\n")
    mapping.write_text("nonsense: 1\n")
    folder = tmp_path / "data"
    failed = CliRunner().invoke(
        cli, ["data", "import", "table", str(source), "--mapping", str(mapping), "-o", str(folder)]
    )
    assert failed.exit_code != 0
    assert not folder.exists()


def test_a_folder_with_other_files_is_not_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="something else than a data set"):
        CliRunner().invoke(cli, ["data", "generate", "-o", str(tmp_path), "--days", "1"], catch_exceptions=False)
    assert (tmp_path / "thesis.txt").is_file()


def test_a_collect_that_finds_nothing_new_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("fraudline.steps.collect.read_stream", lambda *_: Stream({}, {}, {}))
    monkeypatch.chdir(tmp_path)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for words in (["init", "-q", "--bare", "-b", "main", "remote.git"], ["clone", "-q", "remote.git", "work"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    for words in (["checkout", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "first"],
                  ["push", "-q", "origin", "main"]):  # fmt: skip
        subprocess.run([*git, "-C", "work", *words], check=True)
    result = CliRunner().invoke(cli, ["data", "collect", "--repo", "work"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "nothing new" in result.stderr
