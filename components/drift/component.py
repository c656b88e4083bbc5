"""A window of decisions against the traffic of the training, with the labels that matured."""

from kfp.dsl import HTML, Dataset, Metrics, Output, component

from components.image import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def drift(
    report: Output[Dataset],
    drift_page: Output[HTML],
    metrics: Output[Metrics],
    params: dict,
    decisions: str,
    model: str,
    days: int,
    labels: str,
    evaluation: str,
) -> str:
    """Compare decisions with the reference of the model that made them; the verdict comes back."""
    import os
    from pathlib import Path

    from fraudline.steps import component as entry
    from fraudline.steps.drift import drift as step

    with entry.running("drift", os.environ, locals()):
        result = step(
            decisions=Path(decisions),
            model=Path(model),
            report=Path(report.path),
            params=entry.parameters(params, os.environ),
            days=int(days),
            labels=Path(labels) if labels else None,
            evaluation=Path(evaluation) if evaluation else None,
        )
        entry.publish("drift", Path(report.path) / "drift.json", os.environ)
    entry.show(Path(report.path) / "index.html", drift_page.path)
    for name, value in entry.figures(result).items():
        metrics.log_metric(name, value)
    return "drift" if result["worse"] else result["verdict"]
