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
    assert 400 <= error.http_status < 600


def test_the_families_have_exit_codes_of_their_own():
    families = FraudlineError.__subclasses__()
    assert len({family.exit_code for family in families}) == len(families)
    assert [kind.__name__ for kind in CLASSES if kind.retryable] == ["UnavailableError"]


def test_a_password_in_an_address_is_left_out():
    error = FraudlineError("MLflow at http://ada:s3c@ret@mlflow:5000/a refused: postgresql://x:y@db/z and a@b.example.")
    assert error.problem == "MLflow at http://mlflow:5000/a refused: postgresql://db/z and a@b.example."
