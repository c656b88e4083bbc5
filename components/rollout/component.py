"""One look of the judge at a canary, and the pull request that follows from it."""

from kfp.dsl import Markdown, Output, component

from components.image import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def rollout(page: Output[Markdown], params: dict, to: str, prometheus: str, key: str) -> str:
    """Judge, and propose one step at most; says what was done: none, wait, ask, propose or merged."""
    import os

    from fraudline.steps import component as entry

    with entry.running("rollout", os.environ):
        settings = entry.parameters(params, os.environ)
        return entry.rollout(settings, os.environ, to=to, prometheus=prometheus, key=key, page=page.path)
