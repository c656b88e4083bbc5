"""compose.yaml and the images: one version everywhere, nothing floating, nothing beyond loopback."""

import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from components.image import IMAGE, VERSION
from fraudline import __version__
from fraudline.ops.local.kafka import KAFKA_VERSION
from fraudline.steps.params import Params

ROOT = Path(__file__).parents[2]
OURS = "/".join(IMAGE.split("/")[-2:])
"""The image of the components without the address of a registry, which a cluster's own checkout has before it."""
CORE = {"kafka", "champion", "canary", "envoy", "worker", "producer"}


@cache
def compose():
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def services():
    return compose()["services"]


def image(service):
    """The image that a service runs when no variable names another."""
    return re.sub(r"\$\{\w+:-([^}]+)\}", r"\1", services()[service]["image"])


def test_the_version_is_the_same_wherever_an_image_is_named():
    assert __version__ == VERSION
    makefile = (ROOT / "Makefile").read_text()
    assert f"\nVERSION := {__version__}\n" in makefile
    kustomization = yaml.safe_load((ROOT / "manifests" / "base" / "kustomization.yaml").read_text())
    serving = f"fraudline/predictor:{__version__}"
    assert {"name": "fraudline/predictor", "newTag": __version__} in kustomization["images"]
    assert {image(s) for s in ("champion", "canary", "worker", "producer")} == {serving}
    assert {image(s) for s in ("mlflow", "bucket")} == {OURS}
    assert image("kafka") == f"apache/kafka:{KAFKA_VERSION}"


@pytest.mark.parametrize("service", sorted(yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]))
def test_a_service_names_an_exact_version(service):
    tag = image(service).rpartition(":")[2]
    assert re.search(r"\d+\.\d+|RELEASE\.\d{4}-\d{2}-\d{2}", tag), image(service)


def test_the_profile_core_is_the_stream_and_full_has_everything():
    assert {name for name, service in services().items() if "core" in service["profiles"]} == CORE
    assert all("full" in service["profiles"] for service in services().values())


def test_ports_are_published_on_loopback_only():
    published = [port for service in services().values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_our_containers_have_a_read_only_root_and_no_capability():
    ours = [s for name, s in services().items() if image(name).startswith("fraudline/")]
    assert len(ours) == 6
    for service in ours:
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


def test_the_driver_of_the_tracking_servers_database_is_in_the_image():
    from sqlalchemy import make_url

    command = services()["mlflow"]["command"]
    address = command[command.index("--backend-store-uri") + 1].replace("${POSTGRES_PASSWORD:-mlflow-local}", "secret")
    driver = make_url(address).get_driver_name()  # of an address without one: what SQLAlchemy takes by default
    assert f"\n{driver}-binary==" in (ROOT / "requirements" / "cloud.lock").read_text()


def test_the_worker_is_healthy_when_it_can_decide_and_metrics_are_where_they_are_asked_for():
    params = Params.load(ROOT / "docker" / "compose" / "params.yaml")
    assert services()["worker"]["environment"]["HEALTH_URL"].endswith(f":{params.stream.metrics_port}/readyz")
    scraped = (ROOT / "docker" / "compose" / "prometheus.yaml").read_text()
    assert f"worker:{params.stream.metrics_port}" in scraped
