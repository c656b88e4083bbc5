"""What components stand on: parameters from Kubeflow's floats, exit codes, pages and curves."""

import json

import pytest
import structlog

from fraudline.core.errors import GateFailed, UsageError, ValidationFailed
from fraudline.core.files import read_json, write_json, write_text
from fraudline.ops.local.process import free_port
from fraudline.steps import component
from fraudline.steps.params import Params


@pytest.fixture(autouse=True)
def _default_logging():
    """A component configures logging for its process; here the next test shares the process."""
    yield
    structlog.reset_defaults()


def test_parameters_survive_the_floats_of_kubeflow():
    values = Params().model_dump(mode="json", by_alias=True, exclude_none=True)

    def floats(value):
        if isinstance(value, dict):
            return {key: floats(item) for key, item in value.items()}
        if isinstance(value, list):
            return [floats(item) for item in value]
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    parsed = component.parameters(floats(values), {})
    assert parsed == Params()
    assert parsed.model_dump_json() == Params().model_dump_json()


def test_an_injected_run_and_address_are_taken():
    parsed = component.parameters({}, {"MLFLOW_RUN_ID": "abc", "MLFLOW_TRACKING_URI": "http://mlflow.test"})
    assert parsed.registry.run_id == "abc"
    assert parsed.registry.tracking_uri == "http://mlflow.test"


def test_an_unknown_parameter_is_named():
    with pytest.raises(UsageError, match="sead"):
        component.parameters({"sead": 1}, {})


def test_an_error_ends_the_process_with_its_code_and_leaves_a_record(tmp_path):
    record = tmp_path / "error.json"
    with pytest.raises(SystemExit) as caught, component.running("package", {"FRAUDLINE_ERROR_FILE": str(record)}):
        raise GateFailed("ap is too low.", "Train longer.")
    assert caught.value.code == 4
    assert read_json(record) == {
        "step": "package",
        "error": "GateFailed",
        "problem": "ap is too low.",
        "action": "Train longer.",
    }


def test_a_refusal_ends_the_run_one_task_later_with_the_code_and_the_words_of_the_step(tmp_path):
    record = tmp_path / "error.json"
    environment = {"FRAUDLINE_ERROR_FILE": str(record)}
    with component.running("gate", environment, refusals=True) as meter:
        raise GateFailed("ap is too low.", "Train longer.")
    assert meter.usage.wall_seconds > 0
    assert not record.exists()
    with pytest.raises(SystemExit) as caught:
        component.accept(meter.refusal, environment)
    assert caught.value.code == 4
    assert read_json(record) == {
        "step": "gate",
        "error": "GateFailed",
        "problem": "ap is too low.",
        "action": "Train longer.",
    }


@pytest.mark.parametrize(("step", "error"), [("validate", ValidationFailed), ("gate", GateFailed)])
def test_a_refusal_ends_the_task_of_a_pipeline_that_an_earlier_release_compiled(step, error):
    with pytest.raises(SystemExit) as caught, component.running(step, {}, {"params": {}}):
        raise error("It is refused.")
    assert caught.value.code == error.exit_code


def test_a_value_of_refused_data_is_no_template_that_argo_fills_in(tmp_path):
    record, problem = tmp_path / "error.json", "t1: merchant_id={{=1 + 1}}, card_id={{{workflow.name}}}"
    with component.running("validate", {}, refusals=True) as meter:
        raise ValidationFailed(problem)
    assert "{{" not in meter.refusal
    with pytest.raises(SystemExit):
        component.accept(meter.refusal, {"FRAUDLINE_ERROR_FILE": str(record)})
    assert read_json(record)["problem"] == problem


def of_another_release(*, newer):
    """A component, run with a step of an image that is older or newer than it."""

    def older_step(*, params):
        return params

    def newer_step(*, params, seed):
        return params, seed

    with component.running("train", {}, {"params": {}}):
        newer_step(params=1) if newer else older_step(params=1, seed=7)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (lambda: of_another_release(newer=False), "unexpected keyword argument 'seed'"),
        (lambda: of_another_release(newer=True), "missing 1 required keyword-only argument: 'seed'"),
        (lambda: component.running("train", {}, of_later=True).__enter__(), "of_later"),
    ],
)
def test_a_pipeline_and_an_image_of_two_releases_are_told_apart_from_a_fault_of_the_step(run, said, capfd):
    with pytest.raises(SystemExit) as caught:
        run()
    assert caught.value.code == UsageError.exit_code
    told = " ".join(capfd.readouterr().err.split())
    assert said in told
    assert "Compile the pipeline from the sources that its image was built from" in told


def test_a_fault_within_a_step_is_not_taken_for_a_pipeline_of_another_release():
    def step(*, params):
        return len(params)

    with pytest.raises(TypeError), component.running("train", {}, {"params": {}}):
        step(params=7)


def test_what_is_not_refused_is_accepted_and_another_error_still_ends_the_step():
    with component.running("gate", {}, refusals=True) as meter:
        pass
    assert not meter.refusal
    component.accept(meter.refusal, {})
    with pytest.raises(SystemExit) as caught, component.running("gate", {}, refusals=True):
        raise UsageError("A rule names no figure.")
    assert caught.value.code == 2


