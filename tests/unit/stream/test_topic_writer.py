"""The producer of tools."""

from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError

from fraudline.core.errors import UnavailableError
from fraudline.stream import topic_writer
from fraudline.stream.params import StreamParams


def test_a_broker_that_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client itself would leave two sockets to garbage collection, which fails whichever test runs then."""

    def unreachable(**_: Any) -> None:
        raise KafkaTimeoutError("Unable to bootstrap")

    monkeypatch.setattr(topic_writer, "KafkaProducer", unreachable)
    with pytest.raises(UnavailableError, match="did not answer"), topic_writer.open_producer(StreamParams(), "tool"):
        pass
