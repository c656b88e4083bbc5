"""What a test needs and a machine may lack."""

import os
from typing import NoReturn

import pytest


def lacks(what: str, *, cure: str) -> NoReturn:
    """Skip the test: the machine lacks ``what``. In CI, which must have it, the test fails and names the cure."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"CI must have {what}: {cure}.", pytrace=False)
    pytest.skip(f"this machine lacks {what}")
