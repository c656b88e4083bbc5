"""Each feature family by hand, and all card features against the slow oracle."""

import dataclasses
import importlib.util
import sys

import numba
import numpy as np
import pytest

from fraudline.features import engine as engine_module
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.spec import KERNEL_FEATURES, load_spec
from tests.support.feature_oracle import card_features
from tests.support.transactions import START, random_table, table_of, transaction

SPEC = load_spec()
P = SPEC.parameters


def features(*rows):
    """Features of rows in their order, by name: {name: [value a row]}."""
    matrix = FeatureEngine(SPEC).advance(columns_from_table(table_of(list(rows))))
    return {name: matrix[:, k].tolist() for k, name in enumerate(SPEC.names)}


@pytest.mark.parametrize("late", [0.0, 0.25])
@pytest.mark.parametrize("seed", range(3))
def test_all_card_features_equal_the_slow_oracle_also_with_late_transactions(seed, late):
    table = random_table(seed, 250, cards=4, late=late)
    matrix = FeatureEngine(SPEC).advance(columns_from_table(table))
    expected = card_features(table, SPEC, P.default_mean_amount, P.default_amount_cv2)
    names = [name for name in SPEC.names if name in expected[0]]
    assert len(names) == 29
    for name in names:
        got = matrix[:, SPEC.names.index(name)]
        want = np.array([row[name] for row in expected])
        # absolute: a chord of unit vectors keeps about a metre, heat is kept in hundredths
        absolute = 0.02 if name in {"card_heat_7d", "speed_from_last", "distance_from_home"} else 1e-3
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=absolute, err_msg=name)


def test_features_of_a_first_transaction_say_that_nothing_is_known():
    first = {name: values[0] for name, values in features(transaction(3 * 3600)).items()}
    assert first["amount"] == 10
    assert first["card_mean_amount_30d"] == P.default_mean_amount
    assert first["amount_minus_card_mean"] == 10 - P.default_mean_amount
    assert first["seconds_since_last"] == P.gap_limit_seconds
    flags = ["new_device", "new_merchant", "new_country", "card_count_30d", "card_amount_30d", "card_heat_7d"]
    assert [first[name] for name in flags] == [0] * 6
    assert first["no_position"] == 1
    assert first["hour_deviation"] == 1


def test_a_transaction_is_not_part_of_its_own_past():
    got = features(transaction(0), transaction(60, amount_minor=99_000))
    assert got["card_count_1h"] == [0, 1]
    assert got["card_amount_1h"] == [0, 10]


def test_windows_forget_after_an_hour_a_day_a_week_and_a_month():
    hour, day = 3600, 86_400
    got = features(*(transaction(at) for at in (0, 50 * 60, 70 * 60, 23 * hour, 25 * hour, 8 * day, 31 * day)))
    assert got["card_count_1h"] == [0, 1, 1, 0, 0, 0, 0]
    assert got["card_count_1d"] == [0, 1, 2, 3, 1, 0, 0]
    assert got["card_count_7d"] == [0, 1, 2, 3, 4, 0, 0]
    assert got["card_count_30d"] == [0, 1, 2, 3, 4, 5, 1]


def test_amount_is_compared_with_the_cards_own_shrunk_mean():
    got = features(
        *(transaction(i * 86_400, amount_minor=2000) for i in range(8)), transaction(8 * 86_400, amount_minor=9000)
    )
    mean = (8 * 20 + 2 * P.default_mean_amount) / 10
    assert got["card_mean_amount_30d"][-1] == pytest.approx(mean)
    assert got["amount_minus_card_mean"][-1] == pytest.approx(90 - mean)
    assert got["amount_ratio_card_mean"][-1] == pytest.approx(90 / mean)


def test_week_mean_over_month_mean_rises_when_the_card_spends_more_than_it_used_to():
    before = [transaction(i * 86_400, amount_minor=1000) for i in range(20)]
    after = [transaction((20 + i) * 86_400, amount_minor=5000) for i in range(5)]
    ratio = features(*before, *after)["card_mean_ratio_7d_30d"]
    assert ratio[19] == pytest.approx(1, abs=0.25)
    assert ratio[-1] > 1.5


def test_one_huge_amount_heats_the_card_and_teaches_the_habit_little():
    rows = [transaction(i * 3600, amount_minor=1000 + i) for i in range(30)]
    got = features(*rows, transaction(31 * 3600, amount_minor=900_000), transaction(32 * 3600, amount_minor=900_000))
    assert got["amount_z"][30] == P.z_limit
    assert got["card_heat_7d"][30] == 0
    assert got["card_heat_7d"][31] == pytest.approx(P.z_limit - P.heat_threshold)
    assert got["amount_z"][31] == P.z_limit


