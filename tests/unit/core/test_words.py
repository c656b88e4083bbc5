"""Numbers are said with the word of what they count."""

import pytest

from fraudline.core.words import counted


@pytest.mark.parametrize(("number", "said"), [(0, "0 cards"), (1, "1 card"), (2, "2 cards"), (12_500, "12,500 cards")])
def test_one_is_no_plural(number, said):
    assert counted(number, "cards") == said
