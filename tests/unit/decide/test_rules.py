"""Rules are read strictly, their precedence is the written one, and a trial says what a file would change."""

import json
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from fraudline.cli.main import cli
from fraudline.core.errors import SchemaError, UsageError
from fraudline.decide.rules import Rule, RuleFile, RuleSet, columns_of, settle
from fraudline.decide.rules_trial import try_rules
from fraudline.features.spec import load_spec
from fraudline.model.evaluation_params import CostParams

pytest.importorskip("cel_expr_python")

SPEC = load_spec()
FILE = """
lists:
  trusted: {file: trusted.txt, values: [m-3]}
rules:
  - {id: kp, when: country == "KP", verdict: block, reason: embargo}
  - {id: trusted, when: 'merchant_id in trusted && amount < 100.0', verdict: allow, reason: known}
  - {id: fast, when: card_count_1h >= 3.0 || score > 8.0, verdict: review, reason: too fast}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "trusted.txt").write_text("m-1  # the canteen\n\nm-2\n")
    (tmp_path / "rules.yaml").write_text(FILE)
    return tmp_path / "rules.yaml"


def bought(merchant: str, country: str | None = "DE", amount_minor: int = 5_000, currency: str = "EUR"):
    return SimpleNamespace(merchant_id=merchant, country=country, amount_minor=amount_minor, currency=currency)


def test_each_rule_matches_the_rows_that_it_means(file: Path) -> None:
    rules = RuleSet.load(file, SPEC)
    rows = [bought("m-1"), bought("m-2", "KP"), bought("m-3", None, 99_000_000, "JPY"), bought("m-4")]
    features = np.zeros((4, len(SPEC.names)), np.float32)
    features[3, SPEC.names.index("card_count_1h")] = 3
    scores = np.array([0, 0, 9, 0], np.float32)
    matched = rules.match(columns_of(rows, features, scores, SPEC), 4)
    assert {row: [rule.id for rule in found] for row, found in matched.items()} == {
        0: ["trusted"], 1: ["kp", "trusted"], 2: ["fast"], 3: ["fast"]
    }  # fmt: skip


def test_the_first_entry_of_a_list_that_begins_with_a_mark_of_its_encoding_counts(file: Path) -> None:
    (file.parent / "trusted.txt").write_text("m-1\nm-2\n", encoding="utf-8-sig")
    features = np.zeros((2, len(SPEC.names)), np.float32)
    columns = columns_of([bought("m-1"), bought("m-2")], features, np.zeros(2, np.float32), SPEC)
    assert sorted(RuleSet.load(file, SPEC).match(columns, 2)) == [0, 1]


def test_a_block_rule_beats_an_allow_rule_which_beats_a_review_rule_and_the_model() -> None:
    def rule(verdict: str) -> Rule:
        return Rule(id=verdict, when="true", verdict=verdict, reason="r")

    for order in permutations(["block", "allow", "review"]):
        assert settle("review", map(rule, order)) == ("block", rule("block"))
    assert settle("block", map(rule, ["review", "allow"])) == ("allow", rule("allow"))
    assert settle("allow", [rule("review")]) == ("review", rule("review"))
    assert settle("block", [rule("review")]) == ("block", None)
    assert settle("block", [rule("block")]) == ("block", None)
    assert [settle(by_model, []) for by_model in ("allow", "review")] == [("allow", None), ("review", None)]


@pytest.mark.parametrize("verdict", ["block", "allow", "review"])
def test_of_several_rules_with_one_verdict_the_first_of_the_file_is_named(verdict: str) -> None:
    first, second = (Rule(id=name, when="true", verdict=verdict, reason="r") for name in ("first", "second"))
    by_model = "block" if verdict == "allow" else "allow"
    assert settle(by_model, [first, second]) == (verdict, first)


def test_the_version_changes_with_the_file_and_with_its_lists_and_with_nothing_else(file: Path) -> None:
    before = RuleSet.load(file, SPEC).version
    assert RuleSet.load(file, SPEC).version == before
    (file.parent / "trusted.txt").write_text("m-9\n")
    after = RuleSet.load(file, SPEC).version
    file.write_text(FILE.replace("3.0", "4.0"))
    assert len({before, after, RuleSet.load(file, SPEC).version}) == 3


def test_the_version_is_of_the_rules_that_are_checked_also_when_the_file_changes_meanwhile(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = RuleSet.load(file, SPEC).version
    parse = RuleFile.parse_yaml

    def parse_and_change(content: bytes, source: str) -> RuleFile:
        file.write_text(FILE.replace("3.0", "4.0"))
        return parse(content, source)

    monkeypatch.setattr(RuleFile, "parse_yaml", parse_and_change)
    rules = RuleSet.load(file, SPEC)
    assert rules.rules[2].when.startswith("card_count_1h >= 3.0")
    assert rules.version == before


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("card_count_1h", "card_count_2h", "rule fast: line 1, column 1: undeclared reference to 'card_count_2h'"),
        ("verdict: review", "verdict: revue", "rules.2.verdict"),
        ("id: fast", "id: kp", "the rule kp stands there twice"),
        ("trusted.txt", "lost.txt", "the list trusted cannot be read"),
        ("reason: embargo", "raison: embargo", "reason"),
        ("  trusted: {", "  score: {", "has the name of a field"),
        ("  trusted: {", "  the trusted: {", "no condition can name the list 'the trusted'"),
        ("  trusted: {", "  double: {", "no condition can name the list 'double'"),
        ("trusted.txt", r'"trusted\0.txt"', "the list trusted cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_with_the_rule_and_the_place(file: Path, old: str, new: str, problem: str) -> None:
    file.write_text(FILE.replace(old, new))
    with pytest.raises(UsageError) as caught:
        RuleSet.load(file, SPEC)
    assert problem in caught.value.problem


def decisions(folder: Path, instead: dict[str, object] | None = None, **lacking: object) -> Path:
    def row(number: int, decision: str, *, fraud: bool | None, **changes: object) -> dict[str, object]:
        shared = {"transaction_id": f"t-{number}", "event_time": number, "card_id": "c", "amount_minor": 5_000}
        shared |= {"currency": "EUR", "merchant_id": "m-9", "country": "DE", "score": 1.0, "is_fraud": fraud}
        return {
            **shared,
            "decision": decision,
            "model_decision": decision,
            "features": [0.0] * len(SPEC.names),
            **changes,
        }

    fast = [0.0] * len(SPEC.names)
    fast[SPEC.names.index("card_count_1h")] = 3.0
    rows = [
        row(1, "allow", fraud=True, country="KP"),
        row(2, "review", fraud=False, merchant_id="m-1"),
        row(3, "allow", fraud=None, features=fast),
        row(4, "block", fraud=True),
        row(5, "block", fraud=False, model_decision="allow"),
    ]
    rows = [{name: value for name, value in each.items() if name not in lacking} | (instead or {}) for each in rows]
    path = folder / "decisions.jsonl"
    path.write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    return path


def test_a_trial_counts_what_would_change_and_what_it_is_worth(file: Path) -> None:
    document = try_rules(RuleSet.load(file, SPEC), decisions(file.parent), SPEC, CostParams())
    assert document["currency"] == "EUR"
    changes = {(each["from"], each["to"]): (each["count"], each["frauds"]) for each in document["changes"]}
    assert changes == {
        ("allow", "block"): (1, 1), ("review", "allow"): (1, 0), ("allow", "review"): (1, 0), ("block", "allow"): (1, 0)
    }  # fmt: skip
    assert [(rule["id"], rule["count"], rule["changed"]["count"]) for rule in document["rules"]] == [
        ("kp", 1, 1), ("trusted", 1, 1), ("fast", 1, 1)
    ]  # fmt: skip
    assert (document["before"]["recall"], document["after"]["recall"]) == (0.5, 1.0)
    # one more fraud of 50.00 caught, of which 0.8 is recovered, and two alerts of 5.00 fewer among the known
    assert document["after"]["money_saved"] - document["before"]["money_saved"] == pytest.approx(0.8 * 5_000 + 500)


def test_a_trial_on_decisions_without_a_field_says_which_is_missing(file: Path) -> None:
    with pytest.raises(SchemaError, match="no column country"):
        try_rules(RuleSet.load(file, SPEC), decisions(file.parent, country=None), SPEC, CostParams())


@pytest.mark.parametrize("instead", [{"features": {"a": 1.0}}, {"features": "x"}, {"card_count_1h": "many"}], ids=str)
def test_a_trial_on_decisions_with_values_of_another_kind_says_where(file: Path, instead: dict[str, object]) -> None:
    with pytest.raises(SchemaError, match=r"other values in card_count_1h, or in features"):
        try_rules(RuleSet.load(file, SPEC), decisions(file.parent, instead), SPEC, CostParams())


def test_a_trial_takes_no_features_of_another_specification_for_its_own(file: Path) -> None:
    with pytest.raises(SchemaError, match=r"decisions of \[2\] features, and the specification has \d+"):
        try_rules(RuleSet.load(file, SPEC), decisions(file.parent, {"features": [5.0, 5.0]}), SPEC, CostParams())


def test_the_command_line_checks_lists_and_tries(file: Path) -> None:
    checked = CliRunner().invoke(cli, ["rules", "check", str(file), "--json"])
    assert json.loads(checked.output)["reads"] == ["amount", "card_count_1h", "country", "merchant_id", "score"]
    named = json.loads(CliRunner().invoke(cli, ["rules", "fields", "--json"]).output)
    assert named["amount"]["type"] == "double"
    assert "card_count_1h" in named
    tried = CliRunner().invoke(cli, ["rules", "test", str(file), str(decisions(file.parent))])
    assert tried.exit_code == 0, tried.output
    assert "what would change" in tried.output
    assert "recall 50.0% -> 100.0%" in tried.output
