"""The registry by itself: what no step shows."""

import uuid

import pytest

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.ops.mlflow_client import connect
from fraudline.ops.params import RegistryParams
from fraudline.ops.registry import CHALLENGER, CHAMPION, Registry, give_alias
from fraudline.ops.tracking import DIGEST_TAG


@pytest.fixture
def settings(mlflow_uri):
    return RegistryParams(tracking_uri=mlflow_uri, model_name=f"m{uuid.uuid4().hex[:8]}")


def test_an_empty_registry_resolves_nothing(settings):
    registry = Registry(settings)
    assert registry.resolve(CHAMPION) is None
    assert registry.find("0" * 64) is None


def test_a_champion_registered_again_is_not_its_own_challenger(settings):
    registry = Registry(settings)
    model = registry.register("a" * 64, "file:///store/a", tags={})
    give_alias(registry, model)
    again = give_alias(registry, registry.register("a" * 64, "file:///store/a", tags={}))
    assert again.aliases == (CHAMPION,)
    assert registry.resolve(CHALLENGER) is None


def test_an_alias_moves_and_the_address_it_gave_stays(settings):
    registry = Registry(settings)
    first = registry.register("a" * 64, "file:///store/a", tags={})
    registry.point(CHALLENGER, first)
    resolved = registry.resolve(CHALLENGER)
    registry.point(CHALLENGER, registry.register("b" * 64, "file:///store/b", tags={"note": "x"}))
    assert resolved is not None
    assert resolved.uri == "file:///store/a"
    assert registry.resolve(CHALLENGER).uri == "file:///store/b"


def test_an_artifact_that_two_runs_registered_at_once_is_its_first_version(settings):
    registry = Registry(settings)
    first = registry.register("a" * 64, "file:///store/a", tags={})
    client = connect(settings.tracking_uri)
    client.create_model_version(settings.model_name, "file:///store/twice", tags={DIGEST_TAG: "a" * 64})
    assert registry.find("a" * 64) == first


def test_a_version_that_somebody_else_made_is_refused_by_name(settings):
    client = connect(settings.tracking_uri)
    client.create_registered_model(settings.model_name)
    version = client.create_model_version(settings.model_name, "file:///elsewhere")
    client.set_registered_model_alias(settings.model_name, CHAMPION, version.version)
    with pytest.raises(UnavailableError, match=r"fraudline\.digest"):
        Registry(settings).resolve(CHAMPION)


def test_without_an_address_there_is_no_registry():
    with pytest.raises(UsageError, match="tracking_uri"):
        Registry(RegistryParams(tracking_uri=""))
