"""Performance by matured labels: only what has matured counts, and what was blocked is not taken for normal."""

import numpy as np
import pytest
from msgspec import structs

from fraudline.core.errors import DataError, SchemaError
from fraudline.monitor.labelled_money import OUTCOMES
from fraudline.monitor.selection import SAMPLE, drawn
from fraudline.steps.matured import Decided, Window, decided_in_file, decided_of, matured
from fraudline.steps.params import Params
from fraudline.stream.messages import Label
from fraudline.stream.transport import Record
from tests.support.transactions import DAY, START

PARAMS = Params.parse({"evaluate": {"bootstrap": {"resamples": 200}}, "monitor": {"label_rows_min": 5}}, "test")
WINDOW = Window.before(START + 100 * DAY, 7)


def decided(name, decision="allow", *, day=0, card="c", sampled=0.0, model="m"):
    return Decided(name, card, START + day * DAY, decision, model, sampled=sampled)


def fraud(name, *, yes=True):
    return name, Label(name, yes, "chargeback", 1, START + 50 * DAY)


def crowd():
    """900 allowed (30 frauds), 60 reviewed (20 frauds), each of a card of its own."""
    rows = [decided(f"a{i}", card=f"c{i}") for i in range(900)]
    rows += [decided(f"r{i}", "review", card=f"d{i}") for i in range(60)]
    labels = dict([fraud(f"a{i}") for i in range(30)] + [fraud(f"r{i}") for i in range(20)])
    return rows, labels


def figures(rows, labels, **more):
    return matured(decisions=rows, labels=labels, window=WINDOW, params=PARAMS, **more)


def test_precision_and_recall_of_what_was_stopped_with_intervals():
    rows, labels = crowd()
    found = figures(rows, labels)
    assert found["figures"]["precision"]["value"] == pytest.approx(20 / 60)
    assert found["figures"]["recall"]["value"] == pytest.approx(20 / 50)
    low, high = found["figures"]["recall"]["interval"]
    assert 0.2 < low < 0.4 < high < 0.6
    assert (found["rows"], found["frauds"], found["covers"]) == (960, 50, "all")


def test_what_has_not_matured_does_not_count():
    rows, labels = crowd()
    young = [decided(f"y{i}", "review", day=94) for i in range(500)]
    assert figures(rows + young, labels)["figures"] == figures(rows, labels)["figures"]
    with pytest.raises(DataError, match="has a matured label"):
        figures(young, labels)


def test_where_no_decision_is_in_the_window_both_of_its_ends_and_the_model_are_said():
    window = Window.before(START + 100 * DAY, 7, days=28)
    with pytest.raises(DataError, match="of the model x .* none is from 2026-03-11 on and before 2026-04"):
        matured(decisions=[decided("old", day=3)], labels={}, window=window, params=PARAMS, model_version="x")


def test_a_window_is_of_the_newest_whole_days_whose_labels_have_come():
    window = Window.before(START + 100 * DAY, 7, days=2)
    assert [window.holds(START + day * DAY) for day in (90, 91, 92, 93)] == [False, True, True, False]
    assert not window.holds(START + 91 * DAY - 1)


def test_of_two_decisions_on_a_transaction_the_first_one_holds_because_it_was_acted_on():
    rows, labels = crowd()
    again = [structs.replace(each, decision="allow" if each.decision == "review" else "review") for each in rows]
    assert figures([*rows, *again], labels) == figures(rows, labels)
    assert figures([*again, *rows], labels)["figures"] != figures(rows, labels)["figures"]


def test_as_many_frauds_as_are_asked_for_give_figures_and_one_less_gives_none():
    rows = [decided(f"r{i}", "review", card=f"d{i}") for i in range(20)]
    assert figures(rows, dict(fraud(f"r{i}") for i in range(4)))["figures"] == {}
    assert figures(rows, dict(fraud(f"r{i}") for i in range(5)))["figures"]["precision"]["value"] == 0.25


def test_a_blocked_one_without_a_verdict_is_not_taken_for_a_false_alarm_and_that_is_said():
    rows, labels = crowd()
    blocked = [decided(f"b{i}", "block", card=f"e{i}") for i in range(100)]
    found = figures(rows + blocked, labels)
    assert found["figures"]["precision"]["value"] == pytest.approx(20 / 60)
    assert (found["covers"], found["blocked"]) == ("not blocked", 100)


def test_drawn_ones_stand_for_what_was_blocked():
    """Of 100 that would be blocked 80 are frauds; a tenth is drawn, reviewed and found with the same share."""
    rows, labels = crowd()
    blocked = [decided(f"b{i}", "block", card=f"e{i}") for i in range(90)]
    passed = [decided(f"s{i}", "review", card=f"f{i}", sampled=0.1) for i in range(10)]
    labels |= dict(fraud(f"s{i}") for i in range(8))
    found = figures(rows + blocked + passed, labels)
    assert found["figures"]["precision"]["value"] == pytest.approx((20 + 80) / (60 + 100))
    assert found["figures"]["recall"]["value"] == pytest.approx((20 + 80) / (50 + 80))
    assert (found["covers"], found["sampled"]) == ("all", 10)


