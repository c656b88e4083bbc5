"""One look at the signs: what is done once stays done once, whoever looks and whoever is killed."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fraudline.core.errors import DataError, GateFailed, PromotionRefused, StateError, UnavailableError
from fraudline.core.files import write_json, write_text
from fraudline.model.params import TrainParams
from fraudline.monitor.renewal import RenewParams, Signs
from fraudline.steps.params import Params
from fraudline.steps.retrain import retrain
from fraudline.steps.retrain_journal import JOURNAL, opened, read_journal
from fraudline.steps.retrain_signs import look
from tests.support.json_server import JsonServer

NOW = datetime(2026, 6, 1, 6, tzinfo=UTC)
RULES = RenewParams(schedule_days=0, drift_days=0)
SIGNS = Signs(data="b" * 32, trained_on="a" * 32, champion="m", drifted=("amount",))
OTHER = Signs(data="c" * 32, trained_on="a" * 32, champion="m", drifted=("amount",))


class Kitchen:
    """A trainer that counts, and fails in the way it is told."""

    def __init__(self, *ends, holding=()):
        self.ends, self.runs, self.holding = list(ends), [], holding

    def holds(self, run):
        return run in self.holding

    def train(self, run, lock):
        self.runs.append(run)
        end = self.ends.pop(0) if self.ends else {"state": "trained", "digest": "d" * 64, "uri": "file:///store/d"}
        if isinstance(end, Exception):
            raise end
        return end


def once(folder, kitchen, *, signs=SIGNS, now=NOW, propose=lambda noted: {"branch": f"promote/{noted['digest'][:4]}"},
         params=RULES, **more):  # fmt: skip
    return retrain(folder=folder, signs=signs, params=params, now=now, trainer=kitchen, propose=propose, **more)


def test_drift_is_trained_proposed_and_written_down_once(tmp_path):
    kitchen = Kitchen()
    done = once(tmp_path, kitchen)
    assert (done["action"], done["branch"], done["reason"]) == ("proposed", "promote/dddd", "drift: amount")
    again = once(tmp_path, kitchen, now=NOW + timedelta(days=30))
    assert again["action"] == "wait"
    assert len(kitchen.runs) == 1
    said = [line.get("state", line.get("decision")) for line in read_journal(tmp_path / JOURNAL)]
    assert said == ["begun", "trained", "proposed", "wait"]


def test_a_model_that_is_served_already_was_not_proposed(tmp_path):
    done = once(tmp_path, Kitchen(), propose=lambda _: {"branch": "", "revision": "abc", "url": "", "state": "merged"})
    assert (done["action"], "branch" in done, "url" in done) == ("served", False, False)
    assert once(tmp_path, Kitchen(), now=NOW + timedelta(hours=1))["action"] == "wait", "the run is over"


def looks(folder, kitchen, *signs):
    """What a look every fifth day does."""
    rules = RenewParams(schedule_days=0, drift_days=14)
    return [
        once(folder, kitchen, signs=each, now=NOW + timedelta(days=5 * number), params=rules)["action"]
        for number, each in enumerate(signs)
    ]


def test_drift_asks_for_a_run_when_it_has_gone_on_for_long_enough(tmp_path):
    assert looks(tmp_path, Kitchen(), SIGNS, SIGNS, SIGNS, SIGNS) == ["wait", "wait", "wait", "proposed"]


@pytest.mark.parametrize("between", [replace(SIGNS, drifted=()), replace(SIGNS, champion="another")])
def test_a_drift_that_ended_or_was_another_champions_is_not_counted(tmp_path, between):
    assert looks(tmp_path, Kitchen(), SIGNS, SIGNS, between, SIGNS, SIGNS, SIGNS) == ["wait"] * 6


def flickering(seen: str) -> list[tuple[timedelta, Signs]]:
    """A look every six hours at a report that is made anew each morning; a letter a day, ``x`` where it drifted."""
    quiet = replace(SIGNS, drifted=())
    return [
        (timedelta(days=day, hours=h), SIGNS if x == "x" else quiet)
        for day, x in enumerate(seen)
        for h in range(0, 24, 6)
    ]


@pytest.mark.parametrize(
    ("seen", "day"),
    [
        ("xxxxxxxxxxxxxxx", 14),
        ("xxx.xxxx..xx.xxxx", 14),
        ("xxxxxxxxxxxxxx.x", 15),
        ("xx..x....xxxxxxxxxxxxxxx", 23),
        ("x..........x..........x", None),
    ],
    ids=["steady", "it flickers", "quiet on its day", "it ended, and another came", "three of a day each"],
)
def test_a_drift_that_flickers_grows_old_and_one_that_ended_does_not(tmp_path, seen, day):
    kitchen, rules = Kitchen(), RenewParams(schedule_days=0, drift_days=14)
    acted = [at.days for at, signs in flickering(seen)
             if once(tmp_path, kitchen, signs=signs, now=NOW + at, params=rules)["action"] == "proposed"]  # fmt: skip
    assert acted == ([] if day is None else [day])


def test_the_schedule_waits_for_a_young_drift_that_a_look_did_not_see(tmp_path):
    rules = RenewParams(schedule_days=7, drift_days=14)
    acted = [
        (at, once(tmp_path, Kitchen(), signs=signs, now=NOW + at, params=rules))
        for at, signs in flickering("xx.x....xx")
    ]
    begun = [at for at, done in acted if done["action"] == "proposed"]
    assert begun[0] == timedelta(days=7, hours=12), "three days and a half after the first look that saw none"


def test_a_look_that_nobody_measured_drift_for_does_not_end_it(tmp_path):
    blind = replace(SIGNS, drifted=(), measured=False)
    assert looks(tmp_path, Kitchen(), SIGNS, blind, blind, SIGNS) == ["wait", "wait", "wait", "proposed"]


@pytest.mark.parametrize("signs", [SIGNS, replace(SIGNS, drifted=())], ids=["drift", "none"])
def test_a_look_by_a_clock_that_was_ahead_neither_begins_a_drift_nor_ends_one(tmp_path, signs):
    rules = RenewParams(schedule_days=0, drift_days=14)
    once(tmp_path, Kitchen(), now=NOW, params=rules)
    with opened(tmp_path) as journal:
        journal.note(NOW + timedelta(days=365), decision="wait", reason="", triggers=[], signs=signs.document())
    acted = [once(tmp_path, Kitchen(), now=NOW + timedelta(days=day), params=rules)["action"] for day in range(1, 15)]
    assert acted == ["wait"] * 13 + ["proposed"]


def test_a_decision_not_to_train_is_recorded_with_its_reason_and_what_was_known(tmp_path):
    once(tmp_path, Kitchen(), signs=Signs(data="b"))
    (line,) = read_journal(tmp_path / JOURNAL)
    assert (line["decision"], line["reason"]) == ("wait", "nothing asks for it")
    assert line["signs"]["data"] == "b"


def test_a_training_that_failed_for_now_goes_on_at_the_next_look_and_nothing_else_begins(tmp_path):
    kitchen = Kitchen(UnavailableError("no registry"))
    with pytest.raises(UnavailableError):
        once(tmp_path, kitchen)
    assert once(tmp_path, kitchen, now=NOW + timedelta(days=9))["action"] == "proposed"
    assert kitchen.runs == [SIGNS.run, SIGNS.run]


def begun(folder, kitchen, **more):
    """A run that began and was cut short."""
    with pytest.raises(UnavailableError):
        once(folder, kitchen, **more)


def test_a_run_that_began_is_not_trained_on_data_that_came_later_under_its_name(tmp_path):
    kitchen = Kitchen(UnavailableError("killed"))
    begun(tmp_path, kitchen)
    params = RenewParams(schedule_days=0, drift_days=0, budget=1)
    done = once(tmp_path, kitchen, signs=OTHER, now=NOW + timedelta(hours=1), params=params)
    assert (done["action"], done["run"], done["reason"]) == ("proposed", OTHER.run, "drift: amount")
    assert kitchen.runs == [SIGNS.run, OTHER.run]
    said = [(line["run"], line["state"]) for line in read_journal(tmp_path / JOURNAL)]
    assert said == [
        (SIGNS.run, "begun"), (SIGNS.run, "overtaken"), (OTHER.run, "begun"), (OTHER.run, "trained"),
        (OTHER.run, "proposed"),
    ]  # fmt: skip
    later = NOW + timedelta(days=9)
    assert once(tmp_path, kitchen, now=later)["action"] == "proposed", "of the first data nothing was learned"
    assert kitchen.runs[2:] == [SIGNS.run]


def test_a_run_that_the_server_has_goes_on_although_newer_data_came(tmp_path):
    kitchen = Kitchen(UnavailableError("killed"), holding=[SIGNS.run])
    begun(tmp_path, kitchen)
    assert once(tmp_path, kitchen, signs=OTHER, now=NOW + timedelta(hours=1))["run"] == SIGNS.run


def test_a_run_is_overtaken_also_where_a_person_asks_for_the_next_one(tmp_path):
    kitchen = Kitchen(UnavailableError("killed"))
    begun(tmp_path, kitchen)
    done = once(tmp_path, kitchen, signs=OTHER, now=NOW + timedelta(hours=1), asked="now")
    assert (done["run"], done["reason"]) == (OTHER.run, "asked: now")
    assert [line["state"] for line in read_journal(tmp_path / JOURNAL)][:2] == ["begun", "overtaken"]


def test_what_a_person_asked_for_is_still_asked_for_when_newer_data_came(tmp_path):
    kitchen = Kitchen(UnavailableError("killed"))
    calm = Signs(data="b" * 32)
    begun(tmp_path, kitchen, signs=calm, asked="new categories")
    done = once(tmp_path, kitchen, signs=replace(calm, data="c" * 32), now=NOW + timedelta(hours=1))
    assert (done["action"], done["reason"]) == ("proposed", "asked: new categories")


def test_a_model_that_was_there_is_noted_as_found_proposed_and_counts_for_no_limit(tmp_path):
    """As after a `dvc repro` by hand: nothing was trained, so no later run has to wait for it."""
    there = {"state": "found", "digest": "d" * 64, "uri": "file:///store/d"}
    assert once(tmp_path, Kitchen(there), propose=None)["action"] == "found"
    assert once(tmp_path, Kitchen())["action"] == "proposed"
    said = [line.get("state", line.get("decision")) for line in read_journal(tmp_path / JOURNAL)]
    assert said == ["begun", "found", "proposed"]
    one_a_week = RenewParams(schedule_days=0, drift_days=0, debounce_hours=24, budget=1)
    later = NOW + timedelta(hours=1)
    assert once(tmp_path, Kitchen(), now=later)["reason"].endswith("learned from the same data and parameters")
    assert once(tmp_path, Kitchen(), signs=OTHER, params=one_a_week, now=later)["action"] == "proposed"
    third = replace(OTHER, data="e" * 32)
    assert "began less than 24 hours ago" in once(tmp_path, Kitchen(), signs=third, now=later)["reason"]


@pytest.mark.parametrize("error", [GateFailed("ap fell"), DataError("no rows")])
def test_what_was_refused_is_not_tried_again_with_the_same_data(tmp_path, error):
    kitchen = Kitchen(error)
    assert once(tmp_path, kitchen)["problem"] == error.problem
    assert once(tmp_path, kitchen, now=NOW + timedelta(days=9))["action"] == "wait"
    assert once(tmp_path, kitchen, signs=OTHER, now=NOW + timedelta(days=9))["action"] == "proposed"


def test_what_was_refused_is_tried_again_where_a_person_asks_until_there_is_a_model(tmp_path):
    """A pod that was killed for memory looks like a refusal, and a gate may have been too strict."""
    kitchen = Kitchen(GateFailed("train: OOMKilled"), GateFailed("ap fell"), {"state": "submitted", "run_id": "r3"})
    looked = [
        once(tmp_path, kitchen, now=NOW + timedelta(hours=hour), asked=asked)["action"]
        for hour, asked in enumerate(("", "", "more memory", "", "another gate", "", "again", ""))
    ]
    assert looked == ["refused", "wait", "refused", "wait", "submitted", "proposed", "wait", "wait"]
    run = SIGNS.run
    assert kitchen.runs == [run, f"{run}-2", f"{run}-3", f"{run}-3"]
    assert {line["run"] for line in read_journal(tmp_path / JOURNAL) if "run" in line} == {run}


def test_a_model_that_may_not_be_proposed_yet_is_proposed_later_or_replaced_by_a_newer_one(tmp_path):
    refusals = [PromotionRefused("a rollout goes on")] * 2

    def propose(noted):
        if refusals:
            raise refusals.pop()
        return {"branch": "b"}

    kitchen = Kitchen()
    assert once(tmp_path, kitchen, propose=propose)["action"] == "held"
    assert once(tmp_path, kitchen, propose=propose, now=NOW + timedelta(hours=1))["action"] == "wait"
    assert once(tmp_path, kitchen, propose=propose, now=NOW + timedelta(hours=2))["action"] == "proposed"
    assert len(kitchen.runs) == 1


def test_a_run_on_a_cluster_is_asked_about_until_it_ends(tmp_path):
    going = {"state": "submitted", "run_id": "r1", "url": "u"}
    kitchen = Kitchen(going, going, {"state": "trained", "run_id": "r1", "url": "u"})
    actions = [once(tmp_path, kitchen, propose=None, now=NOW + timedelta(hours=h))["action"] for h in range(4)]
    assert actions == ["submitted", "submitted", "trained", "wait"]
    states = [line["state"] for line in read_journal(tmp_path / JOURNAL) if "state" in line]
    assert states == ["begun", "submitted", "trained"]


def test_while_one_look_is_at_work_another_does_nothing(tmp_path):
    with opened(tmp_path):
        assert once(tmp_path, Kitchen())["action"] == "busy"
    assert read_journal(tmp_path / JOURNAL) == []


def test_a_child_of_a_killed_look_keeps_others_out_for_as_long_as_it_lives(tmp_path):
    with opened(tmp_path) as journal:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(journal.lock,))
    try:
        assert once(tmp_path, Kitchen())["action"] == "busy"
    finally:
        child.communicate(b"\n")
    assert once(tmp_path, Kitchen())["action"] == "proposed"


def test_a_line_that_a_full_disk_takes_in_part_is_an_error_and_no_training_begins(tmp_path, monkeypatch):
    kitchen, write, left = Kitchen(), os.write, [100]

    def written(handle, content):
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = write(handle, content[: left[0]])
        left[0] -= taken
        return taken

    monkeypatch.setattr(os, "write", written)
    with pytest.raises(OSError, match=f"No space left.*{JOURNAL}"):
        once(tmp_path, kitchen)
    assert kitchen.runs == []


def test_a_line_that_a_kill_left_torn_is_left_out_and_the_next_one_is_whole(tmp_path):
    once(tmp_path, Kitchen())
    with (tmp_path / JOURNAL).open("ab") as stream:
        stream.write(b'{"at": "2026-')
    assert once(tmp_path, Kitchen(), now=NOW + timedelta(days=9))["action"] == "wait"
    said = [line.get("state", line.get("decision")) for line in read_journal(tmp_path / JOURNAL)]
    assert said == ["begun", "trained", "proposed", "wait"]


@pytest.mark.parametrize("after", ["begun", "trained"])
def test_killed_after_a_line_and_run_again_there_is_one_run_and_one_proposal(tmp_path, after):
    once(tmp_path, Kitchen())
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    kept = 1 if after == "begun" else 2
    (tmp_path / JOURNAL).write_bytes(b"".join(lines[:kept]))
    kitchen = Kitchen()
    assert once(tmp_path, kitchen, now=NOW + timedelta(hours=1))["action"] == "proposed"
    assert len(kitchen.runs) == (1 if after == "begun" else 0)
    said = [line["state"] for line in read_journal(tmp_path / JOURNAL)]
    assert said == ["begun", "trained", "proposed"]


def tree(folder: Path, **report) -> Path:
    write_text(folder / "data.dvc", f"outs:\n- md5: {'b' * 32}.dir\n  nfiles: 3\n  path: data\n")
    write_json(folder / "data" / "dataset.json", {"frauds": 41})
    document = {
        "model": {"digest": "e" * 64},
        "figures": [{"name": "amount", "drifted": True}, {"name": "x", "drifted": False}],
        "classifier": {"drifted": True},
        "performance": {"figures": {"recall": {"worse": True}}},
    }
    write_json(folder / "drift" / "drift.json", document | report)
    return folder


def test_the_signs_of_a_working_tree_are_its_data_labels_and_the_report_of_drift(tmp_path):
    folder = tree(tmp_path)
    signs = look(params=Params(), data_dvc=folder / "data.dvc", drift=folder / "drift")
    assert (signs.data, signs.frauds) == ("b" * 32 + ".dir", 41)
    assert signs.drifted == ("amount", "several features together")
    assert signs.worse == ("recall",)
    assert signs.measured
    assert not look(params=Params(), data_dvc=folder / "data.dvc").measured
    assert signs.run != look(params=Params(seed=1), data_dvc=folder / "data.dvc").run


@pytest.mark.parametrize("unmeasured", [None, "DriftNotMeasured", "DriftNeverMeasured"])
def test_prometheus_watches_unless_it_says_that_drift_is_not_measured(tmp_path, unmeasured):
    class Alerts(JsonServer):
        def reply(self, method, path, query, headers, body):
            firing = [name for name in ("Drift", unmeasured) if name and name in body["query"]]
            return 200, {"status": "success", "data": {"result": [{"metric": {"alertname": n}} for n in firing]}}

    with Alerts() as alerts:
        signs = look(params=Params(), data_dvc=tree(tmp_path) / "data.dvc", prometheus=alerts.url)
    assert signs.drifted
    assert signs.measured is (unmeasured is None)


def test_a_report_about_another_model_than_the_champion_is_refused(tmp_path):
    folder = tree(tmp_path)
    with pytest.raises(StateError, match="is champion"):
        look(params=Params(champion=f"file:///store/{'f' * 64}"), data_dvc=folder / "data.dvc", drift=folder / "drift")
    os.remove(folder / "drift" / "drift.json")
    with pytest.raises(StateError, match="no report of drift"):
        look(params=Params(), data_dvc=folder / "data.dvc", drift=folder / "drift")


def test_the_journal_is_json_lines_that_anything_reads(tmp_path):
    once(tmp_path, Kitchen())
    lines = (tmp_path / JOURNAL).read_text().splitlines()
    assert len(lines) == len(read_journal(tmp_path / JOURNAL)) > 1
    assert all(json.loads(line)["at"] for line in lines)


def test_a_release_that_adds_a_parameter_gives_no_run_another_name(tmp_path):
    class NewTrain(TrainParams):
        of_later: int = 3

    class NewParams(Params):
        added: int = 1
        train: NewTrain = NewTrain()

    data = tmp_path / "data.dvc"
    data.write_text(f"outs:\n- md5: {'b' * 32}.dir\n  path: data\n")

    def run(kind, **train):
        return look(params=kind.parse({"train": train}, "params.yaml"), data_dvc=data).run

    assert run(NewParams, epochs=3) == run(Params, epochs=3)
    assert len({run(NewParams), run(NewParams, epochs=3), run(NewParams, of_later=4)}) == 3
