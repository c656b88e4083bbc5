"""How a run ended, in one event that a log collector can alert on."""

from kfp.dsl import PipelineTaskFinalStatus, component

from components.image import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def report_status(status: PipelineTaskFinalStatus):
    """Log the final state of the run, and what failed."""
    from fraudline.steps import component as entry

    entry.ended(status.state, status.error_code, status.error_message)
