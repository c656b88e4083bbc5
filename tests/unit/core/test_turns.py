import sys
from contextlib import ExitStack

import pytest

from fraudline.core.turns import short_turns


def test_turns_are_short_until_the_last_who_asked_is_done() -> None:
    usual = sys.getswitchinterval()
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(short_turns())
        short = sys.getswitchinterval()
        second.enter_context(short_turns())
        first.close()
        assert sys.getswitchinterval() == short < usual
    assert sys.getswitchinterval() == usual


def test_turns_are_as_they_were_after_an_error() -> None:
    usual = sys.getswitchinterval()
    with pytest.raises(OSError, match="disk"), short_turns():
        raise OSError("disk")
    assert sys.getswitchinterval() == usual
