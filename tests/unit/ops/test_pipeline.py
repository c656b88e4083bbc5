"""Local runs: arguments, errors and progress, with a small pipeline instead of the real steps."""

from unittest.mock import Mock

import pytest
from kfp import compiler, dsl

from fraudline.core.errors import FraudlineError, GateFailed, StateError, UnavailableError, UsageError
from fraudline.ops.params import RegistryParams
from fraudline.ops.pipeline import Containers, _docker, arguments_of, run_local


@dsl.component(base_image="python", install_kfp_package=False)
def write(params: dict, made: dsl.Output[dsl.Dataset]):
    from pathlib import Path

    Path(made.path).write_text(str(params["value"]))


@dsl.component(base_image="python", install_kfp_package=False)
def judge(made: dsl.Input[dsl.Dataset], fail: str):
    import os
    import sys

    from fraudline.core.errors import GateFailed
    from fraudline.core.files import write_json

    if fail == "gate":
        error = GateFailed("ap is too low.", "See blessing.md.")
        record = {"step": "gate", "error": "GateFailed", "problem": error.problem, "action": error.action}
        from pathlib import Path

        write_json(Path(os.environ["FRAUDLINE_ERROR_FILE"]), record)
        sys.exit(4)
    if fail == "crash":
        raise ZeroDivisionError


@dsl.pipeline(name="small")
def small(params: dict, fail: str = ""):
    judge(made=write(params=params).outputs["made"], fail=fail)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    path = tmp_path_factory.mktemp("pipeline") / "small.yaml"
    compiler.Compiler().compile(small, str(path))
    return path


def test_arguments_are_plain_values_without_nulls():
    class Section(RegistryParams):
        nothing: int | None = None

    arguments = arguments_of(Section(), data_dvc="data.dvc", md5="1.dir")
    assert arguments["params"]["model_name"] == "fraudline"
    assert "nothing" not in arguments["params"]
    assert (arguments["data_dvc"], arguments["md5"], arguments["store"]) == ("data.dvc", "1.dir", "artifacts")


def test_a_local_run_keeps_its_outputs_tells_its_progress_and_logs(compiled, tmp_path, capsys):
    seen = []
    run = run_local(
        compiled, {"params": {"value": 7}}, tmp_path / "run", lambda task, state: seen.append((task, state))
    )
    assert run.output("write", "made").read_text() == "7.0"  # Kubeflow makes every number a float
    assert seen == [("write", "started"), ("write", "SUCCESS"), ("judge", "started"), ("judge", "SUCCESS")]
    assert "Executing task" in (tmp_path / "run" / "run.log").read_text()
    assert capsys.readouterr().out == ""
    with pytest.raises(UsageError, match="no output"):
        run.output("write", "nothing")


def test_an_error_of_a_step_comes_back_as_itself(compiled, tmp_path):
    with pytest.raises(GateFailed, match="ap is too low") as caught:
        run_local(compiled, {"params": {"value": 1}, "fail": "gate"}, tmp_path / "run")
    assert caught.value.exit_code == 4
    assert caught.value.action == "See blessing.md."


def test_a_crash_names_the_task_and_the_log(compiled, tmp_path):
    with pytest.raises(FraudlineError, match="judge") as caught:
        run_local(compiled, {"params": {"value": 1}, "fail": "crash"}, tmp_path / "run")
    assert "run.log" in caught.value.action


def test_a_folder_with_other_files_is_not_replaced(compiled, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds something else"):
        run_local(compiled, {}, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").is_file()


def test_a_log_of_that_name_makes_nobodys_folder_an_earlier_run(compiled, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "run.log").write_text("of something else")
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds something else"):
        run_local(compiled, {}, mine)
    assert {path.name: path.read_text() for path in mine.iterdir()} == {
        "run.log": "of something else",
        "thesis.txt": "years of work",
    }


def test_an_earlier_run_is_replaced_also_behind_a_link(compiled, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for value in (1, 2):
        run = run_local(compiled, {"params": {"value": value}}, tmp_path / "link")
    assert run.output("write", "made").read_text() == "2.0"
    assert len(list((tmp_path / "real" / "runs").iterdir())) == 1
    assert "Executing task" in (tmp_path / "real" / "run.log").read_text()


def test_a_second_run_in_the_same_folder_is_refused_while_the_first_goes_on(compiled, tmp_path):
    refused = []

    def again(task, state):
        if state == "started":
            with pytest.raises(StateError, match="Another run is at work") as caught:
                run_local(compiled, {"params": {"value": 2}}, tmp_path / "run")
            refused.append(caught.value.action)

    run = run_local(compiled, {"params": {"value": 1}}, tmp_path / "run", again)
    assert len(refused) == 2
    assert run.output("write", "made").read_text() == "1.0"


def test_a_missing_file_says_how_to_compile_it(tmp_path):
    with pytest.raises(UsageError, match=r"pipelines\.training"):
        run_local(tmp_path / "none.yaml", {}, tmp_path / "run")


def test_a_pipeline_of_other_arguments_is_refused_before_anything_runs(compiled, tmp_path):
    with pytest.raises(UsageError, match="takes no data_dvc, repo"):
        run_local(compiled, {"params": {"value": 1}, "repo": ".", "data_dvc": "data.dvc"}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_containers_without_an_engine_say_so(compiled, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(UnavailableError, match="No container engine"):
        run_local(compiled, {"params": {"value": 1}}, tmp_path / "run", containers=Containers((tmp_path,)))


def test_a_step_in_a_container_can_leave_its_error_wherever_the_run_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("docker.from_env", Mock())
    runner = _docker(Containers((tmp_path / "repository",)), tmp_path / "elsewhere" / "error.json")
    seen = {mount["Target"] for mount in runner.container_run_args["mounts"]}
    assert seen == {str(tmp_path / "repository"), str(tmp_path / "elsewhere")}


@pytest.mark.parametrize("text", ["[1, 2", "just words", "a: 1"])
def test_a_file_that_is_no_compiled_pipeline_is_named(tmp_path, text):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(UsageError, match="no compiled pipeline"):
        run_local(tmp_path / "p.yaml", {}, tmp_path / "run")
    assert not (tmp_path / "run").exists()
