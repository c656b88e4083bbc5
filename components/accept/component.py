"""The end of a run whose data or model was refused: the task that refused has its page, this one is red."""

from kfp.dsl import component

from components.image import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def accept(refusal: str):
    """Do nothing, or fail with the words and the exit code of the step that refused."""
    import os

    from fraudline.steps import component as entry

    entry.accept(refusal, os.environ)
