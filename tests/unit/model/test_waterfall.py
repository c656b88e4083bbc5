"""The drawing of a score as the sum of its features' shares."""

import re

from fraudline.model.waterfall import waterfall


def test_the_longest_name_of_a_feature_is_not_cut_off_at_the_left() -> None:
    """A letter takes about 7 units at this size, and nothing left of 0 is drawn."""
    name = "amount ratio merchant mean = 1,606 transactions"
    drawn = waterfall([(name, 2.0), ("amount", 1.0)], [("review", 2.5)])
    ends = {text: float(x) for x, text in re.findall(r'class="name" x="([\d.]+)"[^>]*>([^<]+)<', drawn)}
    assert ends[name] > 7 * len(name)
    assert len(set(ends.values())) == 1
