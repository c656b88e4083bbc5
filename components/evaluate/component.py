"""Figures on later weeks, with the curves that the Kubeflow UI draws."""

from kfp.dsl import HTML, ClassificationMetrics, Dataset, Input, Metrics, Model, Output, component

from components.image import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    features: Input[Dataset],
    dataset: Input[Dataset],
    model: Input[Model],
    evaluation: Output[Dataset],
    evaluation_page: Output[HTML],
    curves: Output[ClassificationMetrics],
    metrics: Output[Metrics],
    cost: Output[Metrics],
    params: dict,
    data_md5: str,
):
    """Measure the model on later weeks, beside baselines and the champion on the same rows."""
    import os
    from pathlib import Path

    from fraudline.steps import component as entry
    from fraudline.steps.evaluate import evaluate as step

    folder = Path(evaluation.path)
    with entry.running("evaluate", os.environ, locals()) as meter:
        settings = entry.parameters(params, os.environ)
        result = step(
            features=Path(features.path),
            dataset=Path(dataset.path),
            model=Path(model.path),
            evaluation=folder,
            params=settings,
        )
    entry.show(folder / "index.html", evaluation_page.path)
    curves.log_roc_curve(*entry.roc_curve(folder))
    curves.log_confusion_matrix(*entry.confusion(folder))
    for name, value in entry.figures(result).items():
        metrics.log_metric(name, value)
    for name, value in entry.spent(meter, settings).items():
        cost.log_metric(name, value)
