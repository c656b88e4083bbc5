"""Model, rules and list come together in the order of the records."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from fraudline.core.clock import HOUR_US
from fraudline.decide.rules import RuleSet
from fraudline.features.spec import load_spec
from fraudline.stream.blocked import BlockedCards
from fraudline.stream.messages import BlockedCard, encode
from fraudline.stream.params import StreamParams
from fraudline.stream.scoring import Scored
from fraudline.stream.settling import Settled, Settling
from fraudline.stream.transport import Record
from tests.unit.stream.fakes import GOOD
from tests.unit.stream.test_blocked import Log

SPEC = load_spec()
RULES = """
rules:
  - {id: pay, when: merchant_id == "m-pay", verdict: allow, reason: known}
  - {id: kp, when: country == "KP", verdict: block, reason: embargo, block_card: false}
  - {id: look, when: country == "KP", verdict: review, reason: far away}
"""


def settled(
    folder: Path | None, rows: list[tuple[str, dict]], cards: BlockedCards, appended_s: float = 4e9, **params: object
) -> Settled:
    """Settle purchases of the card c-1; each row is the model's decision and what differs from a good purchase."""
    rules = None
    if folder is not None:
        pytest.importorskip("cel_expr_python")
        (folder / "rules.yaml").write_text(RULES)
        rules = RuleSet.load(folder / "rules.yaml", SPEC)
    bought = [
        msgspec.structs.replace(GOOD, **{"transaction_id": f"t-{i}", "card_id": "c-1", **changes})
        for i, (_, changes) in enumerate(rows)
    ]
    records = [Record("transactions", 0, i, int(appended_s * 1000), b"", b"") for i in range(len(rows))]
    n = len(rows)
    scored = Scored(
        np.zeros(n, np.float32), None, np.zeros((n, 0), np.float32), np.zeros((n, 0), np.float32),
        [decision for decision, _ in rows], [1.0] * n, ["m"] * n, ["t"] * n, ["worker"] * n,
    )  # fmt: skip
    settling = Settling(StreamParams(**{"block_hours": 1.0, **params}), SPEC, rules, cards)
    return settling.settle(records, bought, np.zeros((n, len(SPEC.names)), np.float32), scored)


def cards(*entries: BlockedCard) -> BlockedCards:
    log = Log()
    for entry in entries:
        log.append(0, entry.card_id, entry)
    found = BlockedCards(log)
    found.align(0)
    return found


def test_the_card_of_a_blocked_record_is_blocked_for_the_next_until_the_time_is_over() -> None:
    t = GOOD.event_time
    rows = [
        ("allow", {}), ("block", {}), ("allow", {"event_time": t + HOUR_US - 1}), ("block", {}),
        ("allow", {"event_time": t + HOUR_US}), ("allow", {"card_id": "c-2"}),
    ]  # fmt: skip
    found = settled(None, rows, cards())
    assert found.decision == ["allow", "block", "block", "block", "allow", "allow"]
    (output,) = found.outputs
    entry = msgspec.json.decode(output.value, type=BlockedCard)
    assert (output.topic, output.key, entry.until, entry.transaction_id) == (
        "blocked-cards",
        b"c-1",
        t + HOUR_US,
        "t-1",
    )
    assert encode(entry) == output.value


def test_a_time_in_the_future_does_not_outlive_a_block() -> None:
    t = GOOD.event_time
    listed = BlockedCard("c-1", until=t + HOUR_US, blocked_at=t, by="ada", why="stolen")
    found = settled(None, [("allow", {"event_time": t + 1000 * HOUR_US})], cards(listed), appended_s=t / 1e6 + 60)
    assert found.decision == ["block"]
    assert found.reasons[0][0].text.endswith("by ada: stolen")


def test_a_blocked_card_is_stronger_than_an_allow_rule_and_an_allow_rule_than_the_model(tmp_path: Path) -> None:
    pay = {"merchant_id": "m-pay"}
    assert settled(tmp_path, [("block", pay)], cards()).decision == ["allow"]
    listed = BlockedCard("c-1", until=GOOD.event_time + 1, blocked_at=0, by="ada", why="stolen")
    found = settled(tmp_path, [("allow", pay)], cards(listed))
    assert found.decision == ["block"]
    assert [reason.feature for reason in found.reasons[0]] == ["blocked_card"]
    assert [rule.id for rule in found.rules[0]] == ["pay"]


def test_the_reasons_are_the_rules_that_gave_the_decision_beside_all_that_matched(tmp_path: Path) -> None:
    found = settled(tmp_path, [("allow", {"country": "KP"})], cards())
    assert found.decision == ["block"]
    assert [(reason.feature, reason.text) for reason in found.reasons[0]] == [("rule:kp", "embargo")]
    assert {rule.id for rule in found.rules[0]} == {"kp", "look"}


def test_a_rule_that_spares_the_card_blocks_the_transaction_alone(tmp_path: Path) -> None:
    assert settled(tmp_path, [("allow", {"country": "KP"})], cards()).outputs == []
    assert len(settled(tmp_path, [("block", {"country": "KP"})], cards()).outputs) == 1


def test_a_shadow_worker_decides_the_same_for_itself_and_writes_nothing() -> None:
    found = settled(None, [("block", {}), ("allow", {})], cards(), mode="shadow")
    assert (found.decision, found.outputs) == (["block", "allow"], [])
