"""Data and MLflow's artifacts in an S3 store, with credentials from the environment, as docs/how-to says."""

import importlib
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from fraudline.core.errors import UnavailableError
from fraudline.ops.mlflow_client import connect
from fraudline.ops.params import RegistryParams
from fraudline.ops.tracking import step_run
from fraudline.steps.fetch import fetch
from fraudline.steps.params import Params
from tests.cluster.binaries import need_go
from tests.cluster.s3_server import S3
from tests.support.mlflow_server import mlflow_server
from tests.support.needed import lacks

GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    need_go()
    if find_spec("dvc_s3") is None:
        lacks("the extra cloud", cure="make test-cluster installs requirements/cloud.lock")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what dvc imports deprecates one another
        for name in ("dvc.repo", "dvc_s3"):
            importlib.import_module(name)
    with S3(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def owner(store: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """The store, and its owner's credentials in the environment."""
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    return store


def repository(folder: Path, bucket: str) -> Path:
    """A repository whose data set has its remote in a bucket; nothing is pushed."""

    def run(*command: str) -> None:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)

    dvc = (sys.executable, "-m", "dvc")
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "dataset.json").write_text("{}")
    run(*GIT, "init", "--quiet")
    run(*dvc, "init", "--quiet")
    run(*dvc, "remote", "add", "--quiet", "-d", "store", f"s3://{bucket}/fraudline")
    run(*dvc, "add", "--quiet", "data")
    run(*GIT, "add", "--all")
    run(*GIT, "commit", "--quiet", "-m", "data")
    return folder


def push(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "dvc", "push", "--quiet"], cwd=folder, check=True, capture_output=True)


def forget(folder: Path) -> Path:
    """Leave the data set in its remote alone; the file that names it."""
    for kept in (folder / "data", folder / ".dvc" / "cache"):
        shutil.rmtree(kept)
    return folder / "data.dvc"


def refused(data_dvc: Path, dataset: Path) -> str:
    """What ``fetch`` says, which leaves nothing behind."""
    with pytest.raises(UnavailableError) as error:
        fetch(data_dvc=data_dvc, dataset=dataset, params=Params())
    assert not dataset.exists()
    assert not (data_dvc.parent / "data").exists()
    return str(error.value)


def test_a_data_set_that_was_pushed_to_a_bucket_is_fetched_from_it(owner: S3, tmp_path: Path) -> None:
    bucket = owner.bucket("bank")
    push(repository(tmp_path / "bank", "bank"))
    assert len([path for path in bucket.rglob("*") if path.is_file()]) == 2  # the file, and the listing of its folder

    fetch(data_dvc=forget(tmp_path / "bank"), dataset=tmp_path / "dataset", params=Params())

    assert (tmp_path / "dataset" / "dataset.json").read_text() == "{}"


def test_a_wrong_key_and_a_missing_bucket_are_told_with_the_store_and_what_to_check(
    owner: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.bucket("shop")
    data_dvc = forget(repository(tmp_path / "shop", "shop"))
    nowhere = forget(repository(tmp_path / "nowhere", "nowhere"))

    missing = refused(nowhere, tmp_path / "dataset")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    wrong = refused(data_dvc, tmp_path / "dataset")

    assert "nowhere/data.dvc cannot be pulled from s3://nowhere/fraudline, which lacks" in missing
    assert "shop/data.dvc cannot be pulled from s3://shop/fraudline: " in wrong
    assert "Forbidden" in wrong
    assert "your credentials" in wrong


@pytest.fixture(scope="module")
def tracking(store: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryParams]:
    """An MLflow server that hands artifacts on to a bucket; the credentials are its own, the steps have none."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow"), "s3://mlflow/artifacts", store.environment) as url:
        yield RegistryParams(tracking_uri=url)


def test_what_a_run_keeps_lies_in_the_servers_bucket_and_without_it_the_step_fails(
    store: S3, tracking: RegistryParams, tmp_path: Path
) -> None:
    bucket, report = store.bucket("mlflow"), tmp_path / "report.html"
    report.write_text("<p>report</p>")

    with step_run("evaluate", tracking) as run:
        run.artifact(report, "reports")

    (kept,) = bucket.rglob("report.html")
    found = connect(tracking.tracking_uri).download_artifacts(run.run_id, "reports/report.html", str(tmp_path))
    assert kept.read_text() == Path(found).read_text() == "<p>report</p>"

    shutil.rmtree(bucket)
    with pytest.raises(UnavailableError, match=f"MLflow at {tracking.tracking_uri} refused: .*500"):
        run.artifact(report, "reports")
