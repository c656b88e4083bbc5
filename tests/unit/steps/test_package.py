"""Package: only a blessed, served artifact is stored, once, read-only, under its digest."""

import json
import shutil
from dataclasses import asdict

import pytest

from fraudline.core.errors import DataError, DigestMismatch, GateFailed
from fraudline.core.files import read_json, write_json
from fraudline.model.artifact import load_artifact
from fraudline.ops.provenance import UNKNOWN, GitState
from fraudline.steps import package as module
from fraudline.steps.package import package
from fraudline.steps.params import Params
from tests.support.packaging import candidate


def _package(found, tmp_path, name="package"):
    return package(**found.inputs(), package=tmp_path / name, store=tmp_path / "store", params=Params())


def test_a_blessed_artifact_lies_under_its_digest_read_only(tmp_path):
    found = candidate(tmp_path)
    result = _package(found, tmp_path)
    entry = tmp_path / "store" / found.digest
    assert load_artifact(entry, found.digest).digest == found.digest
    assert not [path for path in entry.rglob("*") if path.is_file() and path.stat().st_mode & 0o222]
    assert result == {"digest": found.digest, "uri": entry.as_uri()}
    assert read_json(tmp_path / "package" / "package.json") == result


def test_packaging_twice_gives_the_same_files_and_leaves_the_store_alone(tmp_path):
    found = candidate(tmp_path)
    _package(found, tmp_path)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "store").rglob("*")}
    _package(found, tmp_path, "again")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "store").rglob("*")} == before
    for name in ("package.json", "model_card.html"):
        assert (tmp_path / "package" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_the_provenance_of_a_model_that_was_judged_anew_has_its_last_blessing(tmp_path):
    found = candidate(tmp_path)
    _package(found, tmp_path)
    path = tmp_path / "store" / f"{found.digest}.provenance.json"
    write_json(path, read_json(path) | {"registration": {"version": "1"}})
    blessing = read_json(found.blessing / "blessing.json") | {"champion": {"digest": "abc"}}
    write_json(found.blessing / "blessing.json", blessing)
    _package(found, tmp_path, "again")
    assert read_json(path)["blessing"] == blessing
    assert read_json(path)["registration"] == {"version": "1"}


OPEN, COMMIT, OUTSIDE = GitState("a" * 40, dirty=True), GitState("b" * 40, dirty=False), GitState(UNKNOWN, dirty=False)
LATER = GitState("c" * 40, dirty=False)


@pytest.mark.parametrize(
    ("states", "named"),
    [
        ([OPEN, COMMIT, OPEN], COMMIT),
        ([OUTSIDE, COMMIT, OUTSIDE], COMMIT),
        ([OPEN, OUTSIDE], OPEN),
        ([COMMIT, LATER], COMMIT),
    ],
)
def test_code_that_has_a_commit_by_now_is_named_by_it_and_by_nothing_less(tmp_path, monkeypatch, states, named):
    found = candidate(tmp_path)
    for number, state in enumerate(states):
        monkeypatch.setattr(module, "git_state", lambda state=state: state)
        _package(found, tmp_path, str(number))
    assert read_json(tmp_path / "store" / f"{found.digest}.provenance.json")["git"] == asdict(named)


def test_provenance_lies_beside_the_artifact_and_not_in_it(tmp_path):
    found = candidate(tmp_path)
    _package(found, tmp_path)
    provenance = read_json(tmp_path / "store" / f"{found.digest}.provenance.json")
    assert provenance["digest"] == found.digest
    assert provenance["metrics"]["ap"] == 0.61
    assert provenance["blessing"]["blessed"] is True
    assert provenance["git"]["revision"]
    assert provenance["packaged_at"].endswith("+00:00")


def test_the_card_stands_alone_and_shows_the_figures(tmp_path):
    found = candidate(tmp_path)
    _package(found, tmp_path)
    page = (tmp_path / "package" / "model_card.html").read_text()
    assert "0.61" in page
    assert "[0.55, 0.66]" in page
    assert "card testing" in page
    assert found.digest in page
    assert "no &lt;champion&gt;" in page
    assert "1.5e-08" in page
    assert "http" not in page


def test_a_model_that_is_not_blessed_is_refused(tmp_path):
    with pytest.raises(GateFailed, match="not blessed"):
        _package(candidate(tmp_path, blessed=False), tmp_path)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("served", [False, None])
def test_a_model_that_the_server_did_not_reproduce_is_refused(tmp_path, served):
    with pytest.raises(GateFailed, match="did not reproduce"):
        _package(candidate(tmp_path, served=served), tmp_path)


@pytest.mark.parametrize("record", ["blessing", "infra"])
def test_a_record_of_another_model_is_refused(tmp_path, record):
    found, other = candidate(tmp_path / "a"), candidate(tmp_path / "b", seed=1)
    shutil.rmtree(getattr(found, record))
    shutil.copytree(getattr(other, record), getattr(found, record))
    with pytest.raises(DigestMismatch, match=other.digest[:12]):
        _package(found, tmp_path)


def test_figures_changed_after_the_blessing_are_refused(tmp_path):
    found = candidate(tmp_path)
    metrics = found.evaluation / "metrics.json"
    write_json(metrics, {**read_json(metrics), "ap": 0.99})
    with pytest.raises(DigestMismatch, match="other figures"):
        _package(found, tmp_path)


def test_a_changed_artifact_is_refused(tmp_path):
    found = candidate(tmp_path)
    (found.model / "card.md").write_text("better than it is")
    with pytest.raises(DigestMismatch):
        _package(found, tmp_path)


def test_a_stored_artifact_that_was_changed_is_named_and_not_overwritten(tmp_path):
    found = candidate(tmp_path)
    _package(found, tmp_path)
    stored = tmp_path / "store" / found.digest / "card.md"
    stored.chmod(0o644)
    stored.write_text("changed")
    with pytest.raises(DigestMismatch, match="Delete it"):
        _package(found, tmp_path)
    assert stored.read_text() == "changed"


def test_a_step_that_has_not_run_is_named(tmp_path):
    found = candidate(tmp_path)
    shutil.rmtree(found.infra)
    with pytest.raises(DataError, match="infra_validate"):
        _package(found, tmp_path)


def test_savedmodel_files_of_the_first_build_stay(tmp_path):
    """Two builds of one model differ in the SavedModel only: the digest is one, and so is the stored copy."""
    from fraudline.model.artifact import write_manifest

    found = candidate(tmp_path)
    graph = found.model / "savedmodel" / "1" / "saved_model.pb"
    graph.parent.mkdir(parents=True)
    graph.write_bytes(b"\x08\x01")
    assert write_manifest(found.model) == found.digest
    _package(found, tmp_path)
    graph.write_bytes(b"\x08\x02")
    assert write_manifest(found.model) == found.digest
    _package(found, tmp_path)
    stored = tmp_path / "store" / found.digest
    assert (stored / "savedmodel" / "1" / "saved_model.pb").read_bytes() == b"\x08\x01"
    assert json.loads((stored / "manifest.json").read_text())["digest"] == found.digest
