"""The producer of tools."""

from typing import Any
from unittest import mock

import pytest
from kafka.errors import KafkaError, KafkaTimeoutError, ProducerFencedError

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


@pytest.mark.parametrize("error", [ProducerFencedError(), KafkaError("Cannot perform send", ProducerFencedError())])
def test_a_command_that_another_of_the_same_work_took_over_says_so(
    monkeypatch: pytest.MonkeyPatch, error: KafkaError
) -> None:
    monkeypatch.setattr(topic_writer, "KafkaProducer", mock.Mock())
    with (
        pytest.raises(UnavailableError, match=r"Another command began the same work \(tool\)") as told,
        topic_writer.open_producer(StreamParams(), "tool"),
    ):
        raise error
    assert "run again" in told.value.action
