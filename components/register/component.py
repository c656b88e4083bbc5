"""The model registry."""

from kfp.dsl import Dataset, Input, Metrics, Output, component

from components.image import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def register(
    package: Input[Dataset],
    evaluation: Input[Dataset],
    registration: Output[Dataset],
    cost: Output[Metrics],
    params: dict,
    data_md5: str,
):
    """Register the packaged model as challenger; an empty registry takes it as champion."""
    import os
    from pathlib import Path

    from fraudline.steps import component as entry
    from fraudline.steps.register import register as step

    with entry.running("register", os.environ, locals()) as meter:
        settings = entry.parameters(params, os.environ)
        step(
            package=Path(package.path),
            evaluation=Path(evaluation.path),
            registration=Path(registration.path),
            params=settings,
        )
    for name, value in entry.spent(meter, settings).items():
        cost.log_metric(name, value)
