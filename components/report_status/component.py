"""How a run ended, in one event that a log collector can alert on."""

from kfp.dsl import PipelineTaskFinalStatus, component

from components.image import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def report_status(status: PipelineTaskFinalStatus):
    """Log the final state of the run, and what failed."""
    from fraudline.core import log

    log.configure(as_json=True)
    event = log.get_logger("fraudline.pipeline")
    report = event.info if status.state == "SUCCEEDED" else event.error
    report("pipeline.ended", state=status.state, code=status.error_code, message=status.error_message)
