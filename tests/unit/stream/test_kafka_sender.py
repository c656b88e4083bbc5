"""The sender of kafka-python, with a client that knows some topics."""

import pytest
from kafka.errors import KafkaTimeoutError

from fraudline.core.errors import UnavailableError
from fraudline.stream import kafka_python
from fraudline.stream.kafka_python import KafkaPythonSender
from fraudline.stream.tls import Tls
from fraudline.stream.transport import Output


def test_a_topic_that_is_not_there_is_named_and_the_broker_is_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        def __init__(self, **_: object) -> None:
            """Connected."""

        def partitions_for(self, topic: str) -> set[int]:
            raise KafkaTimeoutError("Failed to update metadata after 60.0 secs.")

        send = partitions_for

    monkeypatch.setattr(kafka_python, "KafkaProducer", Client)
    sender = KafkaPythonSender("broker:9092", Tls())
    with pytest.raises(UnavailableError, match="There is no topic alerts.cases") as caught:
        sender.send(Output("alerts.cases", b"c", b"{}", ()))
    assert "--create-topics" in caught.value.action
