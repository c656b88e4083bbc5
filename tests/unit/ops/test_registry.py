"""The registry by itself: what no step shows."""

import pytest

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.ops.mlflow_client import connect
from fraudline.ops.params import RegistryParams
from fraudline.ops.recorders import DIGEST_TAG
from fraudline.ops.registry import CHALLENGER, CHAMPION, Registry, give_alias, source_of


def test_an_empty_registry_resolves_nothing(tracker):
    registry = Registry(tracker)
    assert registry.resolve(CHAMPION) is None
    assert registry.find("0" * 64) is None


def test_a_champion_registered_again_is_not_its_own_challenger(tracker):
    registry = Registry(tracker)
    model = registry.register("a" * 64, "file:///store/a", tags={})
    give_alias(registry, model)
    again = give_alias(registry, registry.register("a" * 64, "file:///store/a", tags={}))
    assert again.aliases == (CHAMPION,)
    assert registry.resolve(CHALLENGER) is None


def test_an_alias_moves_and_the_address_it_gave_stays(tracker):
    registry = Registry(tracker)
    first = registry.register("a" * 64, "file:///store/a", tags={})
    registry.point(CHALLENGER, first)
    resolved = registry.resolve(CHALLENGER)
    registry.point(CHALLENGER, registry.register("b" * 64, "file:///store/b", tags={"note": "x"}))
    assert resolved is not None
    assert resolved.uri == "file:///store/a"
    assert registry.resolve(CHALLENGER).uri == "file:///store/b"


def test_an_artifact_that_two_runs_registered_at_once_is_its_first_version(tracker):
    registry = Registry(tracker)
    first = registry.register("a" * 64, "file:///store/a", tags={})
    client = connect(tracker.tracking_uri)
    client.create_model_version(tracker.model_name, "file:///store/twice", tags={DIGEST_TAG: "a" * 64})
    assert registry.find("a" * 64) == first


def test_a_server_takes_an_artifact_of_a_folder_that_is_not_its_own():
    """By the rule that a server has and a database has not."""
    from mlflow.exceptions import MlflowException
    from mlflow.server.handlers import _validate_source_run

    folder, digest = "file:///mnt/store/" + "a" * 64, "a" * 64
    with pytest.raises(MlflowException, match="local path"):
        _validate_source_run(folder, "")
    _validate_source_run(source_of(folder, digest, "https://mlflow.example"), "")
    assert digest in source_of(folder, digest, "https://mlflow.example")
    assert source_of(folder, digest, "sqlite:///mlflow.db") == folder
    assert source_of("s3://models/a", digest, "https://mlflow.example") == "s3://models/a"


def test_the_address_of_an_artifact_is_the_one_that_was_registered_whatever_the_source_says(tracker, monkeypatch):
    monkeypatch.setattr("fraudline.ops.registry.source_of", lambda *_: "fraudline://store/a")
    registry = Registry(tracker)
    registry.point(CHALLENGER, registry.register("a" * 64, "file:///store/a", tags={}))
    assert registry.resolve(CHALLENGER).uri == "file:///store/a"


def test_a_version_that_somebody_else_made_is_refused_by_name(tracker):
    client = connect(tracker.tracking_uri)
    client.create_registered_model(tracker.model_name)
    version = client.create_model_version(tracker.model_name, "file:///elsewhere")
    client.set_registered_model_alias(tracker.model_name, CHAMPION, version.version)
    with pytest.raises(UnavailableError, match=r"fraudline\.digest"):
        Registry(tracker).resolve(CHAMPION)


def test_without_an_address_there_is_no_registry():
    with pytest.raises(UsageError, match="tracking_uri"):
        Registry(RegistryParams(tracking_uri=""))
