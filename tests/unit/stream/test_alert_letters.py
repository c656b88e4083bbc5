"""A dead letter of alerts that no sink can send is left with a reason; it stops no replay."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fraudline.stream.alert_courier import _bare
from fraudline.stream.alert_letters import AlertLetter, _Sinks
from fraudline.stream.alert_router import Routing
from fraudline.stream.params import StreamParams
from fraudline.stream.transport import Record
from tests.unit.stream.test_alert_courier import group


@pytest.mark.parametrize("event", [{}, {"data": 5}, {"type": "x", "data": {}}, _bare(group(1))], ids=range(4))
def test_an_event_of_another_shape_is_left_with_the_letter_and_the_sink_named(
    tmp_path: Path, event: dict[str, Any]
) -> None:
    (tmp_path / "alerts.yaml").write_text(
        "sinks: {oncall: {kind: alertmanager, url: 'http://127.0.0.1:1'}}\nroutes: [{name: all, sinks: [oncall]}]\n"
    )
    headers = (("sink", b"oncall"), ("reason", b"x"), ("idempotency-key", b"k"))
    letter = AlertLetter.parse(Record("alerts.dlq", 2, 17, 0, None, json.dumps(event).encode(), headers))
    with closing(_Sinks(StreamParams(), Routing.load(tmp_path / "alerts.yaml"))) as sinks:
        assert sinks.try_out(letter).startswith("Letter 2:17 holds no event that the sink oncall can send")
