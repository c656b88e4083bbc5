"""Register: one version a digest; the first model of an empty registry is champion, every later one challenger."""

import pytest

from fraudline.core.errors import DataError, DigestMismatch
from fraudline.core.files import read_json, write_text
from fraudline.ops.params import RegistryParams
from fraudline.ops.recorders import DIGEST_TAG
from fraudline.ops.registry import Registry
from fraudline.ops.tracking import step_run
from fraudline.steps.package import package
from fraudline.steps.params import Params
from fraudline.steps.register import register
from tests.support.packaging import candidate


@pytest.fixture
def params(tracker):
    return Params(registry=tracker)


def _packed(folder, params, seed=0):
    found = candidate(folder, seed)
    write_text(found.evaluation / "index.html", "<p>report</p>")
    package(**found.inputs(), package=folder / "package", store=folder.parent / "store", params=params)
    return found


def _register(folder, params):
    return register(
        package=folder / "package",
        evaluation=folder / "evaluation",
        registration=folder / "registration",
        params=params,
    )


def test_the_first_model_of_an_empty_registry_is_its_champion(tmp_path, params):
    found = _packed(tmp_path / "a", params)
    record = _register(tmp_path / "a", params)
    assert record["aliases"] == ["champion"]
    assert record["bootstrap"] is True
    assert record["version"] == "1"
    champion = Registry(params.registry).resolve("champion")
    assert champion is not None
    assert champion.digest == found.digest
    assert champion.uri == (tmp_path / "store" / found.digest).as_uri()
    assert read_json(tmp_path / "a" / "registration" / "registration.json") == record


def test_a_later_model_is_the_challenger_and_the_champion_stays(tmp_path, params):
    first = _packed(tmp_path / "a", params)
    _register(tmp_path / "a", params)
    second = _packed(tmp_path / "b", params, seed=1)
    record = _register(tmp_path / "b", params)
    assert (record["aliases"], record["bootstrap"], record["version"]) == (["challenger"], False, "2")
    registry = Registry(params.registry)
    assert registry.resolve("champion").digest == first.digest
    assert registry.resolve("challenger").digest == second.digest


def test_registering_again_gives_the_same_record(tmp_path, params):
    _packed(tmp_path / "a", params)
    assert _register(tmp_path / "a", params) == _register(tmp_path / "a", params)


def test_the_version_belongs_to_the_run_that_trained_it(tmp_path, params):
    found = _packed(tmp_path / "a", params)
    with step_run("train", params.registry) as run:
        run.tag(DIGEST_TAG, found.digest)
    assert _register(tmp_path / "a", params)["run_id"] == run.run_id


def test_provenance_is_completed_with_the_registration(tmp_path, params):
    found = _packed(tmp_path / "a", params)
    record = _register(tmp_path / "a", params)
    provenance = read_json(tmp_path / "store" / f"{found.digest}.provenance.json")
    assert provenance["registration"] == record


def test_a_stored_artifact_that_was_changed_is_not_registered(tmp_path, params):
    found = _packed(tmp_path / "a", params)
    card = tmp_path / "store" / found.digest / "card.md"
    card.chmod(0o644)
    card.write_text("changed")
    with pytest.raises(DigestMismatch):
        _register(tmp_path / "a", params)
    assert Registry(params.registry).resolve("champion") is None


def test_without_a_registry_the_step_says_so_and_goes_on(tmp_path, params):
    offline = params.model_copy(update={"registry": RegistryParams(tracking_uri="")})
    _packed(tmp_path / "a", offline)
    assert _register(tmp_path / "a", offline)["registered"] is False


def test_before_packaging_the_missing_step_is_named(tmp_path, params):
    with pytest.raises(DataError, match="package step"):
        _register(tmp_path / "a", params)
