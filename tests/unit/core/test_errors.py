import inspect

import pytest

from fraudline.core import errors
from fraudline.core.errors import FraudlineError

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, FraudlineError)]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)
def test_every_error_says_the_problem_then_the_action(kind):
    error = kind("It is broken.", "Mend it.")
    assert str(error) == "It is broken. Mend it."
    assert (error.problem, error.action) == ("It is broken.", "Mend it.")
    assert 1 <= error.exit_code <= 125


def test_the_families_have_exit_codes_of_their_own():
    families = FraudlineError.__subclasses__()
    assert len({family.exit_code for family in families}) == len(families)


def test_a_password_in_an_address_is_left_out():
    error = FraudlineError("MLflow at http://ada:s3c@ret@mlflow:5000/a refused: postgresql://x:y@db/z and a@b.example.")
    assert error.problem == "MLflow at http://mlflow:5000/a refused: postgresql://db/z and a@b.example."


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("https://example.com?mail=a@b", "https://example.com?mail=a@b"),
        ("https://example.com:8080?mail=a@b", "https://example.com:8080?mail=a@b"),
        ("https://example.com#a@b", "https://example.com#a@b"),
        ("https://token@example.com?mail=a@b", "https://example.com?mail=a@b"),
        ("https://ada:s3c?r#t@example.com/a", "https://example.com/a"),
    ],
)
def test_of_an_address_only_what_stands_before_its_host_is_left_out(said, shown):
    assert FraudlineError(said).problem == shown


def test_what_to_do_about_an_error_has_no_password_and_no_card_number_either():
    error = FraudlineError("It is gone.", "Fetch https://ada:s3cret@example.com/a for 4111111111111111.")
    assert error.action == "Fetch https://example.com/a for ************1111."
    assert "s3cret" not in str(error)
