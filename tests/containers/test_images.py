"""Both images as they were built: small enough, no root, labelled, and alive on a read-only root file system."""

import json
import time

import pytest

from fraudline import __version__
from tests.containers import engine
from tests.support.artifacts import tiny_artifact

pytestmark = pytest.mark.timeout(1500)
SERVING_BYTES = 600_000_000
READ_ONLY = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL")  # noqa: S108 - a path in the container
ABSENT = ("tensorflow", "mlflow", "dvc", "great_expectations", "kfp")
READY_S = 600


@pytest.fixture(params=["serving", "pipeline"])
def image(request):
    return request.getfixturevalue(request.param)


def test_the_serving_image_keeps_to_its_size_and_leaves_training_out(serving):
    assert engine.inspect(serving)["Size"] <= SERVING_BYTES
    code = f"import importlib.util as u; print([n for n in {ABSENT!r} if u.find_spec(n)])"
    assert engine.docker("run", "--rm", "--entrypoint", "python", serving, "-c", code).strip() == "[]"


def test_an_image_runs_as_a_numeric_user_that_is_not_root(image):
    user, _, group = engine.inspect(image)["Config"]["User"].partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_an_image_says_what_it_is_and_which_revision(image):
    labels = engine.inspect(image)["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.revision"].startswith(engine.run("git", "rev-parse", "HEAD").strip())
    assert labels["org.opencontainers.image.base.name"].startswith("python:")
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.title"].startswith("fraudline")


def test_an_images_entry_point_is_the_command_line_also_on_a_read_only_root(image):
    said = engine.docker("run", "--rm", *READ_ONLY, image, "--version")
    assert said.split()[-1] == __version__


def test_nothing_of_the_build_is_in_an_image(image):
    """The CA bundle of the build is a secret, and the sources of the images are not a part of them."""
    listing = engine.docker("run", "--rm", "--entrypoint", "ls", image, "-A", "/", "/run")
    assert "build" not in listing.split()
    assert "secrets" not in listing.split()
    history = engine.docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    assert "BEGIN CERTIFICATE" not in history


def test_a_predictor_is_healthy_once_its_model_is_verified_and_stops_on_sigterm(serving, tmp_path):
    model = tiny_artifact(tmp_path / "model")
    mount = f"{model}:/mnt/models:ro"
    name = engine.docker("run", "-d", *READ_ONLY, "-v", mount, serving).strip()
    try:
        deadline = time.monotonic() + READY_S
        while (state := health(name)) != "healthy":
            assert time.monotonic() < deadline, f"{state}\n{engine.docker('logs', name)}"
            time.sleep(0.5)
        engine.docker("stop", "-t", "20", name)
        assert json.loads(engine.docker("inspect", name))[0]["State"]["ExitCode"] == 0
    finally:
        engine.docker("rm", "-f", name)


def health(name):
    return json.loads(engine.docker("inspect", name))[0]["State"]["Health"]["Status"]


def test_a_changed_artifact_is_refused_with_the_exit_code_that_says_so(serving, tmp_path):
    model = tiny_artifact(tmp_path / "model")
    (model / "card.md").write_text("another card\n")
    name = engine.docker("run", "-d", *READ_ONLY, "-v", f"{model}:/mnt/models:ro", serving).strip()
    try:
        assert engine.docker("wait", name).strip() == "5"
    finally:
        engine.docker("rm", "-f", name)
