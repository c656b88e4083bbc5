"""Two thresholds that decided side by side, judged by matured weeks."""

import json

import numpy as np
import pytest

from fraudline.core.errors import DataError, UsageError
from fraudline.data.store import read_labels, write_dataset
from fraudline.monitor.money import WEEK_US, second_arm
from fraudline.steps.params import Params
from fraudline.steps.threshold_ab import threshold_ab
from tests.support.transactions import START, labels_of, table_of, transaction

PARAMS = Params.parse({"evaluate": {"cost": {"review_cost_minor": 0, "recovered_share": 1.0}}}, "test")


FIRST = ((START // WEEK_US + 1) * WEEK_US - START) / 1e6
"""Seconds after START that the first whole week begins."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """300 cards in six weeks, a fraud of 100.00 each in a tenth of the weeks; B stops all of them, A none."""
    folder, rng = tmp_path_factory.mktemp("ab"), np.random.default_rng(1)
    rows, said, labels = [], [], []
    for week in range(6):
        for card in range(300):
            name, fraud = f"t{week}-{card}", rng.random() < 0.1
            row = transaction(
                FIRST + (week * 7 + 1) * 86_400 + card, transaction_id=name, card_id=f"c{card}", amount_minor=10_000
            )
            second = second_arm(row["card_id"], row["event_time"], 0.5)
            decision = "review" if fraud and second else "allow"
            said.append({"transaction_id": name, "score": 0.5, "decision": decision, "threshold_version": "AB"[second],
                         "event_time": row["event_time"], "card_id": row["card_id"]})  # fmt: skip
            rows.append(row)
            if fraud:
                labels.append((name, row["event_time"] + 86_400_000_000))
    write_dataset(folder / "data", table_of(rows), labels_of(labels), {})
    (folder / "d.jsonl").write_text("\n".join(map(json.dumps, said)))
    return folder


def ab(made, a="A", b="B"):
    return threshold_ab(decisions=made / "d.jsonl", dataset=made / "data", a=a, b=b, params=PARAMS)


def test_the_better_arm_is_found_and_its_worth_is_inside_the_interval(made):
    found = ab(made)
    low, high = found["interval"]
    assert (found["stop"], found["say"]) == (True, "B is worth more")
    assert low < 1_000 < high
    assert ab(made, "B", "A")["say"] == "A is worth more"


def test_weeks_whose_labels_have_not_all_matured_do_not_count(made):
    assert ab(made)["weeks"] == 5


def test_the_same_version_twice_or_one_that_never_decided_is_refused(made):
    with pytest.raises(UsageError):
        ab(made, "A", "A")
    with pytest.raises(UsageError, match=r"by thresholds C\. Name two of its versions: A, B\.$"):
        ab(made, "A", "C")


def test_two_arms_of_which_no_week_has_matured_are_no_comparison_yet(made, tmp_path):
    newest = [line for line in (made / "d.jsonl").read_text().splitlines() if '"t5-' in line]
    (tmp_path / "d.jsonl").write_text("\n".join(newest))
    with pytest.raises(DataError, match="No matured week"):
        threshold_ab(decisions=tmp_path / "d.jsonl", dataset=made / "data", a="A", b="B", params=PARAMS)


def changed(made, tmp_path, change):
    """The same decisions, each as ``change`` gives it; those that it gives None for are left out."""
    lines = (made / "d.jsonl").read_text().splitlines()
    kept = [each for line in lines if (each := change(json.loads(line))) is not None]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, kept)))
    return threshold_ab(decisions=tmp_path / "d.jsonl", dataset=made / "data", a="A", b="B", params=PARAMS)


def test_a_week_whose_decisions_may_go_on_does_not_count_although_all_of_them_have_matured(made, tmp_path):
    """Of the fourth week 150 cards: another look would have them with what they did later."""
    cut = changed(
        made, tmp_path, lambda each: each if each["event_time"] < START + (FIRST + 22 * 86_400 + 150) * 1e6 else None
    )
    assert [look["units"] for look in cut["looks"]] == [300, 600, 900]
    assert cut["looks"] == ab(made)["looks"][:3]


def test_what_was_blocked_and_never_gets_a_label_holds_no_week_back(made, tmp_path):
    """A blocked transaction that the data set lacks, as `data collect` leaves it out, in every week."""

    def blocked(each):
        if not each["transaction_id"].endswith("-7"):
            return each
        return {**each, "transaction_id": f"b{each['transaction_id']}", "decision": "block"}

    assert changed(made, tmp_path, blocked)["weeks"] == 5


def test_blocked_frauds_are_stood_for_by_the_share_that_passed_to_review(made, tmp_path):
    """Of every four frauds that B stops three are blocked, so that nobody labels them, and one is drawn with 1/4."""

    def drawn(each):
        if each["decision"] == "allow":
            return each
        if int(each["transaction_id"].partition("-")[2]) % 4:
            return {**each, "transaction_id": f"b{each['transaction_id']}", "decision": "block"}
        return {**each, "sampled": 0.25}

    found = changed(made, tmp_path, drawn)
    assert (found["say"], found["covers"]) == ("B is worth more", "all")
    assert found["money_a_unit"] == pytest.approx(ab(made)["money_a_unit"], rel=0.25)


def test_where_nothing_stands_for_what_was_blocked_the_verdict_says_what_it_is_of(made, tmp_path):
    """A reviews its frauds, B blocks them: nobody labels what B stopped, so A looks better and need not be."""
    frauds = set(read_labels(made / "data")["transaction_id"].to_pylist())

    def either(each):
        if each["transaction_id"] not in frauds:
            return each
        if each["threshold_version"] == "A":
            return {**each, "decision": "review"}
        return {**each, "transaction_id": f"b{each['transaction_id']}", "decision": "block"}

    found = changed(made, tmp_path, either)
    assert (found["covers"], found["stop"]) == ("not blocked", False)
    assert found["say"].startswith("nothing is decided: the arms block differently")


@pytest.mark.parametrize(("blocks_above", "stop"), [((0.9, 0.9), True), ((0.9, 0.8), False), ((0.9, None), False)])
def test_arms_that_differ_only_below_the_block_are_judged_by_what_was_not_blocked(made, tmp_path, blocks_above, stop):
    def some_blocked(each):
        above = blocks_above[each["threshold_version"] == "B"]
        if not each["transaction_id"].endswith("7") or above is None:
            return {**each, "threshold": 0.5}
        return {**each, "transaction_id": f"b{each['transaction_id']}", "decision": "block", "threshold": above}

    found = changed(made, tmp_path, some_blocked)
    assert (found["covers"], found["stop"]) == ("not blocked", stop)
    assert found["say"].startswith("B is worth more on what was not blocked" if stop else "nothing is decided")
