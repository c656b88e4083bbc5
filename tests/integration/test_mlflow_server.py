"""A real MLflow server over HTTP: stricter than its database alone, which most tests use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fraudline.core.files import write_text
from fraudline.ops.params import RegistryParams
from fraudline.ops.registry import Registry
from fraudline.ops.tracking import step_run
from fraudline.steps.package import package
from fraudline.steps.params import Params
from fraudline.steps.register import register
from tests.support.mlflow_server import mlflow_server
from tests.support.packaging import candidate

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    with mlflow_server(folder, str(folder / "artifacts")) as url:
        yield url


def test_a_packaged_model_is_registered_at_a_server_with_its_run_and_reports(server: str, tmp_path: Path) -> None:
    params = Params(registry=RegistryParams(tracking_uri=server))
    found = candidate(tmp_path / "built")
    write_text(found.evaluation / "index.html", "<p>report</p>")
    with step_run("train", params.registry) as run:
        run.params({"epochs": 3})
        run.metrics({"loss": 0.5})
        run.made(found.digest)
    made = tmp_path / "built" / "package"
    package(**found.inputs(), package=made, store=tmp_path / "store", params=params)
    given = {"package": made, "evaluation": found.evaluation, "params": params}
    record = register(**given, registration=tmp_path / "registration")
    again = register(**given, registration=tmp_path / "again")
    assert (record["aliases"], record["run_id"]) == (["champion"], run.run_id)
    assert again["version"] == record["version"]
    champion = Registry(params.registry).resolve("champion")
    assert champion is not None
    assert (champion.digest, champion.uri) == (found.digest, (tmp_path / "store" / found.digest).as_uri())

    from mlflow import MlflowClient

    client = MlflowClient(server)
    kept = client.get_run(run.run_id)
    assert (kept.data.params["epochs"], kept.data.metrics["loss"], kept.info.status) == ("3", 0.5, "FINISHED")
    assert "reports/index.html" in [each.path for each in client.list_artifacts(run.run_id, "reports")]
