"""Submission, schedules and status, by the real client against a stand-in server that speaks v2beta1."""

import json
import socket

import pytest
from click.testing import CliRunner

from fraudline.cli.main import cli
from fraudline.core.errors import UnavailableError, UsageError
from fraudline.ops import tracking
from fraudline.ops.gitops.repository import git
from fraudline.ops.mlflow_client import connect
from fraudline.ops.params import RegistryParams
from fraudline.ops.pipeline import arguments_of
from fraudline.ops.pipeline_server import WEEKLY, PipelineServer
from fraudline.steps.params import Params
from pipelines.training import GOLDEN
from tests.support.kfp_server import KfpServer

MD5 = "0123456789abcdef0123456789abcdef.dir"
ARGUMENTS = arguments_of(Params(), data_dvc="data.dvc", repo="https://git.test/r", revision="abc", md5=MD5)


@pytest.fixture
def kfp():
    with KfpServer() as server:
        yield server


def cached(run):
    """Task to whether the server may answer it from the cache."""
    spec = run["pipeline_spec"].get("pipeline_spec", run["pipeline_spec"])
    groups = {name: each["dag"]["tasks"] for name, each in spec["components"].items() if "dag" in each}
    return {
        name: task.get("cachingOptions", {}).get("enableCache", False)
        for tasks in groups.values()
        for name, task in tasks.items()
        if task["componentRef"]["name"] not in groups
    }


def test_a_run_carries_the_pipeline_its_arguments_and_its_experiment(kfp):
    run = PipelineServer(kfp.url + "/").submit(GOLDEN, ARGUMENTS, experiment="nightly")
    assert run.url == f"{kfp.url}/#/runs/details/{run.run_id}"
    kept = kfp.runs[run.run_id]
    assert kept["runtime_config"]["parameters"] == ARGUMENTS
    assert kfp.experiments[kept["experiment_id"]]["display_name"] == "nightly"


def test_a_password_in_the_address_of_mlflow_is_in_no_parameters_that_others_see(kfp):
    registry = RegistryParams(tracking_uri="https://ada:hush@mlflow.test/x")
    given = arguments_of(Params(registry=registry), data_dvc="data.dvc", repo="https://git.test/r", md5=MD5)
    server = PipelineServer(kfp.url)
    server.submit(GOLDEN, given, experiment="e")
    server.schedule(GOLDEN, given, experiment="e", name="weekly")
    (run,), (schedule,) = kfp.runs.values(), kfp.recurring.values()
    for kept in (run, schedule):
        assert kept["runtime_config"]["parameters"]["params"]["registry"]["tracking_uri"] == "https://mlflow.test/x"
        assert "hush" not in json.dumps(kept)
    assert given["params"]["registry"]["tracking_uri"] == registry.tracking_uri, "the caller's own stay"


def test_steps_with_side_effects_are_not_cached_on_the_server_either(kfp):
    run = PipelineServer(kfp.url).submit(GOLDEN, ARGUMENTS, experiment="e")
    said = cached(kfp.runs[run.run_id])
    assert {name for name, is_cached in said.items() if not is_cached} == {
        "fetch",
        "package",
        "promote",
        "register",
        "report-cost",
    }
    assert said["train"] is True


def test_the_experiment_that_is_there_is_used_again(kfp):
    server = PipelineServer(kfp.url)
    for _ in range(2):
        server.submit(GOLDEN, ARGUMENTS, experiment="e")
    assert len(kfp.experiments) == 1
    assert len(kfp.runs) == 2


def test_a_schedule_is_weekly_one_at_a_time_and_catches_nothing_up(kfp):
    made = PipelineServer(kfp.url).schedule(GOLDEN, ARGUMENTS, experiment="e", name="weekly")
    kept = kfp.recurring[made.schedule_id]
    assert kept["trigger"]["cron_schedule"]["cron"] == made.cron == WEEKLY
    assert (int(kept["max_concurrency"]), kept["no_catchup"], kept["mode"]) == (1, True, "ENABLE")
    assert kept["runtime_config"]["parameters"] == ARGUMENTS


