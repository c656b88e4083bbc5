"""The monitoring pipeline: drift, skew and the performance of matured labels, with their reports in the interface.

``python -m pipelines.monitoring`` compiles it to ``monitoring.yaml``; a contract test fails when the file is stale.
Decisions, model and data are paths below the volume that is mounted at ``/mnt/store``: what a connector keeps of the
topic ``decisions``, the artifact, and the data set with the labels that arrived.
"""

from pathlib import Path

from kfp import compiler, dsl, kubernetes

from components.drift.component import drift
from components.report_status.component import report_status
from components.skew.component import skew
from pipelines.training import MEDIUM, SMALL, STORE, STORE_CLAIM, Size, placed, side_effect

GOLDEN = Path(__file__).with_name("monitoring.yaml")


def _on_the_store(task: dsl.PipelineTask, size: Size) -> dsl.PipelineTask:
    """A task that reads the store: what lies there changes, so it is never answered from the cache."""
    task.set_caching_options(enable_caching=False)
    kubernetes.mount_pvc(task, pvc_name=STORE_CLAIM, mount_path=STORE)
    return placed(task, size)


@dsl.pipeline(
    name="fraudline-monitoring",
    description="Drift, skew and performance of a window of decisions; a recurring run, once a day.",
)
def monitoring(
    params: dict = {},  # noqa: B006 - kfp reads the default at compile time
    decisions: str = f"{STORE}/decisions",
    model: str = f"{STORE}/champion",
    transactions: str = f"{STORE}/data",
    history: str = f"{STORE}/data",
    profiles: str = f"{STORE}/profiles",
    labels: str = "",
    evaluation: str = "",
    days: int = 1,
) -> None:
    """Measure a window; a recurring run does so every day.

    Args:
        params: the content of ``params.yaml``.
        decisions: folder or file of decisions.
        model: folder of the artifact that decided.
        transactions: what was decided on: a data set folder or a file.
        history: what the cards did before, as the worker was given it.
        profiles: the worker's merchant tables.
        labels: data set with the labels that arrived, for which ``decisions`` is one file; "" leaves performance out.
        evaluation: ``metrics.json`` to compare with; "" for none.
        days: newest days to look at; 0 for all.
    """
    ended = side_effect(report_status(params=params))
    with dsl.ExitHandler(placed(ended, SMALL), name="monitoring"):
        _on_the_store(
            drift(params=params, decisions=decisions, model=model, days=days, labels=labels, evaluation=evaluation),
            MEDIUM,
        )
        _on_the_store(
            skew(
                params=params,
                decisions=decisions,
                transactions=transactions,
                model=model,
                history=history,
                profiles=profiles,
            ),
            MEDIUM,
        )


def compile_to(path: Path) -> None:
    """Write the compiled pipeline; the same source gives the same bytes."""
    compiler.Compiler().compile(monitoring, package_path=str(path))


if __name__ == "__main__":
    compile_to(GOLDEN)
