"""Thresholds that change while the worker runs, two of them side by side, and blocked ones that pass to review."""

import json

import numpy as np
import pytest

from fraudline.core.errors import StateError, UsageError
from fraudline.decide.threshold_log import ThresholdLog
from fraudline.features.engine import FeatureEngine
from fraudline.features.spec import load_spec
from fraudline.model.artifact import load_artifact
from fraudline.model.thresholds import Thresholds
from fraudline.monitor.money import second_arm
from fraudline.monitor.selection import SAMPLE, drawn
from fraudline.stream import scoring as scorings
from fraudline.stream.batch import Judge
from fraudline.stream.metrics import StreamMetrics
from fraudline.stream.params import StreamParams
from fraudline.stream.scoring import open_scoring
from fraudline.stream.worker import Worker
from tests.support.artifacts import tiny_artifact
from tests.support.stop import StopAfter
from tests.unit.stream.fakes import FakeTransport, log_of
from tests.unit.stream.test_partition import TRANSACTIONS


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return load_artifact(tiny_artifact(tmp_path_factory.mktemp("m") / "m", review=0.38, block=0.42))


@pytest.fixture
def rows(artifact):
    return np.random.default_rng(3).normal(0, 3, (40, len(artifact.spec.names))).astype(np.float32)


def written(path, artifact, review, block):
    log = ThresholdLog.begin(artifact.digest, artifact.thresholds, by="ada")
    log = log.then(Thresholds.of(review, block, {"name": "by hand"}), by="ada", why="a test")
    log.write(path)
    return log


def test_a_new_line_of_the_thresholds_file_holds_from_the_next_look_on(artifact, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(scorings, "_LOOK_S", 0.0)
    path = tmp_path / "t.jsonl"
    log = written(path, artifact, 0.1, 0.9)
    scoring = open_scoring(StreamParams(thresholds=str(path)), artifact)
    assert set(scoring.score(rows).decision) == {"review"}
    changed = log.then(Thresholds.of(0.85, 0.9, {"name": "by hand"}), by="bo", why="too many")
    changed.write(path)
    scored = scoring.score(rows)
    assert set(scored.decision) == {"allow"}
    assert set(scored.threshold_version) == {changed.newest.thresholds.version}


def test_until_the_file_is_there_the_models_own_thresholds_hold(artifact, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(scorings, "_LOOK_S", 0.0)
    path = tmp_path / "t.jsonl"
    scoring = open_scoring(StreamParams(thresholds=str(path)), artifact)
    assert set(scoring.score(rows).threshold_version) == {artifact.thresholds.version}
    log = written(path, artifact, 0.1, 0.9)
    assert set(scoring.score(rows).threshold_version) == {log.newest.thresholds.version}
    path.unlink()
    assert set(scoring.score(rows).threshold_version) == {log.newest.thresholds.version}


def test_an_ab_has_both_of_its_files(artifact, tmp_path):
    log = tmp_path / "a.jsonl"
    written(log, artifact, 0.1, 0.9)
    for first, second in ((log, tmp_path / "none"), (tmp_path / "none", log)):
        with pytest.raises(StateError, match="none"):
            open_scoring(StreamParams(thresholds=str(first), thresholds_b=str(second)), artifact)


def test_a_file_that_somebody_changed_is_refused_and_what_held_goes_on_holding(artifact, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(scorings, "_LOOK_S", 0.0)
    path = tmp_path / "t.jsonl"
    log = written(path, artifact, 0.1, 0.9)
    scoring = open_scoring(StreamParams(thresholds=str(path)), artifact)
    path.write_text(path.read_text().replace('"by": "ada"', '"by": "eve"', 1))
    assert set(scoring.score(rows).threshold_version) == {log.newest.thresholds.version}
    with pytest.raises(StateError):
        open_scoring(StreamParams(thresholds=str(path)), artifact)


def decisions(artifact, metrics=None, **params):
    settings = StreamParams(checkpoint_dir="", **params)
    transport = FakeTransport({0: log_of(TRANSACTIONS)})
    worker = Worker(
        params=settings,
        artifact=artifact,
        engines=lambda *_: FeatureEngine(load_spec()),
        judge=Judge(artifact, open_scoring(settings, artifact), settings, "p1"),
        transport=transport,
        metrics=metrics or StreamMetrics("fraud"),
    )
    stop = StopAfter(len(TRANSACTIONS))
    worker.run(stop.event, stop)
    return [json.loads(output.value) for output in transport.outputs if output.topic == "decisions"]


def test_the_metric_shows_the_thresholds_that_decide_not_those_that_the_model_came_with(artifact, tmp_path):
    written(tmp_path / "t", artifact, 0.1, 0.9)
    for more, wanted in (({"thresholds": str(tmp_path / "t")}, (0.1, 0.9)), ({}, (0.38, 0.42))):
        metrics = StreamMetrics("fraud")
        decisions(artifact, metrics, **more)
        shown = [metrics.registry.get_sample_value("fraudline_threshold", {"decision": d}) for d in ("review", "block")]
        assert shown == pytest.approx(wanted)


def test_two_thresholds_decide_side_by_side_by_the_card_and_week_and_the_decision_says_which(artifact, tmp_path):
    a, b = (written(tmp_path / name, artifact, *pair) for name, pair in (("a", (0.05, 0.95)), ("b", (0.9, 0.95))))
    found = decisions(artifact, thresholds=str(tmp_path / "a"), thresholds_b=str(tmp_path / "b"))
    versions = {False: a.newest.thresholds.version, True: b.newest.thresholds.version}
    assert {each["threshold_version"] for each in found} == set(versions.values())
    for each in found:
        assert each["threshold_version"] == versions[second_arm(each["card_id"], each["event_time"], 0.5)]
        assert (each["decision"] == "review") == (each["threshold_version"] == versions[False])
        assert bool(each["reasons"]) == (each["decision"] != "allow")


def test_an_ab_needs_the_first_thresholds(artifact):
    with pytest.raises(UsageError, match="two thresholds files"):
        open_scoring(StreamParams(thresholds_b="b.jsonl"), artifact)


def test_a_drawn_share_of_what_would_be_blocked_passes_to_review_and_says_so(artifact, tmp_path):
    written(tmp_path / "t", artifact, 0.01, 0.02)
    plain = decisions(artifact, thresholds=str(tmp_path / "t"))
    assert {(each["decision"], each["sampled"]) for each in plain} == {("block", 0.0)}
    found = decisions(artifact, thresholds=str(tmp_path / "t"), review_sample=0.5)
    assert {each["decision"] for each in found} == {"block", "review"}
    for each in found:
        passed = drawn(each["transaction_id"], 0.5, SAMPLE)
        assert (each["decision"], each["sampled"]) == (("review", 0.5) if passed else ("block", 0.0))
