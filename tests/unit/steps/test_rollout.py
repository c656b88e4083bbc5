"""Judge and step against a bare Git remote and recorded metrics: from the first share to champion, or back."""

import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.ops.gitops.verify import verify
from fraudline.ops.local.scraper import LocalScraper, Samples
from fraudline.ops.params import RegistryParams
from fraudline.ops.registry import Registry, give_alias
from fraudline.steps.promote import promote
from fraudline.steps.rollout import Sources, judge_rollout, step_rollout
from tests.support.gitops import Forge, git

JUDGE = {"min_rows": 400, "min_minutes": 5, "inconclusive_minutes": 600}
EDGES = ("0.001", "0.0025", "0.005", "0.01", "+Inf")


class Case:
    """A canary at the first step, and metrics that a test writes minute by minute."""

    def __init__(self, forge, first, second):
        self.forge, self.first, self.second = forge, first, second
        self.samples = Samples()
        self.rng = np.random.default_rng(5)
        self.counters = {}
        self.now = time.time() + 1

    def minutes(self, count, *, errors=0.0, alerts=0.02, slow=1.0, constant=False):
        """Traffic of some minutes; the canary's share follows the state on main."""
        weights = self.forge.state().weights()
        for _ in range(count):
            self.now += 60
            for entry, bad in ((self.first, False), (self.second, True)):
                n = round(20 * weights.get(entry.name, 0))
                given = (errors, alerts, slow, constant) if bad else (0.0, 0.02, 1.0, False)
                self._minute(entry.name[:12], n, *given)

    def _minute(self, version, n, errors, alerts, slow, constant):
        failed = self.rng.binomial(n, errors)
        seconds = self.rng.lognormal(np.log(0.002 * slow), 0.4, n)
        bands = np.bincount(self.rng.choice(4, n, p=[0, 1, 0, 0] if constant else [0.5, 0.4, 0.09, 0.01]), minlength=4)
        grown = {("score_seconds_count", ""): n, ("failed_total", ""): failed, ("rows_total", ""): n - failed}
        grown |= {("reviews_total", ""): self.rng.binomial(n, alerts), ("blocks_total", ""): 0}
        grown |= {("score_seconds_bucket", e): int((seconds <= float(e)).sum()) for e in EDGES}
        grown |= {("score_band_total", str(band)): int(count) for band, count in enumerate(bands)}
        for (name, label), value in grown.items():
            key = (version, name, label)
            self.counters[key] = self.counters.get(key, 0) + value
            kind = "le" if name.endswith("bucket") else "band"
            labels = {"version": version, "model": "fraud"} | ({kind: label} if label else {})
            self.samples.add(self.now, f"fraudline_predictor_{name}", labels, self.counters[key])

    def call(self, function, scraper, **more):
        """Judge or step at the present of the story."""
        given = {"to": "production", "params": self.forge.params, "repo": self.forge.work}
        given |= {"sources": Sources(scraper.url), "now": datetime.fromtimestamp(self.now + 1, UTC)}
        return function(**given | more)

    def judge(self, **more):
        with LocalScraper({}, samples=self.samples) as scraper:
            return self.call(judge_rollout, scraper, **more)

    def step(self, **more):
        with LocalScraper({}, samples=self.samples) as scraper:
            return self.call(step_rollout, scraper, **{"key": self.forge.key} | more)

    def merge(self, branch):
        """Merge as a person does at the present of the story; CI has verified it."""
        git(self.forge.work, "fetch", "-q", "origin")
        assert verify(self.forge.work, "origin/main", f"origin/{branch}")
        self.forge.merge(branch)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    forge = Forge(tmp_path_factory.mktemp("begun"), rules={"judge": JUDGE})
    first = forge.model(1)
    second = forge.model(2, champion=first.name)
    for entry in (first, second):
        result = promote(to="production", key=forge.key, params=forge.params, repo=forge.work, artifact=entry)
        forge.merge(result["branch"])
    return forge, first, second


@pytest.fixture
def case(begun, tmp_path, monkeypatch):
    made = Case(begun[0].copied(tmp_path), *begun[1:])

    class Clock:
        """Git's commits are made at the story's present."""

        def __call__(self):
            moment = f"{int(made.now)} +0000"
            monkeypatch.setenv("GIT_AUTHOR_DATE", moment)
            monkeypatch.setenv("GIT_COMMITTER_DATE", moment)

    made.tick = Clock()
    return made


