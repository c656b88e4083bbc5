"""Scores of rows that a model has not learned from."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from fraudline.core.errors import UsageError
from fraudline.model.fitting import fit
from fraudline.model.kinds import TrainingRows
from fraudline.model.unseen import unseen_scores
from tests.unit.model.test_fitting import INPUTS, PARAMS, normals

LATER, SEED = 900, 5


@pytest.mark.parametrize("changes", [{}, {"joints": ()}, {"surprise_bottlenecks": ()}])
def test_a_third_is_scored_as_by_an_autoencoder_that_was_fitted_without_it(changes: dict[str, object]) -> None:
    params, rows, later = PARAMS.model_copy(update=changes), normals(3000, 1), normals(LATER, 2)
    fitted = fit(rows, later, INPUTS, params, SEED)
    nobody, everybody = np.zeros(LATER, bool), np.ones(LATER, bool)
    before = fitted.score(later).score

    unseen = unseen_scores(
        fitted, TrainingRows(rows, later[:0], rows[:0]), later, everybody, nobody, INPUTS, params, SEED
    )

    asked = slice(LATER // 3, 2 * LATER // 3)
    others = np.concatenate([later[: asked.start], later[asked.stop :]])
    np.testing.assert_allclose(unseen[asked], fit(rows, others, INPUTS, params, SEED).score(later[asked]).score, 0.01)
    assert np.sort(unseen)[-9:].mean() > np.sort(before)[-9:].mean(), "the rarest knew themselves"
    np.testing.assert_array_equal(fitted.score(later).score, before, "the model itself stays as it is")


def test_too_few_later_rows_without_a_third_are_refused() -> None:
    rows, later = normals(1000, 1), normals(12, 2)
    fitted = fit(rows, later, INPUTS, PARAMS, SEED)
    everybody = np.ones(len(later), bool)
    with pytest.raises(UsageError, match="Only 8 validation rows"):
        unseen_scores(
            fitted, TrainingRows(rows, later[:0], rows[:0]), later, everybody, ~everybody, INPUTS, PARAMS, SEED
        )
