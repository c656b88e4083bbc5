"""The whole pipeline twice on a small data set: by dvc, and as a Kubeflow pipeline under kfp's local runner."""

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from fraudline.core.digest import md5_file
from fraudline.core.errors import ValidationFailed
from fraudline.core.files import read_json
from fraudline.data.generate import generate
from fraudline.data.params import GenerateParams
from fraudline.data.store import write_dataset
from fraudline.model.artifact import load_artifact
from fraudline.ops.params import RegistryParams
from fraudline.ops.pipeline import LocalRun, arguments_of, run_local
from fraudline.ops.registry import CHAMPION, Registry
from fraudline.steps import STEPS
from fraudline.steps.params import Params

ROOT = Path(__file__).parents[2]
STAGES = [name for name in STEPS if name != "profiles"]
DATA = GenerateParams(days=34, cards=200, merchants=150, seed=5, fraud_rate=0.02)
SMALL = {
    "seed": 3,
    "split": {"warmup_days": 3, "validation_days": 5, "test_days": 7, "min_train_days": 5},
    "train": {"epochs": 2, "hidden": [16], "bottlenecks": [2, 3, 4]},
    "evaluate": {"baselines": ["mahalanobis"], "bootstrap": {"resamples": 20}},
    "gate": {"rules": [{"metric": "roc_auc", "min": 0.0}]},
}

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Project:
    """A repository of its own, run both ways: what dvc said, and the local pipeline run."""

    folder: Path
    output: str
    pipeline: LocalRun


def run(*command, folder):
    """Run a command of the environment's in a folder; its output."""
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def environment():
    """One thread a process, and the environment's own commands first."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, **threads, "PATH": path, "DVC_NO_ANALYTICS": "true"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Both ways run side by side: most of their time is imports on one core."""
    folder = tmp_path_factory.mktemp("project") / "checkout"
    _lay_out(folder)
    log = folder.parent / "repro.log"
    with log.open("w") as stream, pytest.MonkeyPatch.context() as patch:
        for name, value in environment().items():
            patch.setenv(name, value)
        repro = subprocess.Popen(["dvc", "repro"], cwd=folder, stdout=stream, stderr=subprocess.STDOUT)
        try:
            patch.chdir(folder)
            pipeline = run_local(ROOT / "pipelines" / "training.yaml", _arguments(folder), folder.parent / "pipeline")
        except BaseException:
            repro.terminate()
            raise
        finally:
            code = repro.wait()
    assert code == 0, log.read_text()
    return Project(folder, log.read_text(), pipeline)


def _lay_out(folder):
    folder.mkdir()
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    (folder / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, folder / ".dvc")
    sections = yaml.safe_load((ROOT / "params.yaml").read_text())
    (folder / "params.yaml").write_text(yaml.safe_dump({**sections, **SMALL}))
    run("git", "init", "-q", folder=folder)
    transactions, labels = generate(DATA)
    write_dataset(folder / "data", transactions, labels, {"name": "small", "currency": "EUR", "generator": None})
    run("dvc", "add", "-q", "data", folder=folder)
    run("dvc", "push", "-q", "data.dvc", folder=folder)


def _arguments(folder):
    params = Params.load(folder / "params.yaml")
    params = params.model_copy(update={"registry": RegistryParams(tracking_uri="")})
    return arguments_of(params, data_dvc="data.dvc", store=str(folder.parent / "store"))


def test_every_stage_ran(project):
    for stage in STAGES:
        assert f"Running stage '{stage}'" in project.output


def test_both_ways_give_the_same_model_and_the_same_figures(project):
    ours = load_artifact(project.folder / "build" / "model")
    theirs = load_artifact(project.pipeline.output("train", "model"))
    differing = {name for name in ours.content if ours.content[name] != theirs.content.get(name)}
    assert not differing
    assert theirs.digest == ours.digest
    figures = read_json(project.folder / "build" / "evaluation" / "metrics.json")
    assert read_json(project.pipeline.output("evaluate", "evaluation") / "metrics.json") == figures


