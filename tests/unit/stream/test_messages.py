import msgspec

from fraudline.data.schema import CHANNELS, TRANSACTIONS
from fraudline.stream.messages import Decision, DecisionWriter, ReasonMessage, Transaction, encode
from tests.unit.stream.fakes import GOOD


def test_a_message_has_the_fields_of_the_schema_and_its_channels() -> None:
    assert Transaction.__struct_fields__ == tuple(TRANSACTIONS.names)
    channel = next(field for field in msgspec.structs.fields(Transaction) if field.name == "channel")
    assert set(channel.type.__args__) == set(CHANNELS)


def test_the_writer_writes_what_encoding_a_decision_gives() -> None:
    reason = ReasonMessage("amount", 0.5, 12.5, 3.0, 'a "quoted" text, é')
    transaction = msgspec.structs.replace(GOOD, transaction_id='t"1\\', card_id="é-1")
    decision = Decision(
        transaction_id='t"1\\', card_id="é-1", event_time=GOOD.event_time, score=1.5, decision="review", threshold=1.25,
        reasons=[reason], model_version="m", threshold_version="t", profile_version="p", spec_version="s", partition=3,
        offset=7, decided_at=11, scored_by="endpoint", features=[0.5, 2.0],
    )  # fmt: skip
    writer = DecisionWriter(profile_version="p", spec_version="s", decided_at=11)
    writer.by("m", "t", "endpoint")
    line = writer.write(transaction, (3, 7), (1.5, "review", 1.25), [reason], b"[0.5,2.0]")
    assert line == encode(decision)
