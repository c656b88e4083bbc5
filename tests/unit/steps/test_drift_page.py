"""The table of figures of a drift report."""

from fraudline.steps.drift_page import _table, _tiles, drift_page

FIGURE = {
    "name": "seconds_since_last",
    "drifted": False,
    "judged": False,
    "missing": 0.001,
    "psi": 0.001,
    "wasserstein": 0.008,
    "jensen_shannon": 0.0001,
    "p_value": 1.0,
    "ratio": 1.1,
    "ratio_p_value": 1.0,
    "reference_mean": 81_234.5,
    "mean": 80_123.4,
    "edges": [10.0, 43_610.0, 90_000.0],
    "ratio_bin": 2,
}


def test_a_figure_is_one_row_that_fits_the_page():
    table = _table([FIGURE])
    assert table.count("<th>") == table.count("<td>") == 9
    assert "follows the calendar, 0.10 % missing" in table
    assert "80,123<small>before 81,234</small>" in table
    assert "43,610 to 90,000" in table


def test_a_value_of_a_flag_is_named_once():
    table = _table([FIGURE | {"edges": [0.0, 1.0, 1.0000001192092896], "ratio_bin": 2, "ratio": 3.0}])
    assert "1 to 1" not in table
    assert "<td>1</td><td>3</td>" in table


def test_the_mean_of_a_score_about_zero_is_said_as_it_is_and_not_as_a_share():
    score = FIGURE | {"name": "score", "judged": True, "mean": 0.12, "reference_mean": -0.005}
    (*_, tile) = _tiles({"figures": [score], "params": {"false_alarms": 0.003}})
    assert tile == ("0.12", "mean score", "before -0.005; stability index 0.001")


def test_what_an_artifact_says_of_itself_is_text_on_the_page():
    document = {
        "verdict": "inconclusive", "why": "<i>", "figures": [], "classifier": {}, "performance": {},
        "window": {"rows": 3, "first": "2026-01-01", "last": "2026-01-02"}, "model": {"version": "abc"},
        "reference": {"start": "<script>alert(1)</script>", "end": "<b>"},
        "params": {"psi_min": 0.1, "score_psi_min": 0.1, "ratio_min": 2, "false_alarms": 0.003},
    }  # fmt: skip
    page = drift_page(document)
    assert not any(tag in page for tag in ("<script", "<b>", "<i>"))
    assert all(said in page for said in ("&lt;script&gt;alert(1)", "&lt;b&gt;", "&lt;i&gt;"))
