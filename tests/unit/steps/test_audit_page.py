"""The audit page: values in people's words."""

import pytest

from fraudline.steps.audit_page import lead, lines


def test_what_is_true_or_false_is_said_as_yes_or_no_at_every_depth():
    part = {
        "blessed": True,
        "rules": [{"passed": False, "value": 0.25}],
        "flags": [True, False],
        "note": None,
        "rows": 1,
    }
    assert lines(part) == [
        ("blessed", "yes"), ("rules 1 passed", "no"), ("rules 1 value", "0.25"), ("flags", "yes, no"), ("rows", "1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        ({"decided_at": 1, "scored_by": "endpoint"}, "decided by endpoint with model m1"),
        ({"decided_at": 1}, "decided by worker with model m1"),
        ({}, "decided offline with model m1"),  # a row of `fraudline score`
    ],
)
def test_what_a_command_scored_is_not_said_to_be_decided_by_the_worker(decision, said):
    missing = {"missing": "There is none."}
    document = dict.fromkeys(("data", "code", "run", "gate"), missing)
    assert said in lead({**document, "decision": {"model_version": "m1", **decision}})
