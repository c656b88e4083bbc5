"""Features and daily merchant profiles."""

from kfp.dsl import Dataset, Input, Metrics, Output, component

from components.image import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def featurize(
    dataset: Input[Dataset],
    features: Output[Dataset],
    profiles: Output[Dataset],
    metrics: Output[Metrics],
    cost: Output[Metrics],
    params: dict,
    data_md5: str,
):
    """One row of features a transaction, in offset order, and the merchants' daily profiles."""
    import os
    from pathlib import Path

    from fraudline.steps import component as entry
    from fraudline.steps.featurize import featurize as step

    with entry.running("featurize", os.environ, locals()) as meter:
        settings = entry.parameters(params, os.environ)
        result = step(
            dataset=Path(dataset.path),
            features=Path(features.path),
            profiles=Path(profiles.path),
            params=settings,
        )
    for name, value in entry.figures(result).items():
        metrics.log_metric(name, value)
    for name, value in entry.spent(meter, settings).items():
        cost.log_metric(name, value)
