"""The data set against its expectations."""

from kfp.dsl import HTML, Dataset, Input, Metrics, Output, component

from components.image import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def validate(
    dataset: Input[Dataset],
    report: Output[Dataset],
    data_docs: Output[HTML],
    metrics: Output[Metrics],
    cost: Output[Metrics],
    params: dict,
    data_md5: str,
) -> str:
    """Hold the data against its expectations; what critical ones say comes back, for the component accept."""
    import os
    from pathlib import Path

    from fraudline.steps import component as entry
    from fraudline.steps.validate import validate as step

    result = {}
    with entry.running("validate", os.environ, locals(), refusals=True) as meter:
        settings = entry.parameters(params, os.environ)
        result = step(dataset=Path(dataset.path), report=Path(report.path), params=settings)
    entry.show(Path(report.path) / "index.html", data_docs.path)
    for name, value in entry.figures(result).items():
        metrics.log_metric(name, value)
    for name, value in entry.spent(meter, settings).items():
        cost.log_metric(name, value)
    return meter.refusal
