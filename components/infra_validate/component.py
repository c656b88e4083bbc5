"""The real server against the artifact's golden scores."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output, component

from components.image import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def infra_validate(
    model: Input[Model],
    report: Output[Dataset],
    metrics: Output[Metrics],
    cost: Output[Metrics],
    params: dict,
    data_md5: str,
):
    """Let the real server load the artifact and reproduce its golden scores over every protocol."""
    import os
    from pathlib import Path

    from fraudline.steps import component as entry
    from fraudline.steps.infra_validate import infra_validate as step

    with entry.running("infra_validate", os.environ, locals()) as meter:
        settings = entry.parameters(params, os.environ)
        result = step(model=Path(model.path), report=Path(report.path), params=settings)
    for name, value in entry.figures(result).items():
        metrics.log_metric(name, value)
    for name, value in entry.spent(meter, settings).items():
        cost.log_metric(name, value)
