"""The compiled pipeline, each step in the built image, started by kfp's runner with the compiled command."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fraudline.core.files import read_json
from fraudline.model.artifact import load_artifact
from fraudline.ops.params import RegistryParams
from fraudline.ops.pipeline import Containers, arguments_of, run_local
from fraudline.steps.params import Params
from tests.containers import engine
from tests.integration.test_pipeline_local import SMALL, environment

pytestmark = pytest.mark.timeout(1500)
USER = 1000
STEPS = ("validate", "featurize", "train", "evaluate", "gate", "infra_validate", "package", "register")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Git repository with data that user 1000 owns, and a place for runs."""
    folder = tmp_path_factory.mktemp("cluster")
    lay_out(folder / "repository")
    for name in ("runs", "store"):
        (folder / name).mkdir()
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)  # pytest keeps its folders to their owner
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USER, USER, follow_symlinks=False) if os.getuid() == 0 else None
    return folder


def lay_out(repository):
    from fraudline.data.generate import generate
    from fraudline.data.store import write_dataset

    repository.mkdir()
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C", repository)
    engine.run("git", "init", "-q", repository)
    (repository / ".dvc").mkdir()
    shutil.copy(engine.ROOT / ".dvc" / "config", repository / ".dvc")
    shutil.copy(engine.ROOT / ".gitignore", repository)
    transactions, labels = generate(engine.WORLD)
    write_dataset(repository / "data", transactions, labels, {"name": "small", "currency": "EUR", "generator": None})
    for command in (("add", "-q", "data"), ("push", "-q", "data.dvc")):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=repository, env=environment(), check=True)
    engine.run(*git, "add", ".")
    engine.run(*git, "commit", "-q", "-m", "data")


@pytest.fixture(scope="module")
def params():
    sections = {**yaml.safe_load((engine.ROOT / "params.yaml").read_text()), **SMALL}
    return Params.parse(sections, "test").model_copy(update={"registry": RegistryParams(tracking_uri="")})


@pytest.fixture(scope="module")
def cluster(pipeline, folder, params):
    """The run in containers: the data's revision is cloned and fetched by the first step."""
    arguments = arguments_of(
        params, data_dvc="data.dvc", repo=str(folder / "repository"), revision="HEAD", store=str(folder / "store")
    )
    containers = Containers((folder,), user=f"{USER}:{USER}")
    mask = os.umask(0)
    try:
        return run_local(
            engine.ROOT / "pipelines" / "training.yaml", arguments, folder / "runs" / "run", containers=containers
        )
    finally:
        os.umask(mask)


@pytest.fixture(scope="module")
def laptop(folder, params, tmp_path_factory):
    """The same steps of the same data in processes of this environment."""
    root = tmp_path_factory.mktemp("laptop")
    arguments = arguments_of(params, data_dvc=str(folder / "repository" / "data.dvc"), store=str(root / "store"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment().items():
            patch.setenv(name, value)
        return run_local(engine.ROOT / "pipelines" / "training.yaml", arguments, root / "run")


def test_every_step_ran_as_user_1000_in_its_container(cluster):
    log = (cluster.folder.parents[0].parent / "run.log").read_text()
    for step in STEPS:
        assert f"Task '{step.replace('_', '-')}' finished with status SUCCESS" in log
    made = [path for path in cluster.folder.rglob("executor_output.json")]
    assert len(made) >= len(STEPS)
    assert {path.stat().st_uid for path in made} == {USER}


def test_the_image_gives_the_model_and_the_figures_of_this_environment(cluster, laptop):
    theirs, ours = (load_artifact(run.output("train", "model")) for run in (cluster, laptop))
    assert theirs.digest == ours.digest
    figures = [read_json(run.output("evaluate", "evaluation") / "metrics.json") for run in (cluster, laptop)]
    assert figures[0] == figures[1]


def test_the_package_lies_in_the_store_under_its_digest(cluster, folder):
    digest = load_artifact(cluster.output("train", "model")).digest
    assert load_artifact(Path(folder / "store" / digest)).digest == digest