def test_a_good_canary_goes_step_by_step_to_champion(case):
    seen = []
    for _ in range(3):
        case.minutes(60)
        result = case.step()
        seen.append((result["action"], result["verdict"]["verdict"], result["branch"].split("-")[1]))
        case.tick()
        case.merge(result["branch"])
    assert seen == [("propose", "successful", what) for what in ("25", "50", "promoted")]
    assert case.forge.state().weights() == {case.second.name: 100}
    assert "| alerts |" in git(case.forge.remote, "log", "--format=%b", "main")


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"errors": 0.05}, "errors"),
        ({"alerts": 0.2}, "alerts"),
        ({"slow": 2.0}, "latency"),
        ({"constant": True}, "scores"),
    ],
)
def test_a_bad_canary_is_taken_back_with_the_verdict_in_the_text(case, bad, named):
    case.minutes(25, **bad)
    result = case.step(key=None)  # taking traffic away needs no key
    assert result["verdict"]["verdict"] == "failed"
    assert named in result["verdict"]["reason"]
    case.merge(result["branch"])
    assert case.forge.state().weights() == {case.first.name: 100}
    assert "**failed** at 10 %" in result["body"]


def test_too_early_changes_nothing(case):
    case.minutes(2)
    result = case.step()
    assert (result["action"], result["verdict"]["verdict"]) == ("wait", "inconclusive")
    assert "2.0 of 5 minutes" in result["verdict"]["reason"] or "rows" in result["verdict"]["reason"]


def test_a_step_that_nobody_merged_yet_is_proposed_once(case):
    case.minutes(60)
    first = case.step()
    before = case.forge.branches()
    case.minutes(5)
    second = case.step()
    assert (second["branch"], second["pushed"], second["revision"]) == (first["branch"], False, first["revision"])
    assert case.forge.branches() == before


def test_a_dry_run_says_it_and_pushes_nothing(case):
    case.minutes(60)
    before = case.forge.branches()
    result = case.step(dry_run=True)
    assert result["title"].endswith("from 10 % to 25 % in production")
    assert case.forge.branches() == before


def test_after_its_limit_an_undecided_rollout_asks_a_person(case):
    case.minutes(1)
    case.now += 36_000
    result = case.step()
    assert result["action"] == "ask"
    assert "waits for a person" in result["title"]


def test_with_auto_merge_the_step_lands_and_the_registrys_champion_follows_at_the_end(case, tmp_path):
    settings = RegistryParams(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db", model_name="m")
    registry = Registry(settings)
    for entry in (case.first, case.second):
        give_alias(registry, registry.register(entry.name, entry.as_uri(), tags={}))
    rules = case.forge.params.rollout
    rules = rules.model_copy(update={"forge": rules.forge.model_copy(update={"auto_merge": True})})
    params = case.forge.params.model_copy(update={"rollout": rules, "registry": settings})
    for _ in range(3):
        assert registry.resolve("champion").digest == case.first.name
        case.minutes(60)
        case.tick()
        assert case.step(params=params)["action"] == "merged"
    assert registry.resolve("champion").digest == case.second.name
    assert case.step(params=params) == {"action": "none", "alias": ""}


def test_without_a_rollout_there_is_nothing_to_judge(case):
    case.minutes(25, errors=0.5)
    case.merge(case.step()["branch"])
    with pytest.raises(UsageError, match="no rollout"):
        case.judge()


def test_a_prometheus_that_does_not_answer_is_named(case):
    with pytest.raises(UnavailableError, match="127.0.0.1:9"):
        case.judge(sources=Sources("http://127.0.0.1:9"))


def test_a_restarted_predictor_loses_no_counts(case):
    case.minutes(10)
    case.counters = {key: 0 for key in case.counters}
    case.minutes(60)
    assert case.judge()["verdict"] == "successful"


def test_mature_labels_add_precision_and_recall(case, tmp_path):
    case.minutes(60)
    rng = np.random.default_rng(0)
    n = 20_000
    canary = rng.random(n) < 0.5
    fraud = rng.random(n) < np.where(canary, 0.1, 0.6)  # the canary's alerts are false alarms
    table = pa.table(
        {
            "score": rng.random(n).astype(np.float32),
            "model_version": np.where(canary, case.second.name[:12], case.first.name[:12]),
            "decision": ["review"] * n,
            "event_time": [datetime(2026, 1, 5, tzinfo=UTC) + timedelta(seconds=i) for i in range(n)],
            "is_fraud": fraud,
        }
    )
    pq.write_table(table, tmp_path / "decisions.parquet")
    with LocalScraper({}, samples=case.samples) as scraper:
        sources = Sources(scraper.url, tmp_path / "decisions.parquet")
        verdict = case.call(judge_rollout, scraper, sources=sources)
    assert verdict["verdict"] == "failed"
    assert "false_alarms" in verdict["reason"]
    (check,) = (c for c in verdict["checks"] if c["name"] == "false_alarms")
    assert check["canary"] == pytest.approx(0.9, abs=0.02)
