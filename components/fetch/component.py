"""The versioned data set of a revision; its md5 goes to every later component, whose cache key ignores content."""

from kfp.dsl import Dataset, Metrics, Output, component

from components.image import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def fetch(
    dataset: Output[Dataset],
    metrics: Output[Metrics],
    cost: Output[Metrics],
    params: dict,
    data_dvc: str = "data.dvc",
    repo: str = ".",
    revision: str = "",
    md5: str = "",
) -> str:
    """Copy the data set that a .dvc file names, every byte verified; gives its md5."""
    import os
    from pathlib import Path

    from fraudline.steps import component as entry
    from fraudline.steps.fetch import fetch as step

    with entry.running("fetch", os.environ, locals()) as meter:
        settings = entry.parameters(params, os.environ)
        result = step(
            data_dvc=Path(data_dvc),
            dataset=Path(dataset.path),
            params=settings,
            repo=repo,
            revision=revision,
            md5=md5,
        )
    for name, value in entry.figures(result).items():
        metrics.log_metric(name, value)
    for name, value in entry.spent(meter, settings).items():
        cost.log_metric(name, value)
    return result["md5"]
