"""What the run cost, step by step: a page for the interface, figures for MLflow."""

from kfp.dsl import Input, Markdown, Metrics, Model, Output, component

from components.image import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def report_cost(
    model: Input[Model],
    fetch: Input[Metrics],
    validate: Input[Metrics],
    featurize: Input[Metrics],
    train: Input[Metrics],
    evaluate: Input[Metrics],
    gate: Input[Metrics],
    infra_validate: Input[Metrics],
    package: Input[Metrics],
    register: Input[Metrics],
    page: Output[Markdown],
    total: Output[Metrics],
    params: dict,
):
    """Add up what each step recorded, and keep it with the MLflow run of the model."""
    import os

    from fraudline.steps import component as entry

    by_step = {
        "fetch": fetch.metadata,
        "validate": validate.metadata,
        "featurize": featurize.metadata,
        "train": train.metadata,
        "evaluate": evaluate.metadata,
        "gate": gate.metadata,
        "infra_validate": infra_validate.metadata,
        "package": package.metadata,
        "register": register.metadata,
    }
    with entry.running("report_cost", os.environ):
        settings = entry.parameters(params, os.environ)
        sums = entry.report_cost(by_step, settings, page.path, model.metadata["digest"])
    for name, value in sums.items():
        total.log_metric(name, value)
