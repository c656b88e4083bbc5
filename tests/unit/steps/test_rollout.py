"""Judge and step against a bare Git remote and recorded metrics: from the first share to champion, or back."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fraudline.cli.main import cli
from fraudline.core.errors import PromotionRefused, StateError, UnavailableError, UsageError
from fraudline.decide.outcomes import arms_of, read_outcomes
from fraudline.monitor.canary import DEFAULT_CHECKS, JudgeParams, judge
from fraudline.ops.gitops.observe import Prometheus, observe
from fraudline.ops.local.scraper import LocalScraper
from fraudline.ops.registry import Registry, give_alias
from fraudline.steps.promote import promote
from fraudline.steps.rollout import Sources, judge_rollout, revert_rollout
from tests.support.gitops import Forge, git
from tests.support.rollout import JUDGE, Case


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
        ({"blocks": 0.2}, "alerts"),
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
    assert "400 of 400 rows and 2.0 of 5 minutes" in result["verdict"]["reason"]


def test_rows_and_minutes_are_those_of_the_step_and_the_evidence_that_of_the_whole_rollout(case):
    case.minutes(60)
    result = case.step()
    (before,) = (check for check in result["verdict"]["checks"] if check["name"] == "alerts")
    case.tick()
    case.merge(result["branch"])
    case.minutes(2)
    verdict = case.judge()
    (after,) = (check for check in verdict["checks"] if check["name"] == "alerts")
    assert (verdict["percent"], verdict["rows"], round(verdict["minutes"])) == (25, 2 * 20 * 25, 2)
    assert after["events"] >= before["events"] > 1_000


def test_the_share_of_errors_is_one_of_all_requests(case):
    case.minutes(25, errors=0.5)
    (errors,) = (check for check in case.judge()["checks"] if check["name"] == "errors")
    assert errors["canary"] == pytest.approx(0.5, abs=0.05)


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


def test_a_canary_that_answered_well_and_then_nothing_goes_no_further(case):
    case.minutes(60)
    assert case.judge()["verdict"] == "successful"
    case.now += 900
    assert case.step()["action"] == "wait"
    assert case.judge()["reason"] == "the canary has scored nothing for 15 minutes."


def test_a_canary_that_never_becomes_ready_is_taken_back_with_that_reason(case):
    case.minutes(29, dead=True)
    assert case.step()["action"] == "wait", "a node, an image and a model take their time"
    case.minutes(2, dead=True)
    result = case.step(key=None)
    assert "the canary has answered nothing for 31 minutes" in result["verdict"]["reason"]
    case.merge(result["branch"])
    assert case.forge.state().weights() == {case.first.name: 100}


def test_a_canary_that_dies_after_answering_well_is_taken_back(case):
    case.minutes(20)
    case.minutes(31, dead=True)
    assert case.judge()["verdict"] == "failed"
    case.minutes(1)
    assert case.judge()["verdict"] != "failed", "it is back"


def test_where_nobody_asks_a_canary_that_answers_nothing_is_not_to_blame(case):
    case.now += 7_200
    assert case.judge()["verdict"] == "inconclusive"


def test_a_merge_by_fast_forward_does_not_make_a_canary_late(case):
    git(case.forge.work, "checkout", "-q", "-B", "main", "origin/main^2")
    git(case.forge.work, "push", "-q", "-f", "origin", "main")
    case.minutes(600, dead=True)
    assert case.judge()["verdict"] == "inconclusive"


def test_a_step_begins_with_the_canarys_first_row_however_old_the_commit_is(case):
    """A merge by fast-forward keeps the time of the commit that was proposed, days ago."""
    case.now += 3 * 86_400
    case.minutes(2)
    result = case.step()
    assert result["action"] == "wait"
    assert round(result["verdict"]["minutes"]) == 2


def test_with_auto_merge_the_step_lands_and_the_registrys_champion_follows_at_the_end(case, tracker):
    registry = Registry(tracker)
    for entry in (case.first, case.second):
        give_alias(registry, registry.register(entry.name, entry.as_uri(), tags={}))
    rules = case.forge.params.rollout
    rules = rules.model_copy(update={"forge": rules.forge.model_copy(update={"auto_merge": True})})
    params = case.forge.params.model_copy(update={"rollout": rules, "registry": tracker})
    for _ in range(3):
        assert registry.resolve("champion").digest == case.first.name
        case.minutes(60)
        case.tick()
        assert case.step(params=params)["action"] == "merged"
    assert registry.resolve("champion").digest == case.second.name
    assert case.step(params=params) == {"action": "none", "alias": ""}


def test_a_merge_that_is_dated_in_the_future_is_named_and_not_waited_for(case):
    case.now -= 86_400
    with pytest.raises(StateError, match="1,440 minutes after the present"):
        case.judge()


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


def test_a_restart_that_hides_rows_and_not_their_alerts_takes_no_good_canary_back(case):
    """Between two looks a predictor restarts and scores about as many rows as before: only the alerts show it."""
    case.minutes(60)
    version = case.second.name[:12]
    for name, value in (("rows_total", case.counters[version, "rows_total", ""] + 1), ("reviews_total", 9)):
        case.samples.add(case.now + 60, f"fraudline_predictor_{name}", {"version": version, "model": "fraud"}, value)
    case.now += 60
    assert case.judge()["verdict"] == "successful"


def test_an_environment_that_shares_its_prometheus_with_another_is_judged_by_its_own_series(case):
    """In staging the champion alerts on everything: beside that a good canary alerts on too few."""
    rules = case.forge.params.rollout
    mine = {"production": rules.environments["production"].model_copy(update={"series": 'namespace="fraud"'})}
    params = case.forge.params.model_copy(update={"rollout": rules.model_copy(update={"environments": mine})})
    case.labels = {"namespace": "fraud"}
    staged = 0
    for _ in range(60):
        case.minutes(1)
        staged += 1_000
        for name in ("rows_total", "reviews_total", "score_seconds_count"):
            labels = {"version": case.first.name[:12], "model": "fraud", "namespace": "staging"}
            case.samples.add(case.now, f"fraudline_predictor_{name}", labels, staged)
    assert case.judge()["verdict"] == "failed"
    assert case.judge(params=params)["verdict"] == "successful"


def test_the_strata_of_a_long_rollout_are_those_of_the_look_before(case, monkeypatch):
    monkeypatch.setattr("fraudline.ops.gitops.observe._POINTS", 20)
    begin = case.now
    case.minutes(50)
    with LocalScraper({}, samples=case.samples) as scraper:
        source, versions = Prometheus(scraper.url), (case.second.name[:12], case.first.name[:12])
        earlier, later = (
            observe(source, *versions, begin, begin + 60 * minutes, seconds=60) for minutes in (45.0, 50.0)
        )
    assert later.starts[: len(earlier.starts)].tolist() == earlier.starts.tolist()
    assert later.rows.tolist() == [4 * 200] * 12


def arms(folder, words, fraud, canary, **columns):
    """What the judge compares of decisions whose blocked ones have no chargeback."""
    rows = len(words)
    fraud = fraud & (words != "block")
    start = datetime(2026, 1, 5, tzinfo=UTC)
    table = {
        "transaction_id": [f"t{i}" for i in range(rows)],
        "score": np.zeros(rows, np.float32),
        "model_version": np.where(canary, "c", "m"),
        "decision": words,
        "event_time": [start + timedelta(minutes=i) for i in range(rows)],
        "is_fraud": fraud,
    }
    pq.write_table(pa.table(table | columns), folder / "d.parquet")
    return arms_of(read_outcomes(folder / "d.parquet", dataset=None, label_delay_days=7), "c", "m")


def test_a_canary_that_blocks_more_of_the_frauds_is_not_taken_for_a_worse_one(tmp_path):
    """Both alert on the same rows, half of them frauds; the canary would block 60 % of the frauds, the other 20 %."""
    rng = np.random.default_rng(0)
    n = 60_000
    canary, fraud = rng.random(n) < 0.5, rng.random(n) < 0.5
    would = fraud & (rng.random(n) < np.where(canary, 0.6, 0.2))
    assert arms(tmp_path, np.where(would, "block", "review"), fraud, canary) == {}, "the rest alone is not comparable"
    drawn = would & (rng.random(n) < 0.2)
    words = np.where(would & ~drawn, "block", "review")
    found = arms(tmp_path, words, fraud, canary, sampled=np.where(drawn, 0.2, 0.0))
    check = DEFAULT_CHECKS["false_alarms"]
    verdict = judge(found, JudgeParams(checks={"false_alarms": check}), begin={}, rows=n, minutes=10_000)
    shown = verdict["checks"][0]
    assert verdict["verdict"] == "successful"
    assert shown["canary"] == pytest.approx(0.5, abs=0.03)
    assert shown["champion"] == pytest.approx(0.5, abs=0.03)
    assert found["false_alarms"].n.sum() == pytest.approx(0.2 * canary.sum(), rel=0.05)


def test_what_was_blocked_is_no_false_alarm(tmp_path):
    words = np.array(["block", "review", "review", "allow"] * 20)
    found = arms(tmp_path, words, np.ones(80, bool), np.arange(80) >= 40, sampled=np.where(words == "block", 0.0, 1.0))
    assert found["false_alarms"].n.sum() == 20
    assert found["false_alarms"].x.sum() == 0
    assert found["missed_frauds"].n.sum() == 30


def judged_with_labels(case, folder, frauds, **more):
    """The verdict on 20,000 alerts; ``frauds`` is the share of frauds among the canary's, .6 the other's."""
    rng = np.random.default_rng(0)
    n = 20_000
    canary = rng.random(n) < 0.5
    table = pa.table(
        {
            "score": rng.random(n).astype(np.float32),
            "model_version": np.where(canary, case.second.name[:12], case.first.name[:12]),
            "decision": ["review"] * n,
            "event_time": [datetime(2026, 1, 5, tzinfo=UTC) + timedelta(seconds=26 * i) for i in range(n)],
            "is_fraud": rng.random(n) < np.where(canary, frauds, 0.6),
        }
    )
    pq.write_table(table, folder / "decisions.parquet")
    with LocalScraper({}, samples=case.samples) as scraper:
        return case.call(judge_rollout, scraper, sources=Sources(scraper.url, folder / "decisions.parquet"), **more)


def test_a_step_that_needs_labels_goes_on_once_they_show_that_the_canary_is_as_good(case, tmp_path):
    """Days of labels are few beside the minutes of the rollout, of which the step is not the first."""
    case.minutes(60)
    case.tick()
    case.merge(case.step()["branch"])
    case.minutes(60)
    rules = case.forge.params.rollout
    needed = DEFAULT_CHECKS["false_alarms"].model_copy(update={"needed": True})
    settings = rules.judge.model_copy(update={"checks": {"false_alarms": needed}, "consecutive_success_limit": 2})
    params = case.forge.params.model_copy(update={"rollout": rules.model_copy(update={"judge": settings})})
    assert judged_with_labels(case, tmp_path, 0.6, params=params)["verdict"] == "successful"


def test_mature_labels_add_precision_and_recall(case, tmp_path):
    case.minutes(60)
    verdict = judged_with_labels(case, tmp_path, 0.1)  # the canary's alerts are false alarms
    assert verdict["verdict"] == "failed"
    assert "false_alarms" in verdict["reason"]
    (check,) = (c for c in verdict["checks"] if c["name"] == "false_alarms")
    assert check["canary"] == pytest.approx(0.9, abs=0.02)


def back(case, **more):
    given = {"to": "production", "because": "alerts doubled", "params": case.forge.params, "repo": case.forge.work}
    return revert_rollout(**given | {"now": datetime.fromtimestamp(case.now + 1, UTC)} | more)


def finished(case):
    """The canary is champion."""
    while case.forge.state().canary is not None:
        case.minutes(60)
        case.tick()
        case.merge(case.step()["branch"])


def test_a_person_takes_the_canary_back_with_neither_verdict_nor_key_nor_prometheus(case):
    planned = back(case, dry_run=True)
    assert (planned["state"], case.forge.branches() & {planned["branch"]}) == ("planned", set())
    assert "-  canary:" in planned["diff"]
    proposed = back(case)
    assert "alerts doubled" in proposed["body"]
    assert back(case)["pushed"] is False
    case.merge(proposed["branch"])
    assert case.forge.state().weights() == {case.first.name: 100}
    with pytest.raises(PromotionRefused, match="no rollout") as caught:
        back(case)
    assert "--champion" in caught.value.action


@pytest.mark.parametrize("person", [False, True], ids=["judge", "person"])
def test_a_step_forward_that_nobody_merged_is_withdrawn_when_the_canary_is_taken_back(case, person):
    case.minutes(60)
    ahead = case.step()["branch"]
    assert ahead in case.forge.branches()
    case.minutes(60, errors=0.2)
    result = back(case) if person else case.step()
    assert "-revert-" in result["branch"]
    assert (ahead in case.forge.branches(), result["branch"] in case.forge.branches()) == (False, True)


def test_a_good_verdict_waits_for_what_a_person_proposed_and_goes_on_once_it_is_deleted(case):
    branch = back(case)["branch"]
    case.minutes(60)
    result = case.step()
    assert (result["action"], result["back"], case.forge.branches() & {branch}) == ("wait", branch, {branch})
    git(case.forge.work, "push", "-q", "origin", f":{branch}")
    assert case.step()["action"] == "propose"


def test_a_remote_that_keeps_its_branches_does_not_keep_a_canary_from_being_taken_back(case):
    case.minutes(60)
    ahead = case.step()["branch"]
    git(case.forge.remote, "config", "receive.denyDeletes", "true")
    proposed = back(case)
    assert {ahead, proposed["branch"]} <= case.forge.branches()


def test_what_the_judge_and_a_person_take_back_is_one_pull_request(case):
    case.minutes(25, errors=0.05)
    judged = case.step()
    assert back(case)["branch"] == judged["branch"]
    assert "**failed**" in back(case)["body"]
    assert back(case, merge=True)["action"] == "merged"
    assert case.forge.state().weights() == {case.first.name: 100}


def test_a_person_takes_the_champion_back_and_the_model_before_it_serves_again_and_no_other(case):
    with pytest.raises(PromotionRefused, match="is at 10 %"):
        back(case, champion=case.first.name[:12])
    finished(case)
    with pytest.raises(PromotionRefused, match=f"{case.second.name[:12]} is served, not"):
        back(case, champion=case.first.name[:12])
    case.merge(back(case, champion=case.second.name[:12])["branch"])
    assert case.forge.state().weights() == {case.first.name: 100}
    assert f'champion: "{case.first.as_uri()}"' in git(case.forge.remote, "show", "main:params.yaml")
    assert case.forge.evidence()["stable"]["promotion"]["record"]["model"]["digest"] == case.first.name
    with pytest.raises(PromotionRefused, match=f"{case.first.name[:12]} is served, not"):
        back(case, champion=case.second.name[:12])
    with pytest.raises(PromotionRefused, match="No model was served before"):
        back(case, champion=case.first.name[:12])


def test_the_command_of_the_night_says_that_it_merged(case):
    told = ["rollout", "revert", "--because", "alerts doubled", "--merge", "--repo", str(case.forge.work)]
    done = CliRunner().invoke(cli, [*told, "--params", str(case.forge.work / "params.yaml")])
    assert done.exit_code == 0, done.output
    assert done.output.rstrip().endswith(": merged")
    assert case.forge.state().weights() == {case.first.name: 100}
