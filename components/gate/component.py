"""The blessing."""

from kfp.dsl import Dataset, Input, Markdown, Model, Output, component

from components.image import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def gate(
    evaluation: Input[Dataset],
    model: Input[Model],
    blessing: Output[Dataset],
    blessing_page: Output[Markdown],
    params: dict,
    data_md5: str,
):
    """Bless the model by the rules; one that fails ends the run with exit code 4."""
    import os
    from pathlib import Path

    from fraudline.steps import component as entry
    from fraudline.steps.gate import gate as step

    with entry.running("gate", os.environ):
        step(
            evaluation=Path(evaluation.path),
            model=Path(model.path),
            blessing=Path(blessing.path),
            params=entry.parameters(params, os.environ),
        )
    entry.show(Path(blessing.path) / "blessing.md", blessing_page.path)
