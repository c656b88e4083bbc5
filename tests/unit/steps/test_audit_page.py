"""The audit page: values in people's words."""

from fraudline.steps.audit_page import lines


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
