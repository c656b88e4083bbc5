"""The page of security figures has a place for every file of tests, and each line names its command."""

from pathlib import Path

from docs.security import TITLES, page

FOLDER = Path(__file__).parents[1] / "security"


def test_every_file_of_tests_has_its_title() -> None:
    assert {path.stem for path in FOLDER.glob("test_*.py")} | {"fuzz"} == set(TITLES)


def test_figures_stand_under_their_title_with_the_command_that_says_them_again() -> None:
    figures = [
        {"file": "fuzz", "test": "checkpoint", "what": "checkpoint", "said": "9 inputs", "form": "long"},
        {"file": "test_artifact", "test": "test_a[x]", "what": "One\n change.", "said": "0 loaded", "form": "short"},
    ]
    text = page(figures, "a machine", 120.0)
    line = "| One change. | 0 loaded | `FRAUDLINE_FORM=short pytest tests/security/test_artifact.py::test_a` |"
    assert text.index("## Artifacts") < text.index(line) < text.index("python -m tests.fuzz 'checkpoint'")