def test_a_schedule_asked_for_again_is_the_one_that_is_there(kfp):
    server = PipelineServer(kfp.url)
    first, again = (server.schedule(GOLDEN, ARGUMENTS, experiment="e", name="weekly") for _ in range(2))
    assert first == again
    assert list(kfp.recurring) == [first.schedule_id]


@pytest.mark.parametrize(
    "changed", [{"cron": "0 0 7 * * 1"}, {"arguments": {**ARGUMENTS, "revision": "other"}}], ids=["time", "arguments"]
)
def test_a_schedule_that_changed_takes_the_place_of_the_one_of_its_name_and_of_no_other(kfp, changed):
    server = PipelineServer(kfp.url)
    given = {"compiled": GOLDEN, "arguments": ARGUMENTS, "experiment": "e"}
    other = server.schedule(**given, name="nightly")
    old = server.schedule(**given, name="weekly")
    new = server.schedule(**{**given, **changed}, name="weekly")
    assert new.schedule_id != old.schedule_id
    assert set(kfp.recurring) == {other.schedule_id, new.schedule_id}


def test_a_replacement_that_was_cut_short_is_ended_by_the_next_call(kfp):
    server = PipelineServer(kfp.url)
    made = server.schedule(GOLDEN, ARGUMENTS, experiment="e", name="weekly")
    kfp.recurring["left"] = {**kfp.recurring[made.schedule_id], "recurring_run_id": "left", "description": "older"}
    assert server.schedule(GOLDEN, ARGUMENTS, experiment="e", name="weekly") == made
    assert list(kfp.recurring) == [made.schedule_id]


def test_a_schedule_in_the_five_fields_of_a_crontab_is_refused(kfp):
    with pytest.raises(UsageError, match="six fields"):
        PipelineServer(kfp.url).schedule(GOLDEN, ARGUMENTS, experiment="e", name="n", cron="0 6 * * 1")
    assert not kfp.recurring


def test_the_status_tells_of_each_task(kfp):
    server = PipelineServer(kfp.url)
    run = server.submit(GOLDEN, ARGUMENTS, experiment="e", name="first")
    times = {"start_time": "2026-01-05T06:00:00Z", "end_time": "2026-01-05T06:01:30Z"}
    later = {"start_time": "2026-01-05T06:01:40Z"}
    kfp.runs[run.run_id] |= {
        "state": "FAILED",
        "error": {"code": 9, "message": "gate refused"},
        "run_details": {
            "task_details": [
                {"display_name": "accept", "state": "SKIPPED"},
                {"display_name": "gate", "state": "FAILED", "error": {"code": 4, "message": "exit code 4"}, **later},
                {"display_name": "train", "state": "SUCCEEDED", **times},
            ]
        },
    }
    status = server.status(run.run_id)
    assert (status.name, status.state, status.error) == ("first", "FAILED", "gate refused")
    train, gate, accept = status.tasks  # as they began; what did not begin, last
    assert (train.name, train.state, train.seconds) == ("train", "SUCCEEDED", 90.0)
    assert (gate.name, gate.error, gate.seconds) == ("gate", "exit code 4", None)
    assert accept.name == "accept"


def test_a_run_that_the_server_does_not_know_is_named(kfp):
    with pytest.raises(UsageError, match="run nobody"):
        PipelineServer(kfp.url).status("nobody")


def test_a_refusal_is_quoted(kfp):
    kfp.refuse = 503
    with pytest.raises(UnavailableError, match="not today.*try again"):
        PipelineServer(kfp.url).submit(GOLDEN, ARGUMENTS, experiment="e")
    kfp.refuse = 400
    with pytest.raises(UnavailableError, match="not today.*2.16 or newer"):
        PipelineServer(kfp.url).submit(GOLDEN, ARGUMENTS, experiment="e")


def test_a_token_is_sent():
    token = "t0k3n"  # noqa: S105
    with KfpServer(token=token) as server:
        with pytest.raises(UnavailableError, match="who are you.*FRAUDLINE_KFP_TOKEN"):
            PipelineServer(server.url).submit(GOLDEN, ARGUMENTS, experiment="e")
        PipelineServer(server.url, token=token).submit(GOLDEN, ARGUMENTS, experiment="e")
        assert len(server.runs) == 1


