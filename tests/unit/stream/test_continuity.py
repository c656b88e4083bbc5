"""A log that does not go on where its group stands is not taken for one that does."""

import pytest
import structlog
from prometheus_client import CollectorRegistry, Counter

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.stream.continuity import Continuity


class Log:
    """What the broker says of partition 0."""

    def __init__(self, stands: int | None, begins: int = 0) -> None:
        self.stands = stands
        self.begins = begins

    def beginning(self, partition: int) -> int:
        return self.begins

    def end(self, partition: int) -> int:
        return 2_000

    def group_offset(self, partition: int) -> int | None:
        return self.stands


def watched(log: Log) -> tuple[Continuity, CollectorRegistry]:
    registry = CollectorRegistry()
    deleted = Counter("fraudline_deleted_unread", "Some.", registry=registry)
    return Continuity("transactions", log, deleted), registry


def deleted(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("fraudline_deleted_unread_total")


def test_records_that_were_deleted_before_they_were_read_are_told_and_counted_once() -> None:
    continuity, registry = watched(Log(stands=1_000, begins=1_500))
    with structlog.testing.capture_logs() as said:
        continuity.begins(0, 1_500)
        continuity.begins(0, 1_500)  # the batch failed, and comes again
    (line,) = said
    assert (line["event"], line["undecided_from"], line["log_begins"]) == ("records.deleted_unread", 1_000, 1_500)
    assert deleted(registry) == 500


def test_records_that_were_deleted_under_a_running_worker_are_told_too() -> None:
    log = Log(stands=1_000)
    continuity, registry = watched(log)
    continuity.begins(0, 1_000)
    log.begins = 1_700
    continuity.goes_on(0, expected=1_200, first=1_700)
    assert deleted(registry) == 500


def test_gaps_that_transactions_leave_in_a_log_are_no_deleted_records() -> None:
    continuity, registry = watched(Log(stands=1_000, begins=900))
    continuity.begins(0, 1_001)
    continuity.goes_on(0, expected=1_100, first=1_101)
    continuity.goes_on(0, expected=1_200, first=1_230)  # those of an aborted transaction
    assert deleted(registry) == 0


def test_a_group_that_never_committed_misses_nothing() -> None:
    continuity, registry = watched(Log(stands=None, begins=700))
    continuity.begins(0, 700)
    assert deleted(registry) == 0


def test_a_group_of_which_kafka_knows_no_place_is_said_once_a_partition() -> None:
    continuity, _ = watched(Log(stands=None, begins=700))
    with structlog.testing.capture_logs() as said:
        continuity.begins(0, 700)
        continuity.begins(0, 700)
        continuity.has_no_place({0: 700, 1: 30})
    assert [(line["event"], line["decides_from"]) for line in said] == [
        ("group.has_no_place", {0: 700}),
        ("group.has_no_place", {1: 30}),
    ]
    assert "decides again" in said[0]["action"]


def test_a_log_that_lost_its_end_is_refused_and_not_decided_a_second_time() -> None:
    continuity, _ = watched(Log(stands=1_000))
    with pytest.raises(UnavailableError):  # the worker asks for the group's place again
        continuity.begins(0, 0)
    with pytest.raises(UsageError, match="decided on all before 1000") as refused:
        continuity.begins(0, 0)
    assert "--reset-offsets" in refused.value.action


def test_what_another_member_committed_meanwhile_is_no_lost_end() -> None:
    log = Log(stands=20)
    continuity, _ = watched(log)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            continuity.begins(0, 0)
        continuity.begins(0, 20)


def test_a_log_that_was_cut_under_a_client_which_knows_where_goes_on_there() -> None:
    continuity, registry = watched(Log(stands=1_000))
    continuity.begins(0, 500)
    assert deleted(registry) == 0
