"""The pull request that promotes a registered model."""

from kfp.dsl import Dataset, Input, Markdown, Output, component

from components.image import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def promote(
    package: Input[Dataset], registration: Input[Dataset], page: Output[Markdown], params: dict, to: str, key: str
) -> str:
    """Propose the packaged model once it is registered; gives the pull request's address, or its branch."""
    import os
    from pathlib import Path

    from fraudline.steps import component as entry

    with entry.running("promote", os.environ):
        settings = entry.parameters(params, os.environ)
        return entry.promote(settings, os.environ, Path(package.path), to=to, key=key, page=page.path)
