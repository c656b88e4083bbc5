"""The artifact store, provenance and model card."""

from kfp.dsl import HTML, Dataset, Input, Metrics, Model, Output, component

from components.image import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def package(
    model: Input[Model],
    evaluation: Input[Dataset],
    blessing: Input[Dataset],
    infra: Input[Dataset],
    package: Output[Dataset],
    model_card: Output[HTML],
    cost: Output[Metrics],
    params: dict,
    data_md5: str,
    store: str = "artifacts",
):
    """Put a blessed model where nothing can change it; ``store`` is a folder that outlives the run."""
    import os
    from pathlib import Path

    from fraudline.steps import component as entry
    from fraudline.steps.package import package as step

    with entry.running("package", os.environ, locals()) as meter:
        settings = entry.parameters(params, os.environ)
        result = step(
            model=Path(model.path),
            evaluation=Path(evaluation.path),
            blessing=Path(blessing.path),
            infra=Path(infra.path),
            package=Path(package.path),
            store=Path(store),
            params=settings,
        )
    package.metadata.update(result)
    entry.show(Path(package.path) / "model_card.html", model_card.path)
    for name, value in entry.spent(meter, settings).items():
        cost.log_metric(name, value)