def test_a_server_that_does_not_answer_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UnavailableError, match=host):
            PipelineServer(host).submit(GOLDEN, ARGUMENTS, experiment="e")


def test_a_missing_file_says_how_to_compile_it(tmp_path):
    with pytest.raises(UsageError, match=r"pipelines\.training"):
        PipelineServer("http://127.0.0.1:1").submit(tmp_path / "none.yaml", {}, experiment="e")


def invoke(*arguments):
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def test_the_commands_submit_schedule_and_tell(kfp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.dvc").write_text(f"outs:\n- md5: {MD5}\n  path: data\n")
    where = ("--host", kfp.url, "--repo", "https://git.test/r", "--compiled", GOLDEN, "--json")
    run = json.loads(invoke("pipeline", "submit", *where, "--revision", "abc").stdout)
    assert kfp.runs[run["run_id"]]["runtime_config"]["parameters"]["md5"] == MD5
    assert kfp.runs[run["run_id"]]["display_name"].startswith(f"{GOLDEN.stem} abc 2")
    made = json.loads(invoke("pipeline", "schedule", *where, "--train-days", "30").stdout)
    parameters = kfp.recurring[made["schedule_id"]]["runtime_config"]["parameters"]
    assert (parameters["revision"], parameters["md5"]) == ("main", "")
    assert parameters["params"]["split"]["train_days"] == 30
    kfp.runs[run["run_id"]]["state"] = "RUNNING"
    assert (
        json.loads(invoke("pipeline", "status", run["run_id"], "--host", kfp.url, "--json").stdout)["state"]
        == "RUNNING"
    )
    kfp.runs[run["run_id"]]["state"] = "FAILED"
    told = invoke("pipeline", "status", run["run_id"], "--host", kfp.url)
    assert told.exit_code == 1
    assert "FAILED" in told.stdout


def test_a_model_is_proposed_where_submit_or_schedule_names_an_environment(kfp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "-q")
    where = ("--host", kfp.url, "--repo", "https://git.test/r", "--compiled", GOLDEN, "--promote-to", "production")
    with pytest.raises(UsageError, match="no Git remote named origin"):
        raise invoke("pipeline", "submit", *where, "--revision", "abc", "--md5", MD5).exception
    git(tmp_path, "remote", "add", "origin", "https://ada:s3cret@git.test/fraud.git")
    assert invoke("pipeline", "submit", *where, "--revision", "abc", "--md5", MD5).exit_code == 0
    assert invoke("pipeline", "schedule", *where).exit_code == 0
    (run,), (schedule,) = kfp.runs.values(), kfp.recurring.values()
    for made in (run, schedule):
        given = made["runtime_config"]["parameters"]
        assert given["promote_to"] == "production"
        assert given["params"]["rollout"]["forge"]["remote"] == "https://git.test/fraud.git"  # what a pod can reach


def test_the_mlflow_run_of_a_pipeline_that_was_not_taken_ends(kfp, tmp_path, monkeypatch, tracker):
    store = connect(tracker.tracking_uri)
    monkeypatch.setattr(tracking, "connect", lambda uri: store)
    told = f"registry: {{tracking_uri: http://mlflow.test, experiment: {tracker.experiment}}}\n"
    (tmp_path / "params.yaml").write_text(told)
    where = ("--host", kfp.url, "--repo", "https://git.test/r", "--compiled", GOLDEN, "--revision", "abc", "--md5", MD5)

    def submitted():
        invoke("pipeline", "submit", *where, "--params", tmp_path / "params.yaml")
        runs = store.search_runs([store.get_experiment_by_name(tracker.experiment).experiment_id])
        return sorted(run.info.status for run in runs)

    kfp.refuse = 503
    assert submitted() == ["FAILED"]
    kfp.refuse = None
    assert submitted() == ["FAILED", "RUNNING"]