def test_the_local_run_leaves_what_the_interface_renders(project):
    for task, page in (("validate", "data_docs"), ("evaluate", "evaluation_page"), ("package", "model_card")):
        assert "<html" in project.pipeline.output(task, page).read_text()
    assert project.pipeline.output("gate", "blessing_page").read_text().startswith("# Model")
    made = read_json(project.pipeline.folder / "evaluate" / "executor_output.json")["artifacts"]
    assert {"confidenceMetrics", "confusionMatrix"} <= set(made["curves"]["artifacts"][0]["metadata"])


def test_a_run_whose_data_is_refused_ends_with_the_steps_error_and_leaves_its_page(project, tmp_path):
    """Kubeflow uploads the outputs of tasks that succeed only, so the one with the page has to."""
    arguments = _arguments(project.folder)
    arguments["params"]["validation"]["fraud_rate_max"] = 0.0001
    seen = {}
    with pytest.raises(ValidationFailed, match="(?s)Step validate: .*fraud_rate"), contextlib.chdir(project.folder):
        run_local(ROOT / "pipelines" / "training.yaml", arguments, tmp_path / "run", seen.__setitem__)
    (folder,) = (tmp_path / "run" / "runs").iterdir()
    assert "<html" in (folder / "validate" / "data_docs").read_text()
    ended = {task: state for task, state in seen.items() if task not in {"report-status", "exit-handler-1"}}
    assert ended == {"fetch": "SUCCESS", "validate": "SUCCESS", "accept": "FAILURE"}


def test_the_model_is_champion_of_the_empty_registry_and_its_run_holds_all_steps(project):
    from fraudline.ops.mlflow_client import connect

    settings = RegistryParams(tracking_uri=f"sqlite:///{project.folder}/mlflow.db")
    record = read_json(project.folder / "build" / "registration" / "registration.json")
    champion = Registry(settings).resolve(CHAMPION)
    assert champion is not None
    assert champion.digest == record["digest"]
    assert record["bootstrap"] is True
    run = connect(settings.tracking_uri).get_run(record["run_id"])
    assert {"seconds/train", "seconds/evaluate", "seconds/register", "test/ap"} <= set(run.data.metrics)
    assert run.data.params["train.epochs"] == "2"


def test_with_nothing_to_do_dvc_starts_no_stage_and_takes_little_more_than_to_list_them(project):
    output, idle = cpu_seconds("dvc", "repro", folder=project.folder)
    assert "up to date" in output
    assert "Running stage" not in output
    _, listing = cpu_seconds("dvc", "stage", "list", folder=project.folder)
    assert idle <= 3 * listing


def cpu_seconds(*command, folder):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = run(*command, folder=folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return output, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_a_fresh_clone_gets_the_data_only_and_runs_every_stage(project, tmp_path):
    """The lock is committed, the outputs are not: nothing of an earlier run comes with the clone."""
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    run("git", "add", ".", folder=project.folder)
    run("git", *identity, "commit", "-q", "-m", "everything", folder=project.folder)
    clone = tmp_path / "clone"
    run("git", "clone", "-q", str(project.folder), str(clone), folder=tmp_path)
    assert (clone / "dvc.lock").is_file()
    stored = sum(path.is_file() for path in (clone / ".dvc-store").rglob("*"))
    listing = 1
    assert stored == listing + len({md5_file(path) for path in (project.folder / "data").rglob("*") if path.is_file()})
    run("dvc", "pull", "-q", "data.dvc", folder=clone)
    status = json.loads(run("dvc", "status", "--json", folder=clone))
    assert sorted(status) == sorted(STAGES)
    for stage, changes in status.items():
        made = next(change["changed outs"] for change in changes if "changed outs" in change)
        assert set(made.values()) <= {"deleted", "not in cache"}, stage
    assert "Running stage 'fetch'" in run("dvc", "repro", "fetch", folder=clone)
