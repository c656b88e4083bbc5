"""What a Kubeflow component needs beside its step: parameters, errors as exit codes, and pages and curves to show.

A component is a process of its own, so it is an entry point like the command line: this module turns its dict of
parameters into :class:`~fraudline.steps.params.Params` and every error of ours into its exit code.
"""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from fraudline.core import log as logs
from fraudline.core.clock import now
from fraudline.core.errors import FraudlineError, GateFailed, ValidationFailed
from fraudline.core.files import local_path, read_json, write_json, write_text
from fraudline.ops import cost as costs
from fraudline.ops import ended as metrics
from fraudline.ops.pipeline import ERROR_FILE, error_of, error_record
from fraudline.ops.tracking import end_run, step_run
from fraudline.steps.compiled import of_another_release, of_the_call
from fraudline.steps.params import Params

INJECTED = {"tracking_uri": "MLFLOW_TRACKING_URI", "run_id": "MLFLOW_RUN_ID"}
"""Fields of ``registry`` that a launcher sets through the environment."""

REFUSALS = {"validate": ValidationFailed, "gate": GateFailed}
"""The steps that judge what they are given, and the error by which they refuse it."""

PUSHGATEWAY = "FRAUDLINE_PUSHGATEWAY"
CURVE_POINTS = 200

FORGE_TOKEN = "FRAUDLINE_FORGE_TOKEN"  # noqa: S105 - a name
"""Variable with the token that opens pull requests."""


def parameters(values: Mapping[str, Any], environment: Mapping[str, str]) -> Params:
    """The parameters of a component; a run that the launcher injected is joined.

    Args:
        values: the pipeline parameter ``params``; Kubeflow makes every number a float.
        environment: the process's environment.

    Raises:
        UsageError: a parameter is unknown or of the wrong type.
    """
    params = Params.parse(dict(values), "the pipeline parameter params")
    injected = {field: environment[name] for field, name in INJECTED.items() if environment.get(name)}
    return params.model_copy(update={"registry": params.registry.model_copy(update=injected)})


class StepMeter(costs.Meter):
    """What a step used, and why it refused its input, as :func:`accept` takes it; empty where it did not."""

    refusal: str = ""


@contextmanager
def running(
    step: str,
    environment: Mapping[str, str],
    arguments: Mapping[str, Any] | None = None,
    *,
    refusals: bool = False,
    **unknown: object,
) -> Iterator[StepMeter]:
    """Log a step's events; end the process with the exit code of an error of ours, after naming problem and action.

    A local run names a file in ``FRAUDLINE_ERROR_FILE``, where the error is left for it. With ``FRAUDLINE_PUSHGATEWAY``
    (``host:port``) Prometheus hears what a step that ended well used. Kubeflow keeps no page of a task that fails, and
    where a step refuses its input the page is what a person reads: with ``refusals`` a refusal ends the block and not
    the process, and :func:`accept` ends the run.

    Args:
        step: its name.
        environment: the process's environment.
        arguments: the component's own, for the lineage of what it reads and writes; None for none.
        refusals: the component gives ``refusal`` to a task that accepts it. A pipeline that an earlier release compiled
            has no such task, and does not say this: there a refusal must not pass for success.
        unknown: what the component of a later release says; refused.

    Yields:
        A meter of what the step uses, read after the block.
    """
    logs.configure()
    log = logs.get_logger(__name__)
    log.info("step.start", step=step)
    meter = StepMeter()
    try:
        if unknown:
            raise of_another_release(f"running() does not know {', '.join(unknown)}")
        metrics.check(environment.get(PUSHGATEWAY, ""))
        with _lineage(step, environment, arguments), meter:
            yield meter
    except (AttributeError, TypeError) as error:
        if not of_the_call(error):
            raise
        _fail(step, of_another_release(error), environment)
    except FraudlineError as error:
        if not (refusals and isinstance(error, REFUSALS.get(step, ()))):
            _fail(step, error, environment)
        log.warning("step.refused", step=step, problem=error.problem, action=error.action)
        # it quotes values of the data, and Argo fills in whatever stands in double braces of a task's parameter
        meter.refusal = json.dumps(error_record(step, error)).replace("{{", r"{\u007b")
        return
    log.info("step.done", step=step)
    metrics.publish(step, lambda told: told.step(step, meter.usage), pushgateway=environment.get(PUSHGATEWAY, ""))


def accept(refusal: str, environment: Mapping[str, str]) -> None:
    """End the process as the step that refused would have: with its words, and the exit code of its error.

    Args:
        refusal: what :class:`StepMeter` says after the step; empty: it did not refuse.
        environment: the process's environment.
    """
    logs.configure()
    if refusal:
        record = json.loads(refusal)
        _fail(record["step"], error_of(record), environment)


def _fail(step: str, error: FraudlineError, environment: Mapping[str, str]) -> NoReturn:
    logs.get_logger(__name__).error(
        "step.failed", step=step, problem=error.problem, action=error.action, exit_code=error.exit_code
    )
    if environment.get(ERROR_FILE):
        write_json(Path(environment[ERROR_FILE]), error_record(step, error))
    sys.exit(error.exit_code)


@contextmanager
def _lineage(step: str, environment: Mapping[str, str], arguments: Mapping[str, Any] | None) -> Iterator[None]:
    if arguments is None:
        yield
        return
    from fraudline.steps.lineage import arguments_of, observed

    params = parameters(arguments["params"], environment)
    with observed(step, arguments_of(step, arguments), params, environment):
        yield


