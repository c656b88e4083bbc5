"""The producer of tools."""

import pytest

from fraudline.core.errors import UnavailableError
from fraudline.ops.local.process import free_port
from fraudline.stream.params import StreamParams
from fraudline.stream.topic_writer import open_producer


def test_a_broker_that_does_not_answer_is_unavailable() -> None:
    params = StreamParams(bootstrap=f"127.0.0.1:{free_port()}", timeout_s=0.5)
    with pytest.raises(UnavailableError, match="did not answer in time"), open_producer(params, "tool"):
        pass
