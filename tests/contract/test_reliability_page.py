"""The page of reliability figures has a place for every scenario file, and says what the tests said."""

import re
from pathlib import Path

import pytest
from docs.reliability import TITLES, page

FOLDER = Path(__file__).parents[1] / "reliability"


def test_every_file_of_scenarios_has_its_title():
    assert {path.stem for path in FOLDER.glob("test_*.py")} == set(TITLES)


def test_figures_stand_under_the_title_of_their_file_as_they_were_said():
    figures = [
        {"file": "test_stop", "test": "b", "what": "SIGTERM.", "said": "ended after 2 s", "form": "long"},
        {"file": "test_kill", "test": "a", "what": "Two workers.", "said": "0 lost", "form": "short"},
    ]
    text = page(figures, "a machine", 120.0)
    kill, stop = text.index("## Workers are killed"), text.index("## The worker is told to end")
    assert kill < text.index("- 0 lost") < stop < text.index("- ended after 2 s")
    assert "a machine; the long form" in text
    assert "- 0 lost (short form)" in text
    assert "after 2 s (" not in text


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (1.21, "in the run above it was +21%: not reached"),
        (1.04, "in the run above it was +4%: reached"),
        (None, "it was not measured"),
    ],
)
def test_the_page_says_whether_the_goal_beside_poison_was_reached(ratio, said):
    figure = {"file": "test_poison", "test": "a", "what": "Poison.", "said": "1 dead letter", "form": "long"}
    measured = {} if ratio is None else {"p99_ratio": ratio}
    assert f"at most 10 % higher; {said}." in page([figure | measured], "a machine", 60.0)


def test_the_page_that_stands_here_says_it_of_its_own_figure():
    text = Path("docs/reference/reliability.md").read_text(encoding="utf-8")
    (more,) = re.findall(r"without \(([+-]\d+)%\)", text)
    reached = "reached" if int(more) <= 10 else "not reached"
    assert f"at most 10 % higher; in the run above it was {more}%: {reached}." in text
