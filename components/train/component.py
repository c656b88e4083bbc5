"""The autoencoder ensemble."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output, component

from components.image import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def train(
    features: Input[Dataset],
    dataset: Input[Dataset],
    model: Output[Model],
    metrics: Output[Metrics],
    cost: Output[Metrics],
    params: dict,
    data_md5: str,
):
    """Train on known normals into an artifact that is named by its digest."""
    import os
    from pathlib import Path

    from fraudline.steps import component as entry
    from fraudline.steps.train import train as step

    with entry.running("train", os.environ, locals()) as meter:
        settings = entry.parameters(params, os.environ)
        result = step(
            features=Path(features.path),
            dataset=Path(dataset.path),
            model=Path(model.path),
            params=settings,
        )
    model.metadata["digest"] = result.get("digest", "")
    model.metadata["data_md5"] = data_md5
    for name, value in entry.figures(result).items():
        metrics.log_metric(name, value)
    for name, value in entry.spent(meter, settings).items():
        cost.log_metric(name, value)
