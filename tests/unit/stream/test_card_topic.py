"""What people did to the list of blocked cards is read whatever else lies on its topic."""

import pytest
from structlog.testing import capture_logs

from fraudline.stream import card_topic
from fraudline.stream.messages import CardAction, encode
from fraudline.stream.params import StreamParams
from fraudline.stream.transport import Record


def test_what_is_no_line_of_the_trail_is_left_out_and_named_and_the_lines_around_it_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = [CardAction(action, "c-1", at, "ada", "why") for at, action in enumerate(("block", "unblock"))]
    values = [encode(lines[1]), b'{"action": "erase"}', None, b"\xff", encode(lines[0])]
    records = [Record("card-actions", 0, offset, 0, b"c-1", value) for offset, value in enumerate(values)]
    monkeypatch.setattr(card_topic, "read_topic", lambda *_: iter(records))
    with capture_logs() as said:
        assert card_topic.actions(StreamParams()) == lines
    assert [(each["event"], each["offset"]) for each in said] == [("cards.foreign", at) for at in (1, 2, 3)]
