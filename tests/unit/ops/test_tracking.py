"""Tracking: one run from train to register, found by digest, joined by id, or no run at all."""

import re

import pytest
from structlog.testing import capture_logs

from fraudline.core.errors import UnavailableError
from fraudline.ops.mlflow_client import connect
from fraudline.ops.params import RegistryParams
from fraudline.ops.recorders import DATA_TAG, DIGEST_TAG, flatten
from fraudline.ops.tracking import FAILED_TAG, child_run, open_run, step_run


def _run(tracker: RegistryParams, run_id: str):  # type: ignore[no-untyped-def]
    return connect(tracker.tracking_uri).get_run(run_id)


def test_parameters_figures_tags_and_files_of_a_step_are_in_its_run(tracker, tmp_path):
    note = tmp_path / "note.txt"
    note.write_text("hello")
    with step_run("train", tracker) as run:
        run.params({"train": {"epochs": 3, "note": "seen at 4111 1111 1111 1111"}})
        for epoch in range(3):
            run.metric("loss", 1.0 / (epoch + 1), step=epoch)
        run.tag("colour", "blue")
        run.tag("of", "4111111111111111")
        run.artifact(note)
    recorded = _run(tracker, run.run_id)
    assert recorded.data.params["train.epochs"] == "3"
    assert recorded.data.metrics["loss"] == pytest.approx(1 / 3)
    assert recorded.data.tags["colour"] == "blue"
    masked = (recorded.data.params["train.note"], recorded.data.tags["of"])
    assert masked == ("seen at **** **** **** 1111", "************1111"), "no card number leaves"
    assert recorded.data.tags["mlflow.source.git.commit"]
    assert recorded.info.status == "FINISHED"
    history = connect(tracker.tracking_uri).get_metric_history(run.run_id, "loss")
    assert [point.step for point in history] == [0, 1, 2]
    assert [file.path for file in connect(tracker.tracking_uri).list_artifacts(run.run_id)] == ["note.txt"]


def test_a_later_step_joins_the_run_that_made_the_artifact(tracker):
    digest = "d" * 64
    with step_run("train", tracker) as train:
        train.tag(DIGEST_TAG, digest)
    with step_run("evaluate", tracker, digest=digest) as evaluate:
        evaluate.metrics({"overall": {"ap": 0.5}, "note": "text"})  # type: ignore[dict-item]
    assert evaluate.run_id == train.run_id
    assert _run(tracker, train.run_id).data.metrics["overall.ap"] == 0.5


def test_another_artifact_does_not_join_it(tracker):
    with step_run("train", tracker) as train:
        train.tag(DIGEST_TAG, "a" * 64)
    with step_run("evaluate", tracker, digest="b" * 64) as evaluate:
        pass
    assert evaluate.run_id != train.run_id


def test_an_injected_run_is_joined_and_left_open(tracker):
    client = connect(tracker.tracking_uri)
    launched = client.create_run(client.create_experiment(f"{tracker.experiment}-launcher")).info.run_id
    with step_run("train", tracker.model_copy(update={"run_id": launched})) as run:
        run.metric("loss", 1.0)
    assert run.run_id == launched
    assert _run(tracker, launched).info.status == "RUNNING"
    assert _run(tracker, launched).data.metrics["loss"] == 1.0


