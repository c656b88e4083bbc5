"""Training by dvc here and by Kubeflow there: started again it goes on, and a refusal is told from a failure."""

import os
import subprocess
import sys

import pytest
import yaml

from fraudline.core.errors import GateFailed, UnavailableError
from fraudline.core.files import write_json, write_text
from fraudline.ops.pipeline_server import PipelineServer
from fraudline.ops.reproduce import DvcTrainer, ServerTrainer
from tests.support.kfp_server import KfpServer


@pytest.fixture
def server():
    with KfpServer() as running:
        yield running


def on(server, tmp_path):
    compiled = tmp_path / "pipeline.yaml"
    write_text(compiled, yaml.safe_dump({"pipelineInfo": {"name": "p"}, "root": {"dag": {"tasks": {}}}}))
    return ServerTrainer(PipelineServer(server.url), compiled, lambda: {})


def test_a_run_on_a_server_is_made_once_and_asked_about_afterwards(server, tmp_path):
    trainer = on(server, tmp_path)
    first, second = trainer.train("abc", -1), trainer.train("abc", -1)
    assert (trainer.holds("abc"), trainer.holds("other")) == (True, False)
    assert first["state"] == second["state"] == "submitted"
    assert first["run_id"] == second["run_id"]
    assert [run["display_name"] for run in server.runs.values()] == ["fraudline-retrain-abc"]
    server.runs[first["run_id"]]["state"] = "SUCCEEDED"
    assert trainer.train("abc", -1)["state"] == "trained"


def test_a_run_that_failed_on_a_server_is_a_refusal_with_the_step_that_failed(server, tmp_path):
    trainer = on(server, tmp_path)
    run = server.runs[trainer.train("abc", -1)["run_id"]]
    task = {"display_name": "gate", "state": "FAILED", "error": {"code": 2, "message": "ap fell"}}
    run |= {"state": "FAILED", "run_details": {"task_details": [task]}}
    with pytest.raises(GateFailed, match="gate: ap fell"):
        trainer.train("abc", -1)


def test_a_refusal_names_the_task_beside_its_group_also_where_the_server_says_no_reason(server, tmp_path):
    trainer = on(server, tmp_path)
    run = server.runs[trainer.train("abc", -1)["run_id"]]
    tasks = [{"display_name": name, "state": "FAILED"} for name in ("exit-handler-1", "model blessed")]
    run |= {"state": "FAILED", "run_details": {"task_details": tasks}}
    with pytest.raises(GateFailed, match="failed: exit-handler-1, model blessed Read"):
        trainer.train("abc", -1)


def test_a_run_that_a_person_stopped_on_a_server_is_over(server, tmp_path):
    trainer = on(server, tmp_path)
    server.runs[trainer.train("abc", -1)["run_id"]] |= {"state": "CANCELED"}
    with pytest.raises(GateFailed, match="canceled"):
        trainer.train("abc", -1)


@pytest.fixture
def handle(tmp_path):
    """Descriptor of a renewal's lock."""
    opened = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    yield opened
    os.close(opened)


def a_stage(folder, source, name="gate", outs=()):
    (folder / ".dvc").mkdir()
    write_text(folder / ".dvc" / "config", "[core]\n    no_scm = true\n    analytics = false\n")
    write_text(folder / "stage.py", source)
    stage = {"cmd": f"{sys.executable} stage.py", "outs": list(outs)}
    write_text(folder / "dvc.yaml", yaml.safe_dump({"stages": {name: stage}}))


def test_a_lock_file_that_a_kill_left_half_written_stops_no_later_look(tmp_path, handle):
    a_stage(tmp_path, "")
    write_json(tmp_path / "build" / "package" / "package.json", {"digest": "d", "uri": "u"})
    write_text(tmp_path / ".dvc" / "tmp" / "rwlock", "")
    assert DvcTrainer(tmp_path, tmp_path / "logs").train("abc", handle)["digest"] == "d"


