"""The loop, once, on a real broker, a real registry (MLflow on sqlite), a real remote and real dvc: `make test-loop`.

A worker decides what comes after the data set; labels arrive on their topic; `data collect` proposes the matured days;
`retrain` runs dvc on them, and its blessed model asks for promotion. Once: each is done again, and nothing is doubled.
"""

import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml

from fraudline.cli.options import with_environment
from fraudline.core.clock import clock_at, from_us, to_us
from fraudline.core.errors import GateFailed
from fraudline.core.files import local_path, read_json, write_text
from fraudline.data.generate import generate
from fraudline.data.store import days, read_labels, read_transactions, write_dataset
from fraudline.ops.registry import CHALLENGER, CHAMPION, Registry
from fraudline.steps.collect import collect
from fraudline.steps.matured import Window, decided_on_topic, matured
from fraudline.steps.params import Params
from fraudline.steps.promote import promote
from fraudline.steps.retrain_journal import JOURNAL, read_journal
from fraudline.stream.labels import newest, read_label_topic, send_labels
from fraudline.stream.messages import Label
from fraudline.stream.topics import ensure_topics
from tests.support.broker import own_params
from tests.support.datasets import SMALL
from tests.support.gitops import Forge
from tests.support.transactions import DAY, START
from tests.support.workers import WorkerProcess, send_table, wait_until_committed

ROOT = Path(__file__).parents[2]
BEFORE, AFTER = 45, 14
END = from_us(START) + timedelta(days=BEFORE + AFTER + 8)
SETTINGS = {
    "split": {"warmup_days": 10, "validation_days": 6, "test_days": 7},
    "train": {
        "bottlenecks": [3],
        "surprise_bottlenecks": [],
        "epochs": 2,
        "max_rows": 8_000,
        "trim": {"rounds": 1, "min_frauds": 20},
    },
    "evaluate": {"bootstrap": {"resamples": 50}, "baselines": []},
    "gate": {"rules": [{"metric": "roc_auc", "min": 0.2}]},
    "monitor": {"label_rows_min": 5},
    "renew": {"schedule_days": 0, "on_data": True, "window_weeks": 9, "debounce_hours": 0},
}