def test_the_weighted_estimate_is_right_on_average_and_the_naive_one_is_not():
    rng = np.random.default_rng(1)
    rows, labels = crowd()
    truth = rng.random(400) < 0.8
    right = (20 + truth.sum()) / (60 + 400)
    estimates, naive = [], []
    for trial in range(40):
        passed = np.array([drawn(f"x{trial}-{i}", 0.2, SAMPLE) for i in range(400)])
        would = [
            decided(f"x{i}", "review" if p else "block", card=f"g{i}", sampled=0.2 if p else 0.0)
            for i, p in enumerate(passed.tolist())
        ]
        known = labels | dict(fraud(f"x{i}") for i in np.flatnonzero(passed & truth).tolist())
        few = PARAMS.model_copy(update={"evaluate": PARAMS.evaluate.model_copy(
            update={"bootstrap": PARAMS.evaluate.bootstrap.model_copy(update={"resamples": 10})})})  # fmt: skip
        found = matured(decisions=rows + would, labels=known, window=WINDOW, params=few)
        estimates.append(found["figures"]["precision"]["value"])
        naive.append((20 + (passed & truth).sum()) / (60 + 400))
    assert np.mean(estimates) == pytest.approx(right, abs=0.01)
    assert abs(np.mean(naive) - right) > 0.3


def paid(each, minor, currency="EUR"):
    return structs.replace(each, amount_minor=minor, currency=currency)


def test_money_is_what_was_stopped_missed_and_held_up_in_each_currency_by_itself():
    rows, labels = crowd()
    yen = [decided("y1", "review", card="y"), decided("y2", card="y"), decided("y3", "review", card="y")]
    labels |= dict([fraud("y1"), fraud("y2")])
    found = figures([paid(each, 1_000) for each in rows] + [paid(each, 700, "JPY") for each in yen], labels)["money"]
    assert found["EUR"] | {"share": 0} == {
        "stopped": 20_000, "missed": 30_000, "held_up": 40_000, "blocked": 0, "share": 0,
    }  # fmt: skip
    assert found["JPY"]["stopped"] == found["JPY"]["missed"] == found["JPY"]["held_up"] == 700
    low, high = found["EUR"]["share"]["interval"]
    assert low < found["EUR"]["share"]["value"] == 0.4 < high


def test_the_share_of_money_stopped_follows_the_amounts_and_not_the_number_of_frauds():
    rows, labels = crowd()
    found = figures([paid(each, 50_000 if each.decision == "review" else 100) for each in rows], labels)
    assert found["figures"]["recall"]["value"] == pytest.approx(0.4)
    assert found["money"]["EUR"]["share"]["value"] == pytest.approx(1_000_000 / 1_003_000)


def test_money_that_was_blocked_is_in_no_other_sum_and_a_drawn_one_stands_for_its_like():
    rows = [paid(decided(f"b{i}", "block", card=f"e{i}"), 500) for i in range(90)]
    rows += [paid(decided(f"s{i}", "review", card=f"f{i}", sampled=0.1), 500) for i in range(10)]
    labels = dict(fraud(f"s{i}") for i in range(8))
    found = figures(rows, labels)["money"]["EUR"]
    assert {name: found[name] for name in OUTCOMES} == {
        "stopped": 80 * 500, "missed": 0, "held_up": 20 * 500, "blocked": 90 * 500,
    }  # fmt: skip
    assert figures(rows[:90], {})["money"]["EUR"]["held_up"] == 0


def test_an_amount_that_nobody_knows_is_counted_and_where_it_does_not_matter_it_is_not_asked_for():
    rows, labels = crowd()
    asked = []

    def amounts(some):
        asked.extend(each.transaction_id for each in some)
        return [None if each.transaction_id == "r0" else (1, "EUR") for each in some]

    found = figures(rows, labels, amounts=amounts)
    assert (found["amounts_unknown"], found["money"]["EUR"]["stopped"]) == (1, 19)
    assert len(asked) == 30 + 60, "frauds and alerts; an allowed normal is in no sum"
    assert figures(rows, labels)["amounts_unknown"] == 90


@pytest.mark.parametrize("value", [b"{}", b'{"transaction_id": "\xff"}', b'{"more": ' + b"[" * 100_000, None])
def test_what_is_no_decision_is_named_by_its_place(tmp_path, value):
    with pytest.raises(SchemaError, match="decisions 1:7 is no decision"):
        decided_of(Record("decisions", 1, 7, 0, None, value))
    (tmp_path / "decisions.jsonl").write_bytes(value or b"x")
    with pytest.raises(SchemaError, match=r"decisions\.jsonl is no file of decisions"):
        list(decided_in_file(tmp_path / "decisions.jsonl"))


def test_of_one_model_alone():
    rows, labels = crowd()
    other = [decided(f"o{i}", "review", model="n", card=f"h{i}") for i in range(50)]
    assert figures(rows + other, labels, model_version="m")["rows"] == 960


def test_the_draw_is_the_same_at_every_worker_and_as_large_as_it_should_be():
    share = np.mean([drawn(f"t{i}", 0.05, SAMPLE) for i in range(20_000)])
    assert share == pytest.approx(0.05, abs=0.005)
    assert not any(drawn(f"t{i}", 0.0, SAMPLE) for i in range(100))
