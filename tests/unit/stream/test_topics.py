"""Asking the broker about topics."""

from typing import Any

import pytest
from confluent_kafka import KafkaError as LibrdkafkaError
from confluent_kafka import KafkaException, admin
from kafka.errors import ClusterAuthorizationFailedError, KafkaError, KafkaTimeoutError

from fraudline.core.errors import UnavailableError
from fraudline.stream import kafka_client
from fraudline.stream.params import StreamParams
from fraudline.stream.tls import Tls
from fraudline.stream.topics import ensure_topics, retention_days

PARAMS = StreamParams(timeout_s=0.5)


def _refusing(monkeypatch: pytest.MonkeyPatch, error: KafkaError) -> dict[str, Any]:
    """A client that cannot be opened; what it was given."""
    given: dict[str, Any] = {}

    def opened(**settings: Any) -> None:
        given.update(settings)
        raise error

    monkeypatch.setattr(kafka_client, "KafkaAdminClient", opened)
    monkeypatch.setattr(Tls, "_problem", lambda *_: ("nothing answered there.", "Check the address."))
    return given


@pytest.mark.parametrize("ask", [lambda: retention_days(PARAMS, "decisions"), lambda: ensure_topics(PARAMS)])
def test_a_silent_broker_is_waited_for_as_long_as_the_parameters_say_and_then_explained(ask, monkeypatch) -> None:
    given = _refusing(monkeypatch, KafkaTimeoutError("Unable to bootstrap"))

    with pytest.raises(UnavailableError, match=r"nothing answered there\. .* KafkaTimeoutError"):
        ask()

    assert (given["bootstrap_timeout_ms"], given["request_timeout_ms"]) == (500, 500)


def test_librdkafka_waits_for_a_silent_broker_as_long_as_the_parameters_say(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    class Silent:
        def __init__(self, _: dict[str, Any]) -> None:
            """Connects when it is asked."""

        def list_topics(self, timeout: float) -> None:
            waits.append(timeout)
            raise KafkaException(LibrdkafkaError(LibrdkafkaError._TRANSPORT))

    monkeypatch.setattr(admin, "AdminClient", Silent)
    monkeypatch.setattr(Tls, "_problem", lambda *_: ("nothing answered there.", "Check the address."))
    with pytest.raises(UnavailableError, match="Topics cannot be made"):
        ensure_topics(PARAMS.model_copy(update={"transport": "confluent"}))
    assert waits == [0.5]


def test_a_user_without_rights_is_told_which_topics_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    _refusing(monkeypatch, ClusterAuthorizationFailedError())

    with pytest.raises(UnavailableError, match="transactions.* may not see or make them"):
        ensure_topics(PARAMS)