def run(folder: Path, *command: str) -> str:
    """A command of the environment in a folder."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def traffic():
    transactions, labels = generate(SMALL, days=BEFORE + AFTER)
    later = pc.greater_equal(transactions["event_time"].cast("int64"), START + BEFORE * DAY)
    return transactions.filter(pc.invert(later)), transactions.filter(later), labels


@pytest.fixture(scope="module")
def house(tmp_path_factory, kafka, traffic):
    """A repository with data, pipeline and a first champion, as a user has it."""
    folder = tmp_path_factory.mktemp("loop")
    forge = Forge(folder)
    work, stream = forge.work, own_params(folder, kafka.bootstrap, partitions=2, review_sample=0.5)
    settings = (
        yaml.safe_load((ROOT / "params.yaml").read_text())
        | SETTINGS
        | {
            "rollout": forge.rules,
            "registry": {"tracking_uri": f"sqlite:///{folder}/mlflow.db", "model_name": "loop"},
            "stream": stream.model_dump(mode="json", exclude_defaults=True),
        }
    )
    del settings["champion"]
    write_text(work / "params.yaml", 'champion: ""\n' + yaml.safe_dump(settings))
    shutil.copy(ROOT / "dvc.yaml", work)
    shutil.copytree(ROOT / "src", work / "src", ignore=shutil.ignore_patterns("__pycache__"))
    write_text(work / ".gitignore", "/src\n/build\n/artifacts\n/renewal\n/mlartifacts\n/data\n")
    run(work, "dvc", "init", "-q")
    run(work, "dvc", "remote", "add", "-q", "-d", "store", ".dvc-store")
    before, _, labels = traffic
    known = labels.filter(pc.less(labels["label_time"].cast("int64"), START + BEFORE * DAY))
    write_dataset(work / "data", before, known, {"name": "loop"})
    run(work, "dvc", "add", "-q", "data")
    run(work, "dvc", "push", "-q")
    run(work, "dvc", "repro")
    forge.land("data and pipeline")
    first = promote(to="production", key=forge.key, params=params_of(forge), repo=work)
    forge.merge(first["branch"])
    return forge


def params_of(forge: Forge) -> Params:
    return with_environment(Params.load(forge.work / "params.yaml"))


@pytest.fixture(scope="module")
def decided(house, traffic):
    """The worker has decided what came after, and the labels of the first days have arrived."""
    params, (_, after, labels) = params_of(house), traffic
    model = local_path(params.champion)
    ensure_topics(params.stream)
    send_table(params.stream, after)
    with WorkerProcess(house.folder, params.stream, model) as worker:
        wait_until_committed(params.stream, worker)
    arrived = [
        Label(row["transaction_id"], True, "chargeback", 1, to_us(row["label_time"]), row["fraud_kind"], "scheme")
        for row in labels.to_pylist()
    ]
    assert send_labels(arrived, params.stream) == len(arrived)
    return house


@pytest.fixture(scope="module")
def collected(decided):
    with clock_at(END):
        return collect(params=params_of(decided), repo=decided.work, now=END)


def retrain(house: Forge) -> dict:
    command = ("fraudline", "retrain", "--if-needed", "--key", str(house.key), "--json")
    return json.loads(run(house.work, *command).splitlines()[-1])


def test_matured_days_become_the_next_version_of_the_data_on_a_branch(decided, collected, tmp_path):
    assert collected["action"] == "proposed"
    assert collected["days"][1] == (END - timedelta(days=9)).date().isoformat()
    assert collected["new"] > 1_000
    assert collected["branch"] in decided.branches()
    subprocess.run(
        ["git", "clone", "-q", "-b", collected["branch"], str(decided.remote), str(tmp_path / "c")], check=True
    )
    run(tmp_path / "c", "dvc", "pull", "-q", "data.dvc")
    found = days(tmp_path / "c" / "data")
    assert len(found) == BEFORE + AFTER
    assert read_labels(tmp_path / "c" / "data").num_rows > 50
    assert read_json(tmp_path / "c" / "data" / "dataset.json")["collected"]["gone"] == 0


def test_the_rows_that_were_collected_are_those_that_were_sent(decided, collected, traffic, tmp_path):
    subprocess.run(
        ["git", "clone", "-q", "-b", collected["branch"], str(decided.remote), str(tmp_path / "c")], check=True
    )
    run(tmp_path / "c", "dvc", "pull", "-q", "data.dvc")
    found = read_transactions(tmp_path / "c" / "data", start=(from_us(START) + timedelta(days=BEFORE)).date())
    sent = traffic[1].sort_by([("event_time", "ascending"), ("transaction_id", "ascending")])
    ids = found["transaction_id"].combine_chunks()
    assert found.equals(sent.filter(pc.is_in(sent["transaction_id"], ids)).cast(found.schema))
    assert sent.num_rows - found.num_rows == collected["unknown"]


def test_collected_twice_it_is_the_same_branch_and_commit(decided, collected):
    with clock_at(END):
        again = collect(params=params_of(decided), repo=decided.work, now=END)
    assert again == collected | {"pushed": False}


def test_performance_of_matured_labels_covers_what_was_blocked(decided):
    params = params_of(decided)
    found = matured(
        decisions=decided_on_topic(params),
        labels=newest(read_label_topic(params.stream)),
        window=Window.before(to_us(END), 7),
        params=params,
    )
    assert found["frauds"] > 5
    assert 0 <= found["figures"]["recall"]["value"] <= 1
    assert found["covers"] == "all"


def test_new_data_brings_one_run_one_version_and_one_request(decided, collected):
    decided.merge(collected["branch"])
    run(decided.work, "dvc", "pull", "-q", "data.dvc")
    done = retrain(decided)
    assert (done["action"], done["triggers"]) == ("proposed", ["data"])
    assert done["branch"] in decided.branches()
    registry = Registry(params_of(decided).registry)
    challenger, champion = registry.resolve(CHALLENGER), registry.resolve(CHAMPION)
    assert challenger.digest == done["digest"] != champion.digest
    again = retrain(decided)
    assert again["action"] == "wait"
    begun = [line for line in read_journal(decided.work / "renewal" / JOURNAL) if line.get("state") == "begun"]
    assert len(begun) == 1
    requests = [
        branch for branch in decided.branches() if branch.startswith("promote/") and done["digest"][:12] in branch
    ]
    assert len(requests) == 1
    decided.merge(done["branch"])
    assert decided.state().weights() == {champion.digest: 90, done["digest"]: 10}


def test_a_poisoned_batch_is_stopped_before_training_and_its_cards_and_days_are_named(decided, collected, traffic):
    """Among honest purchases of three days six cards repeat known frauds, and nobody reports them."""
    _, after, labels = traffic
    params = params_of(decided)
    honest = generate(SMALL, first_day=BEFORE + AFTER, days=3)[0]
    frauds = after.filter(pc.is_in(after["transaction_id"], labels["transaction_id"].combine_chunks())).to_pylist()
    rows, base = [], START + (BEFORE + AFTER) * DAY
    for number in range(360):
        at = from_us(base + (number % 3) * DAY + number * 200_000_000 % DAY)
        changed = {"transaction_id": f"p{number}", "card_id": f"c9990{number % 6}", "event_time": at}
        rows.append(frauds[number % len(frauds)] | changed)
    table = pa.concat_tables([honest, pa.Table.from_pylist(rows, schema=after.schema)]).sort_by("event_time")
    send_table(params.stream, table)
    with WorkerProcess(decided.folder, params.stream, local_path(params.champion)) as worker:
        wait_until_committed(params.stream, worker)
    later, before = END + timedelta(days=5), decided.branches()
    with clock_at(later), pytest.raises(GateFailed, match=r"poisoned.*cards .*c9990\d.*days 2026-03-0"):
        collect(params=params, repo=decided.work, now=later)
    assert decided.branches() == before
    without = params.renew.model_copy(update={"leave_out": tuple(f"c9990{number}" for number in range(6))})
    with clock_at(later):
        done = collect(params=params.model_copy(update={"renew": without}), repo=decided.work, now=later)
    assert (done["action"], done["left_out"]) == ("proposed", 360)