def test_speed_between_two_cities_is_distance_over_time():
    paris, new_york = {"latitude": 48.8566, "longitude": 2.3522}, {"latitude": 40.7128, "longitude": -74.006}
    got = features(transaction(0, **paris), transaction(3600, **new_york))
    assert got["distance_from_last"][1] == pytest.approx(5837, abs=2)
    assert got["speed_from_last"][1] == pytest.approx(5837, abs=2)
    assert got["distance_from_home"][1] == pytest.approx(5837, abs=2)


def test_home_on_the_date_line_is_not_on_the_other_side_of_the_world():
    east, west = {"latitude": 0.0, "longitude": 179.9}, {"latitude": 0.0, "longitude": -179.9}
    got = features(*(transaction(i * 3600, **(east if i % 2 else west)) for i in range(9)))
    assert max(got["distance_from_home"]) < 25


@pytest.mark.parametrize(
    ("latitude", "longitude"), [(None, 2.0), (91.0, 0.0), (np.nan, 0.0), (0.0, np.inf), (0.0, 181.0)]
)
def test_an_unusable_position_is_flagged_and_leaves_no_distance(latitude, longitude):
    place = {"latitude": latitude, "longitude": longitude}
    home = {"latitude": 48.0, "longitude": 2.0}
    got = features(transaction(0, **home), transaction(60, **place), transaction(120, **home))
    assert got["no_position"] == [0, 1, 0]
    assert got["distance_from_last"] == [0, 0, 0]
    assert got["speed_from_last"] == [0, 0, 0]


def test_devices_merchants_and_countries_are_new_once():
    rows = [("d1", "m1", "FR"), ("d1", "m1", "FR"), ("d2", "m2", "US"), (None, "m2", None), ("d2", "m1", "US")]
    got = features(*(transaction(i * 60, device_id=d, merchant_id=m, country=c) for i, (d, m, c) in enumerate(rows)))
    for name in ("new_device", "new_merchant", "new_country"):
        assert got[name] == [0, 0, 1, 0, 0], name


def test_the_least_recent_of_more_than_eight_devices_is_forgotten():
    rows = [transaction(i * 60, device_id=f"d{i}") for i in range(9)]
    got = features(*rows, transaction(600, device_id="d1"), transaction(660, device_id="d0"))
    assert got["new_device"][-2:] == [0, 1]


def test_the_least_recent_of_more_than_thirty_two_merchants_is_forgotten():
    rows = [transaction(i * 60, merchant_id=f"m{i}") for i in range(33)]
    got = features(*rows, transaction(2400, merchant_id="m1"), transaction(2460, merchant_id="m0"))
    assert got["merchants_1d"][32:] == [32, 32, 32]
    assert got["new_merchant"][-2:] == [0, 1]


def test_card_testing_shows_as_small_amounts_at_many_merchants():
    usual = [transaction(i * 86_400, amount_minor=8000) for i in range(10)]
    probes = [transaction(10 * 86_400 + i * 60, amount_minor=100, merchant_id=f"x{i}") for i in range(6)]
    got = features(*usual, *probes)
    assert got["small_count_1h"][-1] == 5
    assert got["merchants_1d"][-1] == 5
    assert got["small_count_1h"][:10] == [0] * 10


def test_a_category_never_bought_is_rarer_than_the_usual_one():
    usual = [transaction(i * 3600) for i in range(20)]
    got = features(*usual, transaction(21 * 3600, category=7995))
    assert got["category_rarity"][-1] == pytest.approx(-np.log(1 / 22))
    assert got["category_rarity"][-2] == pytest.approx(-np.log(20 / 21))


def test_hour_against_habit_is_small_at_noon_and_large_at_midnight_for_a_noon_card():
    noon = [transaction(i * 86_400 + 43_200) for i in range(20)]
    got = features(*noon, transaction(21 * 86_400), transaction(21 * 86_400 + 43_200))
    assert got["hour_deviation"][-2] == pytest.approx(1 + 20 / 22)
    assert got["hour_deviation"][-1] < 0.25


def test_weekend_and_night_follow_utc():
    got = features(
        *(transaction(at) for at in (0, 4 * 86_400 + 86_399, 5 * 86_400, 6 * 86_400 + 12 * 3600, 7 * 86_400))
    )
    assert got["weekend"] == [0, 0, 1, 1, 0]
    assert features(*(transaction(h * 3600) for h in (0, 6.99, 7, 23)))["night"] == [1, 1, 0, 0]


def test_a_late_transaction_sees_the_clock_and_does_not_turn_it_back():
    home = {"latitude": 48.0, "longitude": 2.0}
    got = features(transaction(7200, **home), transaction(0, latitude=40.0, longitude=-74.0), transaction(7260, **home))
    assert got["seconds_since_last"][1:] == [0, 60]
    assert got["card_count_1h"] == [0, 1, 1]  # the late one is two hours old: outside the hour
    assert got["card_count_1d"] == [0, 1, 2]
    assert got["distance_from_last"][2] == pytest.approx(0, abs=1e-3)  # the last place stayed home


