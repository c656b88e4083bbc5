"""Parameters of tracking, the registry and the artifact store."""

from pydantic import Field

from fraudline.core.settings import Settings


class RegistryParams(Settings):
    """Where runs are tracked and models are registered."""

    tracking_uri: str = "sqlite:///mlflow.db"
    """MLflow's address; empty turns tracking and registration off. A relative sqlite path starts at the working
    directory, and its artifacts go to ``mlartifacts`` beside the database."""

    experiment: str = Field(default="fraudline", min_length=1)
    """Name of the MLflow experiment that holds the runs."""

    model_name: str = Field(default="fraudline", min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    """Name of the registered model."""

    run_id: str = ""
    """A run to join instead of starting one: what a launcher injects as ``MLFLOW_RUN_ID``."""
