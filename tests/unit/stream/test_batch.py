import dataclasses
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fraudline.core.card_keys import CardKeys
from fraudline.core.errors import DigestMismatch
from fraudline.features.columns import columns_from_messages
from fraudline.features.engine import FeatureEngine
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.model.reasons import top_reasons
from fraudline.model.scorer import Scorer
from fraudline.stream.batch import Judge, Judged
from fraudline.stream.messages import Alert, BlockedCard, Decision
from fraudline.stream.params import StreamParams
from fraudline.stream.partition import Advanced
from fraudline.stream.scoring import InProcessScoring, Scored
from fraudline.stream.sealing import ERASE, Sealer
from fraudline.stream.settling import Settling
from fraudline.stream.transport import Record
from fraudline.stream.worker import run_worker
from tests.support.artifacts import tiny_artifact
from tests.unit.stream.fakes import log_of
from tests.unit.stream.test_partition import SPEC, TRANSACTIONS
from tests.unit.stream.test_settling import cards

FEATURES = FeatureEngine(SPEC).advance(columns_from_messages(TRANSACTIONS))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return load_artifact(tiny_artifact(tmp_path_factory.mktemp("model") / "m", review=0.38, block=0.45))


@pytest.fixture(scope="module")
def judged(artifact: Artifact) -> Judged:
    judge = Judge(artifact, InProcessScoring(artifact), StreamParams(), "p1")
    return judge.judge([Advanced(log_of(TRANSACTIONS), TRANSACTIONS, FEATURES, [])])


@pytest.mark.parametrize(("topic", "kind"), [("decisions", Decision), ("alerts", Alert)])
def test_what_is_said_of_a_card_is_keyed_by_the_card(judged: Judged, topic: str, kind: type) -> None:
    outputs = [output for output in judged.outputs if output.topic == topic]
    assert len({output.key for output in outputs}) > 1
    for output in outputs:
        assert output.key == msgspec.json.decode(output.value, type=kind).card_id.encode()


@pytest.mark.parametrize("explain_all", [True, False], ids=["all", "alerts"])
def test_a_decision_has_the_reasons_of_its_own_row_the_largest_share_first(
    artifact: Artifact, explain_all: bool
) -> None:
    scores = Scorer(artifact).score(FEATURES)
    wanted = top_reasons(SPEC.names, scores.contributions, FEATURES, scores.expected, 3)
    judge = Judge(artifact, InProcessScoring(artifact, explain_all=explain_all), StreamParams(), "p1")
    decisions = judge.judge([Advanced(log_of(TRANSACTIONS), TRANSACTIONS, FEATURES, [])]).decisions
    assert {decision.decision for decision in decisions} > {"allow"}
    for decision, row, score in zip(decisions, wanted, scores.score.tolist(), strict=True):
        explained = explain_all or decision.decision != "allow"
        assert decision.score == score
        assert [reason.feature for reason in decision.reasons] == [r.feature for r in row] * explained
        shares = [reason.share for reason in decision.reasons]
        assert shares == sorted(shares, reverse=True)
    kinds = {tuple(reason.feature for reason in decision.reasons) for decision in decisions}
    assert len(kinds) > (2 if explain_all else 1)


def test_decisions_of_several_models_in_one_batch_are_each_stamped_with_their_own(artifact: Artifact) -> None:
    inner = InProcessScoring(artifact)

    class Split:
        def score(self, features: np.ndarray) -> Scored:
            one = inner.score(features)
            versions = [f"v{i % 2}" for i in range(len(features))]
            return dataclasses.replace(one, model_version=versions, scored_by=["endpoint"] * len(features))

    judge = Judge(artifact, Split(), StreamParams(), "p1")  # type: ignore[arg-type]
    judged = judge.judge([Advanced(log_of(TRANSACTIONS), TRANSACTIONS, FEATURES, [])])
    assert [d.model_version for d in judged.decisions] == [f"v{i % 2}" for i in range(60)]
    assert {d.scored_by for d in judged.decisions} == {"endpoint"}
    assert {(a.transaction_id, a.model_version) for a in judged.alerts} <= {
        (d.transaction_id, d.model_version) for d in judged.decisions
    }


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[CardKeys]:
    pytest.importorskip("cryptography")
    (tmp_path / "master").write_text("ab" * 32 + "\n")
    with closing(CardKeys(tmp_path / "keys.db", tmp_path / "master")) as keys:
        yield keys