def test_times_before_the_epoch_and_a_month_late_do_not_disturb():
    rows = [transaction(0), transaction(-START / 1e6 - 5 * 86_400), transaction(-40 * 86_400), transaction(60)]
    got = features(*rows)
    assert got["card_count_30d"] == [0, 1, 1, 1]
    assert np.isfinite([values for values in got.values()]).all()


def test_the_kernel_writes_every_column():
    out = FeatureEngine(SPEC).advance(columns_from_table(random_table(1, 50)))
    assert out.shape == (50, len(KERNEL_FEATURES))
    assert np.isfinite(out).all()


@pytest.fixture
def interpreted(monkeypatch):
    """The engine on the kernel's source as plain Python, uncompiled; the compiled modules stay as they are."""
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    modules = {}
    for name in ("windows", "habits", "kernel"):
        compiled = sys.modules[f"fraudline.features.{name}"]
        spec = importlib.util.spec_from_file_location(compiled.__name__, compiled.__file__)
        modules[name] = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, compiled.__name__, modules[name])
        spec.loader.exec_module(modules[name])
    monkeypatch.setattr(engine_module, "kernel", modules["kernel"])


@pytest.fixture
def compiled_features():
    busy = table_of([transaction(i, category=i % 11, amount_minor=1000 + i % 7) for i in range(4200)])
    tables = [random_table(5, 400, cards=3, late=0.3), busy]
    return tables, [FeatureEngine(SPEC).advance(columns_from_table(table)) for table in tables]


def test_the_compiled_kernel_computes_what_its_source_says(compiled_features, interpreted):
    for table, compiled in zip(*compiled_features, strict=True):
        plain = FeatureEngine(SPEC).advance(columns_from_table(table))
        np.testing.assert_allclose(plain, compiled, rtol=1e-6, atol=1e-6)


def test_category_counts_are_halved_so_that_old_habits_fade():
    rows = [transaction(i * 60) for i in range(4096)]
    got = features(*rows, transaction(4097 * 60, category=7995), transaction(4098 * 60))
    assert got["category_rarity"][4096] == pytest.approx(np.log(2050))


def repeated(row, n):
    """Columns of the same transaction ``n`` times."""
    columns = columns_from_table(table_of([row]))
    fields = ("event_time", "card_code", "merchant_code", "category", "amount_minor", "currency_code", "device",
              "country", "latitude", "longitude")  # fmt: skip
    return dataclasses.replace(columns, **{name: np.repeat(getattr(columns, name), n) for name in fields})


def test_the_largest_amounts_fill_a_tile_are_still_counted_and_never_turn_a_window_negative():
    engine = FeatureEngine(SPEC)
    got = engine.advance(repeated(transaction(0, amount_minor=10**12), 3000))
    for window in ("1h", "1d", "7d", "30d"):
        assert (np.diff(got[:, SPEC.names.index(f"card_amount_{window}")]) >= 0).all(), window
    assert got[-1, SPEC.names.index("card_amount_30d")] == pytest.approx(2**31 / 100)
    assert got[-1, SPEC.names.index("card_count_30d")] == 2999
    later = engine.advance(columns_from_table(table_of([transaction(40 * 86_400)])))
    assert later[0, SPEC.names.index("card_amount_30d")] == 0


def test_a_card_without_end_saturates_its_windows_and_stays_finite():
    engine = FeatureEngine(SPEC)
    got = engine.advance(repeated(transaction(0), 65_600))
    assert got[-1, SPEC.names.index("card_count_30d")] == 65_535
    assert np.isfinite(got[-1]).all()
    later = engine.advance(columns_from_table(table_of([transaction(40 * 86_400)])))
    assert later[0, SPEC.names.index("card_count_30d")] == 0
    assert later[0, SPEC.names.index("card_amount_30d")] == 0


def test_a_card_of_many_outliers_at_once_stays_hot_and_is_cold_when_the_week_is_over():
    engine, heat = FeatureEngine(SPEC), SPEC.names.index("card_heat_7d")
    amounts = np.array(([1_000] * 60 + [10**7]) * 20)
    got = engine.advance(dataclasses.replace(repeated(transaction(0), len(amounts)), amount_minor=amounts))[:, heat]
    each = P.z_limit - P.heat_threshold
    assert (np.diff(got) >= 0).all()
    assert got[-1] == pytest.approx(each * (655.35 // each))  # what a tile holds
    later = engine.advance(columns_from_table(table_of([transaction(8 * 86_400)])))
    assert later[0, heat] == 0
