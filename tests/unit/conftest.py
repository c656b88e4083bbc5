"""One MLflow database for all unit tests of a process: its first opening takes seconds."""

import uuid
from types import SimpleNamespace

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


@pytest.fixture
def tracking_server(monkeypatch):
    """A tracking server that is away while ``tracking_server.away`` is set."""
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    server = SimpleNamespace(away=False)

    def unless_away(method):
        def called(*args, **keywords):
            if server.away:
                raise MlflowException("Connection refused")
            return method(*args, **keywords)

        return called

    for name in ("log_batch", "set_tag", "get_run", "log_artifact", "set_terminated", "update_run", "create_run"):
        monkeypatch.setattr(MlflowClient, name, unless_away(getattr(MlflowClient, name)))
    return server
