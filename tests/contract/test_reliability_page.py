"""The page of reliability figures has a place for every scenario file, and says what the tests said."""

from pathlib import Path

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