@pytest.fixture
def sleeper():
    """Starts processes that wait, with arguments, and ends them."""
    started = []

    def start(*arguments):
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", *arguments])
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def held_by(process, folder):
    """A lock file of dvc which says that a process writes the stage's output."""
    a_stage(folder, "open('model', 'w').write('m')\n", name="train", outs=["model"])
    write_json(folder / "build" / "package" / "package.json", {"digest": "d", "uri": "u"})
    holder = {"pid": process.pid, "cmd": "dvc repro"}
    write_json(folder / ".dvc" / "tmp" / "rwlock", {"write": {str(folder / "model"): holder}, "read": {}})


@pytest.mark.parametrize("killed", [True, False], ids=["killed and not asked for yet", "another's number"])
def test_a_lock_of_a_process_that_is_gone_stops_no_later_look(tmp_path, handle, sleeper, killed):
    process = sleeper(*(["-m", "dvc", "repro"] if killed else []))
    held_by(process, tmp_path)
    if killed:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table of processes
    assert DvcTrainer(tmp_path, tmp_path / "logs").train("abc", handle)["state"] == "trained"


def test_a_lock_of_a_dvc_that_runs_is_left_to_it(tmp_path, handle, sleeper):
    held_by(sleeper("-m", "dvc", "repro"), tmp_path)
    with pytest.raises(UnavailableError, match="busy"):
        DvcTrainer(tmp_path, tmp_path / "logs").train("abc", handle)
    assert (tmp_path / ".dvc" / "tmp" / "rwlock").is_file()


@pytest.mark.parametrize("left", [0, 20, -8])
def test_a_record_of_dvc_that_a_kill_left_cut_is_put_back_and_nothing_is_trained_twice(tmp_path, left, handle):
    a_stage(tmp_path, "open('runs', 'a').write('x')\nopen('model', 'w').write('m')\n", name="train", outs=["model"])
    write_json(tmp_path / "build" / "package" / "package.json", {"digest": "d", "uri": "u"})
    record, trainer = tmp_path / "dvc.lock", DvcTrainer(tmp_path, tmp_path / "logs")
    trainer.train("abc", handle)
    whole = record.read_bytes()
    trainer.train("abc", handle)
    record.write_bytes(whole[:left])
    assert trainer.train("abc", handle)["digest"] == "d"
    assert list(yaml.safe_load(record.read_text())["stages"]["train"]) == ["cmd", "outs"]
    assert (tmp_path / "runs").read_text() == "x"


def test_a_first_record_of_dvc_that_a_kill_left_empty_is_made_again(tmp_path, handle):
    a_stage(tmp_path, "open('model', 'w').write('m')\n", name="train", outs=["model"])
    write_json(tmp_path / "build" / "package" / "package.json", {"digest": "d", "uri": "u"})
    write_text(tmp_path / "dvc.lock", "")
    assert DvcTrainer(tmp_path, tmp_path / "logs").train("abc", handle)["digest"] == "d"
    assert "train" in yaml.safe_load((tmp_path / "dvc.lock").read_text())["stages"]


def test_a_model_that_was_there_is_found_and_one_that_an_earlier_look_of_the_run_trained_is_trained(tmp_path, handle):
    """A look may be killed, or fail, after its training: the next one has nothing to train, yet the run did."""
    a_stage(tmp_path, "import pathlib\npathlib.Path('model').write_text('m')\n", name="train", outs=["model"])
    write_json(tmp_path / "build" / "package" / "package.json", {"digest": "d", "uri": "u"})
    states = [DvcTrainer(tmp_path, tmp_path / "logs").train(run, handle)["state"] for run in ("a", "a", "b", "b")]
    assert states == ["trained", "trained", "found", "found"]


@pytest.mark.parametrize(("code", "kind"), [(4, GateFailed), (8, UnavailableError)])
def test_a_stage_that_refuses_ends_the_run_and_one_that_fails_does_not(tmp_path, code, kind, handle):
    a_stage(tmp_path, f"import sys\nsys.stderr.write('error: ap fell\\n')\nsys.exit({code})\n")
    with pytest.raises(kind, match="ap fell"):
        DvcTrainer(tmp_path, tmp_path / "logs").train("abc", handle)
    write_text(tmp_path / "stage.py", "")
    write_json(tmp_path / "build" / "package" / "package.json", {"digest": "d", "uri": "u"})
    assert DvcTrainer(tmp_path, tmp_path / "logs").train("abc", handle)["digest"] == "d"