def publish(step: str, document: Path, environment: Mapping[str, str]) -> None:
    """Push the metrics of ``drift.json`` or ``skew.json`` where ``FRAUDLINE_PUSHGATEWAY`` names a gateway."""
    found, pushgateway = read_json(document), environment.get(PUSHGATEWAY, "")

    def say(told: metrics.EndedMetrics) -> None:
        {"drift": told.drift, "skew": told.skew}[step](found)

    metrics.publish(f"{step}_report", say, pushgateway=pushgateway)
    if performance := found.get("performance"):
        metrics.publish("labels", lambda told: told.labels(performance), pushgateway=pushgateway)


def spent(meter: costs.Meter, params: Params) -> dict[str, float]:
    """What a step used and what that costs, as figures of its artifact ``cost``."""
    usage = meter.usage
    return {**usage._asdict(), "price": usage.price(params.cost)}


def report_cost(by_step: Mapping[str, Mapping[str, float]], params: Params, page: str, digest: str) -> dict[str, float]:
    """Write the table of a run's cost, and record it with the MLflow run of the model that the run made.

    Args:
        by_step: what :func:`spent` gave of each step.
        params: prices, and where runs are tracked.
        page: file of the table (Markdown).
        digest: of the model's artifact, which names the MLflow run.

    Returns:
        The sum of each figure.

    Raises:
        UnavailableError: the tracking store does not answer.
    """
    write_text(Path(page), costs.table(by_step, params.cost))
    sums = costs.total(by_step)
    with step_run("cost", params.registry, digest=digest) as run:
        for step, figures in {**by_step, "total": sums}.items():
            run.metrics({f"cost/{step}/{name}": value for name, value in figures.items()})
        run.tag("fraudline.currency", params.cost.currency)
    return sums


def promote(params: Params, environment: Mapping[str, str], package: Path, *, to: str, key: str, page: str) -> str:
    """Propose a packaged model by a pull request, and write its text as a page.

    Args:
        params: ``rollout`` names the forge.
        environment: has the forge's token.
        package: folder of step package.
        to: environment of ``rollout.environments``.
        key: file of the key that signs the evidence.
        page: file of the text (Markdown).

    Returns:
        The pull request's address; on a plain remote its branch.

    Raises:
        PromotionRefused: the model may not be promoted now.
        UnavailableError: remote or forge does not answer.
    """
    from fraudline.steps.promote import promote as step

    stored = local_path(read_json(package / "package.json")["uri"])
    token = environment.get(FORGE_TOKEN, "")
    result = step(to=to, key=Path(key), params=params, repo=Path(), token=token, artifact=stored)
    write_text(Path(page), f"# {result['title']}\n\n{result['body']}")
    return str(result["url"] or result["branch"])


def rollout(params: Params, environment: Mapping[str, str], *, to: str, prometheus: str, key: str, page: str) -> str:
    """Judge a canary and propose what follows, and write the verdict as a page.

    Args:
        params: ``rollout`` names the forge and has the judge's margins.
        environment: has the forge's token.
        to: environment of ``rollout.environments``.
        prometheus: its address.
        key: file of the key that signs verdicts.
        page: file of the verdict (Markdown).

    Returns:
        What was done: none, wait, ask, propose or merged.

    Raises:
        PromotionRefused: a branch is in the way.
        UnavailableError: remote, forge, registry or Prometheus does not answer.
    """
    from fraudline.ops.gitops.text import verdict_table
    from fraudline.steps.rollout import Sources, step_rollout

    result = step_rollout(
        to=to,
        key=Path(key),
        params=params,
        repo=Path(),
        sources=Sources(prometheus),
        now=now(),
        token=environment.get(FORGE_TOKEN, ""),
    )
    verdict = result.get("verdict")
    said = [f"# {result['action']}", ""]
    said += [f"**{verdict['verdict']}**: {verdict['reason']}", "", *verdict_table(verdict)] if verdict else []
    write_text(Path(page), "\n".join(said) + "\n")
    gateway = environment.get(PUSHGATEWAY, "")
    metrics.publish(f"rollout_{to}", lambda told: told.rollout(to, verdict), pushgateway=gateway)
    action: str = result["action"]
    return action


def ended(state: str, code: int | None, message: str | None, params: Params) -> None:
    """Report how a run ended, as one JSON event that a log collector can alert on; end the MLflow run that it joined.

    Raises:
        UnavailableError: the tracking store does not answer; the event is out before.
    """
    logs.configure(as_json=True)
    event = logs.get_logger(__name__)
    report = event.info if state == "SUCCEEDED" else event.error
    report("pipeline.ended", state=state, code=code, message=message)
    end_run(params.registry, succeeded=state == "SUCCEEDED")


def figures(values: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among ``values``, as a metrics artifact takes them."""
    return {k: float(v) for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}


def show(page: Path, target: str) -> None:
    """Copy a page of a step's folder to the artifact that the Kubeflow UI renders."""
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(page, target)


def roc_curve(evaluation: Path) -> tuple[list[float], list[float], list[float]]:
    """False positive rates, true positive rates and thresholds of ``roc.csv``, thinned to what a page can draw."""
    import pyarrow.csv as pc

    table = pc.read_csv(evaluation / "roc.csv")
    columns = [table[name].to_pylist() for name in ("fpr", "tpr", "threshold")]
    rows = [row for row in zip(*columns, strict=True) if None not in row and abs(row[2]) != float("inf")]
    step = max(len(rows) // CURVE_POINTS, 1)
    kept = rows[::step] + rows[-1:]
    return [float(r[0]) for r in kept], [float(r[1]) for r in kept], [float(r[2]) for r in kept]


def confusion(evaluation: Path) -> tuple[list[str], list[list[int]]]:
    """Labels, and rows (actual) by columns (said), of the confusion matrix at the threshold."""
    matrix = read_json(evaluation / "metrics.json")["confusion"]
    return list(matrix["labels"]), [list(row) for row in matrix["matrix"]]
