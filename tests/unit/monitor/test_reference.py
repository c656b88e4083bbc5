"""Reference distributions cover every value, and each row falls into one bin."""

import numpy as np

from fraudline.monitor.reference import feature_reference, score_reference


def test_shares_of_every_feature_sum_to_one_and_bins_leave_no_gap() -> None:
    rng = np.random.default_rng(0)
    features = np.column_stack([rng.normal(size=1000), rng.integers(0, 2, 1000), np.ones(1000)]).astype(np.float32)
    table = feature_reference(("spread", "flag", "constant"), features).to_pandas()
    for name, group in table.groupby("feature"):
        assert np.isclose(group["share"].sum(), 1), name
        assert group["lower"].iloc[0] == -np.inf
        assert group["upper"].iloc[-1] == np.inf
        assert (group["upper"].iloc[:-1].to_numpy() == group["lower"].iloc[1:].to_numpy()).all()
    assert (table["feature"] == "spread").sum() == 22
    flag = table[table["feature"] == "flag"]
    assert np.isclose(flag["mean"].iloc[0], features[:, 1].mean())
    assert np.isclose(flag.loc[flag["lower"] == 1, "share"].iloc[0], features[:, 1].mean())


def test_the_score_has_finer_bins_where_decisions_are_made() -> None:
    scores = np.random.default_rng(1).lognormal(size=100_000).astype(np.float32)
    table = score_reference(scores).to_pandas()
    assert np.isclose(table["share"].sum(), 1)
    assert table["share"].iloc[-1] < 0.001


def test_a_flag_that_is_rare_or_was_never_raised_has_a_bin_of_its_own() -> None:
    rare = (np.arange(1000) % 250 == 0).astype(np.float32)
    table = feature_reference(("rare", "never"), np.column_stack([rare, np.zeros(1000, np.float32)])).to_pandas()
    shares = {name: group.set_index("lower")["share"] for name, group in table.groupby("feature")}
    assert shares["rare"][1.0] == 0.004
    assert shares["never"].iloc[-1] == 0
    assert 0 < shares["never"].index[-1] < 1e-6
