import json
import subprocess

import pytest
from click.testing import CliRunner

from fraudline.cli.main import cli
from fraudline.core.clock import from_us
from fraudline.core.errors import DataError, UsageError
from fraudline.data.store import read_meta, read_transactions
from fraudline.steps.collect_stream import Stream
from fraudline.steps.matured import Decided
from fraudline.stream.messages import Transaction
from tests.support.datasets import small_dataset
from tests.support.transactions import DAY, START, transaction


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


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A repository whose remote has a first commit on main, and no transactions on the stream."""
    monkeypatch.setattr("fraudline.steps.collect.read_stream", lambda *_: Stream({}, {}, {}))
    monkeypatch.chdir(tmp_path)
    git("init", "-q", "--bare", "-b", "main", "remote.git")
    git("clone", "-q", "remote.git", "work")
    git("-C", "work", "checkout", "-q", "-b", "main")
    git("-C", "work", "commit", "-q", "--allow-empty", "-m", "first")
    git("-C", "work", "push", "-q", "origin", "main")
    return tmp_path / "work"


def git(*words):
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    subprocess.run(["git", *who, *words], check=True, capture_output=True)


def collect(*words):
    return CliRunner().invoke(cli, ["data", "collect", "--repo", "work", *words])


def test_a_collect_that_finds_nothing_new_says_so(work):
    result = collect()
    assert result.exit_code == 0
    assert "nothing new" in result.stderr


def test_real_transactions_are_not_collected_onto_a_generated_data_set(work, monkeypatch):
    (work / "data.dvc").write_text(f"outs:\n- md5: {'a' * 32}.dir\n  hash: md5\n  path: data\n")
    git("-C", "work", "add", "data.dvc")
    git("-C", "work", "commit", "-q", "-m", "data")
    git("-C", "work", "push", "-q", "origin", "main")
    written = []

    def dvc(tree, command, *_):
        if command == "pull":
            small_dataset(tree, "data")

    def checked(tree, folder, *_):
        written.append(read_meta(folder))
        raise DataError("Enough was seen.", "")

    fresh = transaction(60, transaction_id="new")
    decided = Decided("new", "c", fresh["event_time"], "allow", "m", 0, 0)
    stream = Stream({"new": decided}, {(0, 0): Transaction(**fresh)}, {})
    monkeypatch.setattr("fraudline.steps.collect.read_stream", lambda *_: stream)
    monkeypatch.setattr("fraudline.core.clock.now", lambda: from_us(START + 50 * DAY))
    monkeypatch.setattr("fraudline.steps.collect._dvc", dvc)
    monkeypatch.setattr("fraudline.steps.collect._checked", checked)
    refused = collect()
    assert isinstance(refused.exception, UsageError)
    assert "generated" in refused.exception.problem
    assert "data.dvc" in refused.exception.action
    assert not written
    assert isinstance(collect("--onto-generated").exception, DataError)
    (meta,) = written
    assert meta["generator"]["seed"] == 7
    assert meta["collected"]["new"] == 1