def test_where_cards_have_keys_decisions_name_no_card_and_alerts_do(artifact: Artifact, keys: CardKeys) -> None:
    judge = Judge(artifact, InProcessScoring(artifact), StreamParams(), "p1", sealer=Sealer(keys))
    judged = judge.judge([Advanced(log_of(TRANSACTIONS), TRANSACTIONS, FEATURES, [])])
    cards = {each.transaction_id: each.card_id for each in TRANSACTIONS}
    assert not {decision.card_id for decision in judged.decisions} & set(cards.values())
    assert judged.alerts
    for alert in judged.alerts:
        assert (alert.card_id, alert.card_sealed) == (cards[alert.transaction_id], "")


def erasing(keys: CardKeys, card: str, offset: int) -> Record:
    key, headers = card.encode(), ((ERASE, keys.proof_of_erasure(card)),)
    return Record("transactions", 0, offset, 0, key, None, headers)


def test_the_key_of_a_card_that_a_batch_erases_is_gone_after_it(artifact: Artifact, keys: CardKeys) -> None:
    keys.names(["c-1", "c-2"])
    judge = Judge(artifact, InProcessScoring(artifact), StreamParams(), "p1", sealer=Sealer(keys))
    judge.judge([Advanced([], [], FEATURES[:0], [], erasures=[erasing(keys, "c-1", 7)])])
    assert keys.known("c-1") == ""
    assert keys.known("c-2")


def test_a_card_that_comes_again_in_the_batch_that_erases_it_has_a_key_and_what_came_before_has_none(
    artifact: Artifact, keys: CardKeys
) -> None:
    card, half = TRANSACTIONS[0].card_id, len(TRANSACTIONS) // 2
    old = keys.names([card])[card].pseudonym
    judge = Judge(artifact, InProcessScoring(artifact), StreamParams(), "p1", sealer=Sealer(keys))
    gone = [erasing(keys, card, half)]
    judged = judge.judge([Advanced(log_of(TRANSACTIONS), TRANSACTIONS, FEATURES, [], erasures=gone)])
    rows = [n for n, each in enumerate(TRANSACTIONS) if each.card_id == card and n != half]
    said = [judged.decisions[n] for n in rows]
    opened = [keys.opened(each.card_id, each.card_sealed) for each in said]
    assert opened == [None if n < half else card.encode() for n in rows]
    assert {None, card.encode()} == set(opened)
    assert len({each.card_id for each in said} | {old}) == 3  # before it, after it, and before the batch


@pytest.mark.parametrize("listed", [False, True], ids=["free", "listed"])
def test_only_a_decision_that_passed_to_review_says_that_it_was_sampled(tmp_path: Path, listed: bool) -> None:
    blocking = load_artifact(tiny_artifact(tmp_path / "m", review=0.1, block=0.1))
    params = StreamParams(review_sample=0.5, block_hours=1.0)
    until = TRANSACTIONS[-1].event_time + 1
    entries = [BlockedCard(f"c-{i}", until=until, blocked_at=0, by="ada", why="stolen") for i in range(7)]
    settling = Settling(params, SPEC, None, cards(*entries) if listed else None)
    judge = Judge(blocking, InProcessScoring(blocking), params, "p1", settling)
    decisions = judge.judge([Advanced(log_of(TRANSACTIONS), TRANSACTIONS, FEATURES, [])]).decisions
    assert [d.sampled for d in decisions] == [0.5 if d.decision == "review" else 0.0 for d in decisions]
    assert {d.decision for d in decisions} == ({"block"} if listed else {"block", "review"})


def test_latency_is_from_the_append_to_the_commit_in_seconds_and_never_negative(judged: Judged) -> None:
    committed = judged.appended_ms[0] + 1_500
    latencies = np.array(judged.report(60, committed).latencies_s)
    assert latencies.tolist() == pytest.approx([(committed - at) / 1000 for at in judged.appended_ms])
    assert judged.report(60, judged.appended_ms[0] - 10).latencies_s[0] == 0.0


def test_a_worker_refuses_a_model_other_than_the_one_expected(tmp_path: Path) -> None:
    with pytest.raises(DigestMismatch):
        run_worker(StreamParams(), model_dir=tiny_artifact(tmp_path / "m"), expected_digest="0" * 64)