def test_a_step_that_fails_leaves_a_failed_run_with_what_it_recorded(tracker):
    kept = []

    def fail() -> None:
        with step_run("train", tracker) as run:
            kept.append(run)
            run.metric("loss", 2.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    run = kept[0]
    assert _run(tracker, run.run_id).info.status == "FAILED"
    assert _run(tracker, run.run_id).data.metrics["loss"] == 2.0


def _evaluate(tracker: RegistryParams, *, fails: bool) -> None:
    with step_run("evaluate", tracker, digest="d" * 64):
        if fails:
            raise ZeroDivisionError


def test_a_run_is_failed_from_the_step_that_fails_in_it_until_that_step_succeeds(tracker):
    with step_run("train", tracker) as train:
        train.made("d" * 64)
    with pytest.raises(ZeroDivisionError):
        _evaluate(tracker, fails=True)
    with step_run("cost", tracker, digest="d" * 64):
        pass
    failed = _run(tracker, train.run_id)
    assert (failed.info.status, failed.data.tags[FAILED_TAG]) == ("FAILED", "evaluate")

    _evaluate(tracker, fails=False)
    mended = _run(tracker, train.run_id)
    assert (mended.info.status, mended.data.tags[FAILED_TAG]) == ("FINISHED", "")


def test_a_launchers_run_is_told_which_step_failed_and_stays_the_launchers(tracker):
    launched = open_run(tracker, "pipeline 0123")
    with pytest.raises(ZeroDivisionError):
        _evaluate(tracker.model_copy(update={"run_id": launched}), fails=True)
    run = _run(tracker, launched)
    assert (run.info.status, run.info.run_name, run.data.tags[FAILED_TAG]) == ("RUNNING", "pipeline 0123", "evaluate")


def test_a_training_runs_name_tells_it_from_others_by_date_data_and_model(tracker):
    with step_run("train", tracker) as run:
        run.data(f"{'0a' * 16}.dir")
        run.made("d" * 64)
    assert re.fullmatch(
        r"train 20[\d-]+ \d\d:\d\d, data 0a0a0a0a, model d{12}", _run(tracker, run.run_id).info.run_name
    )


def test_a_run_whose_figures_are_refused_has_failed_and_does_not_go_on(tracker):
    kept = []

    def record() -> None:
        with step_run("train", tracker) as run:
            kept.append(run)
            run.metric("no such name: $", 1.0)

    with pytest.raises(UnavailableError, match=r"\$"):
        record()
    assert _run(tracker, kept[0].run_id).info.status == "FAILED"


def test_work_that_outlasts_a_server_ends_well_and_says_that_it_was_not_recorded(tracker, tracking_server):
    with capture_logs() as said, step_run("train", tracker) as run:
        run.outlast()
        tracking_server.away = True
        run.made("d" * 64)
        run.metric("loss", 1.0)
    assert {each["event"] for each in said if each["log_level"] == "warning"} == {"tracking.not_recorded"}


def test_what_a_server_did_not_take_while_it_was_away_is_recorded_when_it_is_back(tracker, tracking_server):
    with step_run("train", tracker) as run:
        run.outlast()
        tracking_server.away = True
        run.made("d" * 64)
        run.metrics({f"figure_{i}": float(i) for i in range(600)})
        tracking_server.away = False
    recorded = _run(tracker, run.run_id)
    assert (recorded.info.status, recorded.data.tags[DIGEST_TAG]) == ("FINISHED", "d" * 64)
    assert recorded.data.metrics["figure_599"] == 599.0


def test_one_figure_that_a_server_refuses_costs_no_other_of_work_that_outlasts_it(tracker):
    with capture_logs() as said, step_run("train", tracker) as run:
        run.outlast()
        run.params({"epochs": 3})
        run.params({"epochs": 4})  # a parameter is never changed
        run.made("d" * 64)
    recorded = _run(tracker, run.run_id)
    assert (recorded.info.status, recorded.data.tags[DIGEST_TAG]) == ("FINISHED", "d" * 64)
    (warning,) = [each for each in said if each["log_level"] == "warning"]
    assert (warning["event"], warning["calls"]) == ("tracking.not_recorded", 1)
    assert "epochs" in warning["problem"]


def test_a_trial_of_a_search_is_measured_though_the_server_is_away(tracker, tracking_server):
    with capture_logs() as said, step_run("tune", tracker) as parent:
        parent.outlast()
        with child_run(parent, "0", tracker) as trial:
            tracking_server.away = True
            trial.metric("ap", 0.5)
        with child_run(parent, "1", tracker) as unheard:
            unheard.metric("ap", 0.6)
        tracking_server.away = False
    assert not unheard.run_id
    assert {each["event"] for each in said if each["log_level"] == "warning"} == {"tracking.not_recorded"}
    assert _run(tracker, parent.run_id).info.status == "FINISHED"


def test_a_server_that_goes_away_hides_no_error_of_the_step(tracker, tracking_server):
    def fail() -> None:
        with step_run("evaluate", tracker) as run:
            run.metric("loss", 1.0)
            tracking_server.away = True
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_a_server_that_goes_away_fails_a_step_that_can_be_run_again(tracker, tracking_server):
    def record() -> None:
        with step_run("evaluate", tracker) as run:
            tracking_server.away = True
            run.metric("loss", 1.0)

    with pytest.raises(UnavailableError, match="Connection refused"):
        record()


def test_the_data_set_is_an_input_of_the_run_also_where_a_try_again_names_it_twice(tracker):
    md5 = f"{'0a' * 16}.dir"
    with step_run("train", tracker) as run:
        run.data(md5)
        run.data(md5)
    (given,) = _run(tracker, run.run_id).inputs.dataset_inputs
    assert (given.dataset.digest, given.dataset.source_type) == (md5, "dvc")
    assert _run(tracker, run.run_id).data.tags[DATA_TAG] == md5


def test_a_pipelines_run_says_which_code_it_is_of_like_a_steps(tracker):
    pipeline = open_run(tracker, "pipeline")
    with step_run("train", tracker) as run:
        pass
    said = [_run(tracker, run_id).data.tags for run_id in (pipeline, run.run_id)]
    for name in ("mlflow.source.git.commit", "mlflow.source.name", "fraudline.dirty"):
        assert said[0][name] == said[1][name] != "", "MLflow shows a revision beside the name of a source"


def test_without_an_address_nothing_is_recorded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with step_run("train", RegistryParams(tracking_uri="")) as run:
        run.params({"a": 1})
        run.metrics({"b": 2.0})
        run.metric("c", 3.0)
        run.tag("d", "e")
        run.data("f")
        run.artifact(tmp_path)
    assert run.run_id == ""
    assert not list(tmp_path.iterdir())


def test_a_store_that_cannot_be_opened_says_what_to_correct():
    tracker = RegistryParams(tracking_uri="sqlite:////proc/none/mlflow.db")
    with pytest.raises(UnavailableError, match="tracking_uri"), step_run("train", tracker):
        pass


def test_names_are_dotted():
    assert flatten({"a": {"b": {"c": 1}}, "d": 2}) == {"a.b.c": 1, "d": 2}
