"""How large the long tests are, and where their figures go.

``FRAUDLINE_FORM``: ``fast`` (the default: what `make test` runs), ``short`` (CI) or ``long`` (the figures of the
reference pages). ``FRAUDLINE_FIGURES``: a folder that takes one JSON file a scenario.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fraudline.core.files import write_json

FORMS = ("fast", "short", "long")
FORM = os.environ.get("FRAUDLINE_FORM", "fast")
assert FORM in FORMS, f"FRAUDLINE_FORM is one of {', '.join(FORMS)}"

Figure = Callable[..., None]


def sized(fast: Any, short: Any, long: Any) -> Any:
    """The value for the form that runs."""
    return (fast, short, long)[FORMS.index(FORM)]


not_fast = pytest.mark.skipif(FORM == "fast", reason="runs in `make test-reliability`, short or long")


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Prints a scenario's figure and keeps it: ``figure("sentence", name=value, ...)``."""

    def keep(said: str, **values: Any) -> None:
        capture = request.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
            sys.stdout.write(f"\n{request.node.name}: {said}\n")
        folder = os.environ.get("FRAUDLINE_FIGURES")
        if folder:
            place = Path(str(request.node.path)).stem
            doc = (request.function.__doc__ or "").strip()
            content = {"file": place, "test": request.node.name, "what": doc, "said": said, "form": FORM, **values}
            write_json(Path(folder) / f"{place}.{request.node.name}.json", content)

    return keep
