"""What holds everybody up while one large body is looked at."""

import json
from typing import Any

import pytest

from fraudline.serve import dataplane, guard
from fraudline.serve.errors import RequestError


@pytest.mark.parametrize("mark", [b",", b"[", b"{"])
def test_values_are_counted_over_the_whole_body(mark: bytes) -> None:
    blank = b" " * guard._PIECE
    body = blank + mark * 3 + blank + mark * 2 + blank
    assert guard._many_values(body, 4)
    assert not guard._many_values(body, 5)
    assert not guard._many_values(mark * 4, 4)


def test_a_large_body_that_is_no_json_is_not_read_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    monkeypatch.setattr(json, "loads", lambda body: read.append(len(body)) or {})
    broken = b'{"inputs": [NaN'
    with pytest.raises(RequestError, match="inputs: missing"):
        dataplane.parse_binary_request(broken, None, "fraud")
    with pytest.raises(RequestError, match="not JSON: "):
        dataplane.parse_binary_request(broken + b" " * (1 << 20), None, "fraud")
    assert read == [len(broken)]
