"""How a run ended, in one event that a log collector can alert on; the MLflow run that it joined ends with it."""

from kfp.dsl import PipelineTaskFinalStatus, component

from components.image import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def report_status(status: PipelineTaskFinalStatus, params: dict):
    """Log the final state of the run, and what failed."""
    import os

    from fraudline.steps import component as entry

    settings = entry.parameters(params, os.environ)
    entry.ended(status.state, status.error_code, status.error_message, settings)