def test_a_refused_step_pushes_no_figures_of_one_that_ended_well(monkeypatch):
    pushed = []
    monkeypatch.setattr(component.metrics, "publish", lambda *given, **_: pushed.append(given[0]))
    with component.running("gate", {}, refusals=True):
        raise GateFailed("ap is too low.")
    assert pushed == []
    with component.running("gate", {}):
        pass
    assert pushed == ["gate"]


def test_only_numbers_are_figures():
    assert component.figures({"ap": 0.5, "rows": 3, "blessed": True, "digest": "x"}) == {"ap": 0.5, "rows": 3.0}


def test_a_long_curve_is_thinned_and_keeps_its_ends(tmp_path):
    lines = ["fpr,tpr,threshold", "0,0,inf", *(f"{i / 5000},{i / 5000},{1 - i / 5000}" for i in range(5001))]
    write_text(tmp_path / "roc.csv", "\n".join(lines) + "\n")
    false, true, thresholds = component.roc_curve(tmp_path)
    assert len(false) == len(true) == len(thresholds) <= component.CURVE_POINTS + 2
    assert (false[0], false[-1], true[-1]) == (0.0, 1.0, 1.0)
    assert all(abs(t) <= 1 for t in thresholds)


def test_the_confusion_matrix_is_that_of_the_evaluation(tmp_path):
    write_json(tmp_path / "metrics.json", {"confusion": {"labels": ["normal", "fraud"], "matrix": [[9, 1], [2, 8]]}})
    assert component.confusion(tmp_path) == (["normal", "fraud"], [[9, 1], [2, 8]])


def test_a_page_is_copied_where_the_interface_renders_it(tmp_path):
    write_text(tmp_path / "page.html", "<p>hello</p>")
    component.show(tmp_path / "page.html", str(tmp_path / "out" / "page"))
    assert (tmp_path / "out" / "page").read_text() == "<p>hello</p>"


def test_a_step_that_ends_well_ends_nothing_else():
    with component.running("train", {}):
        done = True
    assert done


def test_a_proposal_that_is_made_is_no_failure_where_the_pushgateway_is_away(tmp_path, monkeypatch):
    verdict = {"verdict": "successful", "reason": "as good", "percent": 25, "overdue": False, "checks": []}
    monkeypatch.setattr("fraudline.steps.rollout.step_rollout", lambda **_: {"action": "propose", "verdict": verdict})
    monkeypatch.setattr("fraudline.ops.gitops.text.verdict_table", lambda _: [])
    environment = {"FRAUDLINE_PUSHGATEWAY": f"127.0.0.1:{free_port()}"}
    page = str(tmp_path / "page.md")
    with component.running("rollout", environment):
        done = component.rollout(Params(), environment, to="production", prometheus="", key="", page=page)
    assert done == "propose"


def test_a_pushgateway_that_is_no_address_ends_a_step_before_its_work():
    with pytest.raises(SystemExit) as caught, component.running("train", {"FRAUDLINE_PUSHGATEWAY": "foo bar:9091"}):
        pytest.fail("it worked")
    assert caught.value.code == 2


@pytest.mark.parametrize(("state", "level"), [("SUCCEEDED", "info"), ("FAILED", "error")])
def test_the_end_of_a_run_is_one_event_that_can_be_alerted_on(state, level, capfd):
    component.ended(state, None, "no memory", Params())
    event = json.loads(capfd.readouterr().err.splitlines()[-1])
    assert (event["event"], event["state"], event["level"]) == ("pipeline.ended", state, level)


def test_what_a_step_used_is_priced_by_the_parameters():
    with component.running("train", {}) as meter:
        sum(i * i for i in range(100_000))
    free = Params.parse({"cost": {"cpu_hour": 0, "memory_gib_hour": 0}}, "test")
    spent, nothing = component.spent(meter, Params()), component.spent(meter, free)
    assert spent["price"] > 0 == nothing["price"]
    assert spent["cpu_seconds"] == nothing["cpu_seconds"] > 0


def test_the_cost_of_a_run_is_a_page_and_figures_of_the_models_mlflow_run(tmp_path, tracker):
    from fraudline.ops.mlflow_client import connect
    from fraudline.ops.tracking import open_run

    run_id = open_run(tracker, "pipeline main")
    params = Params().model_copy(update={"registry": tracker.model_copy(update={"run_id": run_id})})
    by_step = {"train": {"wall_seconds": 9.0, "cpu_seconds": 7.0, "memory_gib_seconds": 5.0, "price": 0.25}}
    sums = component.report_cost(by_step, params, str(tmp_path / "out" / "page"), digest="")
    component.ended("FAILED", 4, "the gate refused", params)
    run = connect(tracker.tracking_uri).get_run(run_id)
    assert sums["price"] == run.data.metrics["cost/total/price"] == run.data.metrics["cost/train/price"] == 0.25
    assert run.data.metrics["cost/train/cpu_seconds"] == 7.0
    assert "| train | 7.0 | 5.0 | 0.250000 |" in (tmp_path / "out" / "page").read_text()
    assert run.info.status == "FAILED"
