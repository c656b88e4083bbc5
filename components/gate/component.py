"""The blessing."""

from kfp.dsl import Dataset, Input, Markdown, Metrics, Model, Output, component

from components.image import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def gate(
    evaluation: Input[Dataset],
    model: Input[Model],
    blessing: Output[Dataset],
    blessing_page: Output[Markdown],
    cost: Output[Metrics],
    params: dict,
    data_md5: str,
) -> str:
    """Bless the model by the rules; why it is not blessed comes back, for the component accept."""
    import os
    from pathlib import Path

    from fraudline.steps import component as entry
    from fraudline.steps.gate import gate as step

    with entry.running("gate", os.environ, locals(), refusals=True) as meter:
        settings = entry.parameters(params, os.environ)
        step(
            evaluation=Path(evaluation.path),
            model=Path(model.path),
            blessing=Path(blessing.path),
            params=settings,
        )
    entry.show(Path(blessing.path) / "blessing.md", blessing_page.path)
    for name, value in entry.spent(meter, settings).items():
        cost.log_metric(name, value)
    return meter.refusal
