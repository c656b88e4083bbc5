"""One MLflow database for all unit tests of a process: its first opening takes seconds."""

import uuid

import pytest

from fraudline.ops.params import RegistryParams


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def tracker(mlflow_uri):
    """Settings of an experiment and a model that no other test uses."""
    name = f"m{uuid.uuid4().hex[:8]}"
    return RegistryParams(tracking_uri=mlflow_uri, experiment=name, model_name=name)
