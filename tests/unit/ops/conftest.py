"""One MLflow database for all tests of the layer: its first opening takes seconds."""

import pytest


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
