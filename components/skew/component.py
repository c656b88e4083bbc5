"""The stream's features against those of the same transactions offline."""

from kfp.dsl import HTML, Dataset, Metrics, Output, component

from components.image import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def skew(
    report: Output[Dataset],
    skew_page: Output[HTML],
    metrics: Output[Metrics],
    params: dict,
    decisions: str,
    transactions: str,
    model: str,
    history: str,
    profiles: str,
) -> int:
    """Compare bit for bit; the number of decisions that differ comes back."""
    import os
    from pathlib import Path

    from fraudline.steps import component as entry
    from fraudline.steps.skew import skew as step

    with entry.running("skew", os.environ, locals()):
        result = step(
            decisions=Path(decisions),
            transactions=Path(transactions),
            model=Path(model),
            report=Path(report.path),
            params=entry.parameters(params, os.environ),
            history=Path(history) if history else None,
            profiles=Path(profiles) if profiles else None,
        )
        entry.publish("skew", Path(report.path) / "skew.json", os.environ)
    entry.show(Path(report.path) / "index.html", skew_page.path)
    for name, value in entry.figures(result).items():
        metrics.log_metric(name, value)
    return int(result["differing"])
