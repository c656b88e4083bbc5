"""Merchant tables hold what was known when they began to hold: by hand, and nothing of the future."""

import json
import shutil
import weakref

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudline.core.errors import DataError, SchemaError, UnavailableError
from fraudline.core.files import read_json, write_json
from fraudline.features import profiles as module
from fraudline.features.columns import columns_from_table, hash64
from fraudline.features.profiles import VALUES, ProfileTable, build_profiles, write_profiles
from fraudline.features.spec import FeatureSpec, load_spec
from tests.support.transactions import DAY, HOUR, START, labels_of, random_table, table_of, transaction

SPEC = load_spec()
P = SPEC.parameters
SECONDS = 86_400


def every(hours):
    """The specification with a merchant table so often."""
    parameters = {**SPEC.model_dump()["parameters"], "profile_hours": hours}
    return FeatureSpec.parse({**SPEC.model_dump(), "parameters": parameters}, "test")


DAILY, HOURLY = every(24), every(1)


def day(n):
    """The moment ``n`` days after START, which is a midnight."""
    return START + round(n * DAY)


def build(rows, frauds=(), delay=7, spec=DAILY):
    """Tables of rows; ``frauds`` are (transaction id, days after START at which the label arrives)."""
    labels = labels_of([(name, round(START + after * DAY)) for name, after in frauds])
    return build_profiles(table_of(list(rows)), labels, spec=spec, label_delay_days=delay)


def row(table, merchant):
    return next(r for r in table.to_pylist() if r["merchant_id"] == merchant)


def at(days, **fields):
    return transaction(days * SECONDS, **fields)


def test_counts_and_means_are_those_of_the_days_before():
    tables = build([at(0.5, amount_minor=2000), at(3.9, amount_minor=4000), at(12, merchant_id="other")])
    assert sorted(tables) == [day(n) for n in range(1, 14)]
    assert [row(tables[day(n)], "m")["count_7d"] for n in (1, 3, 4, 8, 11)] == [1, 1, 2, 1, 0]
    assert row(tables[day(4)], "m")["count_30d"] == 2
    population = 30.0  # mean of 20 and 40
    assert row(tables[day(4)], "m")["mean_amount_30d"] == pytest.approx((60 + 2 * population) / 4)
    assert [row(tables[day(n)], "m")["age_days"] for n in (1, 13)] == [1, 13]
    assert [r["merchant_id"] for r in tables[day(12)].to_pylist()] == ["m"]


def test_risk_is_the_share_of_frauds_one_label_delay_ago():
    rows = [at(1 + i / 10, transaction_id=f"a{i}") for i in range(4)]
    rows += [at(1, transaction_id="b", merchant_id="n"), at(12, transaction_id="z", merchant_id="n")]
    tables = build(rows, [("a0", 8.5), ("a1", 8.6)])
    prior = 2 / 5
    early, matured = row(tables[day(8)], "m"), row(tables[day(9)], "m")
    assert early["risk_1d"] == early["risk_30d"] == pytest.approx(P.default_risk)  # nothing has matured
    assert matured["risk_1d"] == pytest.approx((2 + prior) / 5)
    assert matured["risk_7d"] == matured["risk_30d"] == matured["risk_1d"]
    assert row(tables[day(10)], "m")["risk_1d"] == pytest.approx(prior)  # the day before it had none
    assert row(tables[day(10)], "m")["risk_7d"] == pytest.approx((2 + prior) / 5)
    assert row(tables[day(9)], "n")["risk_1d"] == pytest.approx(prior / 2)


def test_a_label_that_arrives_at_midnight_or_later_is_not_known_that_day():
    rows = [at(0.5, transaction_id="a"), at(20, transaction_id="z")]
    for label, known_from in ((9.0, 10), (8.99, 9), (15.2, 16)):
        tables = build(rows, [("a", label)])
        known = [n for n in range(8, 21) if row(tables[day(n)], "m")["risk_30d"] > 0.1]
        assert known[0] == known_from, label


def test_an_early_label_waits_for_the_delay_so_that_frauds_and_normals_mature_together():
    tables = build([at(0.5, transaction_id="a"), at(20, transaction_id="z")], [("a", 1.5)])
    known = [n for n in range(1, 21) if row(tables[day(n)], "m")["risk_30d"] > 0.1]
    assert known[0] == 8


def test_labels_that_say_normal_or_name_nothing_change_nothing():
    rows = [at(0.5, transaction_id="a"), at(20, transaction_id="z")]
    normal = labels_of([("a", START + DAY), ("nothing", START + DAY)])
    normal = normal.set_column(2, normal.schema.field("is_fraud"), pa.array([False, True]))
    got = build_profiles(table_of(rows), normal, spec=DAILY, label_delay_days=7)
    assert all(got[d].equals(t) for d, t in build(rows).items())


def test_the_population_is_the_mean_and_the_spread_within_cards():
    rows = [at(0.1, amount_minor=1000), at(0.2, amount_minor=3000), at(0.3, card_id="d", amount_minor=10_000)]
    mean, cv2, risk = json.loads(build(rows)[day(1)].schema.metadata[b"fraudline.population"])
    assert mean == pytest.approx(140 / 3)
    within = (10**2 + 10**2) / (3 - 2)
    assert cv2 == pytest.approx(within / ((2 * 20**2 + 100**2) / 3))
    assert risk == P.default_risk


def streaks_at(tables, n, merchant="m"):
    found = row(tables[day(n)], merchant)
    return tuple(found[name] for name in ("streak_weight", "streak_age", "outbreak_weight", "outbreak_age"))


def outcomes(*frauds, days=10, before=1):
    """A merchant with one transaction a day, the first ``before`` of them clean; the named days after are frauds."""
    rows = [at(d + 0.5, transaction_id=f"t{d}", amount_minor=3000) for d in range(before + days)]
    rows.append(at(40, transaction_id="end", merchant_id="other", amount_minor=3000))
    return build(rows, [(f"t{before + d}", before + d + 0.6) for d in frauds])


def test_frauds_without_a_clean_transaction_between_are_one_streak_and_count_after_the_delay():
    tables = outcomes(0, 1, 2)
    weight, age, *_ = streaks_at(tables, 11)  # days 1 to 3 have matured, the clean day 4 has not
    assert weight == pytest.approx(3, abs=0.1), "amounts that are usual explain nothing: each fraud weighs nearly 1"
    assert age == 10
    assert streaks_at(tables, 9)[:2] == (pytest.approx(1, abs=0.05), 8)
    assert streaks_at(tables, 8) == (0, 0, 0, 0)
    assert streaks_at(tables, 12)[:2] == (0, 0), "a clean transaction ends the streak"


def test_an_outbreak_survives_two_clean_transactions_and_no_third():
    tables = outcomes(0, 3, 8)
    assert streaks_at(tables, 12) == (pytest.approx(1, abs=0.05), 8, pytest.approx(2, abs=0.1), 11)
    assert streaks_at(tables, 13)[2:] == (0, 0)


def test_a_fraud_that_its_own_amount_explains_says_little_of_the_merchant():
    def weight(amount):
        rows = [at(d + 0.5, transaction_id=f"t{d}", amount_minor=3000) for d in range(6)]
        rows[3] = at(3.5, transaction_id="t3", amount_minor=amount)
        return row(build([*rows, at(30)], [("t3", 4)])[day(11)], "m")["streak_weight"]

    assert weight(3000) > 0.9
    assert weight(100_000) < 0.05


@pytest.mark.parametrize(
    ("usual", "amount", "others"),
    [(1_000, 60_000, (1_000, 60_000)), (100_000, 100_000, (1_000,) * 40)],
    ids=["for its card alone", "for the population alone"],
)
def test_an_amount_explains_a_fraud_also_where_it_is_unusual_for_one_of_card_and_population(usual, amount, others):
    def weight(of):
        cards = {"c": usual} | {f"o{n}": other for n, other in enumerate(others)}
        rows = [
            at(d + 0.001 * n, card_id=card, amount_minor=each, merchant_id="elsewhere")
            for d in range(8)
            for n, (card, each) in enumerate(cards.items())
        ]
        rows += [at(0.5, card_id="o0", amount_minor=others[0]), at(40, merchant_id="elsewhere")]
        rows.append(at(8.5, transaction_id="f", card_id="c", amount_minor=of))
        return row(build(rows, [("f", 9)])[day(16)], "m")["streak_weight"]

    assert weight(amount) < 0.05
    assert weight(1_000) > 0.9


def test_a_merchant_that_begins_with_a_fraud_when_the_data_begins_has_a_streak_of_unknown_age():
    rows = [at(d + 0.5, transaction_id=f"t{d}") for d in range(6)]
    labels = [(f"t{d}", d + 1) for d in (0, 1, 4)]
    assert streaks_at(build([*rows, at(30)], labels), 9) == (0, 0, 0, 0)
    assert streaks_at(build([*rows, at(30)], labels), 12)[1] == 8, "it counts from its first clean transaction on"
    first = at(0.1, transaction_id="a", merchant_id="old")
    later = [at(11 + d, transaction_id=f"t{d}") for d in range(3)]
    tables = build([first, *later, at(40)], [("t0", 12), ("t1", 13)])
    assert streaks_at(tables, 20)[1] == 9, "a merchant that is first seen later is new, not unknown"


def test_an_old_outcome_is_forgotten():
    tables = outcomes(0, days=1)
    assert streaks_at(tables, 40)[0] > 0.9
    rows = [at(0.5, transaction_id="a"), at(1.5, transaction_id="b"), at(90, merchant_id="other")]
    assert streaks_at(build(rows, [("b", 2)]), 68)[0] > 0.9
    assert streaks_at(build(rows, [("b", 2)]), 69) == (0, 0, 0, 0)


def test_a_table_between_two_midnights_knows_the_frauds_confirmed_until_it_begins():
    rows = [at(d + 0.5, transaction_id=f"t{d}", amount_minor=3000) for d in range(4)]
    rows += [at(20, transaction_id="end", merchant_id="other")]
    frauds = [("t2", 9.6)]  # of day 2 at noon, labelled on day 9 at 14:24
    tables = build(rows, frauds, spec=every(3))
    noon, afternoon = tables[day(9.5)], tables[day(9.625)]
    assert row(noon, "m")["risk_30d"] == 0
    assert row(noon, "m")["streak_weight"] == 0 < row(afternoon, "m")["streak_weight"]
    assert row(afternoon, "m")["risk_7d"] > 0.2
    assert row(afternoon, "m")["streak_age"] == pytest.approx(9.625 - 2.5)
    assert row(build(rows, frauds)[day(9)], "m")["streak_weight"] == 0
    early = build(rows, [("t2", 2.6)], spec=every(3))
    known = [n / 8 for n in range(16, 96) if row(early[day(n / 8)], "m")["streak_weight"] > 0]
    assert known[0] == 2.625 + 7, "an early label waits for the delay, to the hour"


@pytest.mark.parametrize("quiet", [0, 1, 5])
def test_where_nobody_has_paid_since_midnight_the_frauds_confirmed_since_are_known(quiet):
    rows = [at(d + 0.5, transaction_id=f"t{d}", amount_minor=3000) for d in range(10)]
    labels = labels_of([(f"t{2 + quiet}", round(START + (10 + quiet) * DAY + HOUR))])
    now = day(10 + quiet) + 4 * HOUR
    args = {"spec": every(3), "label_delay_days": 7, "until": now}
    found = build_profiles(table_of(rows), labels, **args)
    assert max(found) == now - HOUR
    assert row(found[now - 4 * HOUR], "m")["streak_weight"] == 0 < row(found[now - HOUR], "m")["streak_weight"]
    paid = at(10 + quiet + 0.5, transaction_id="later", merchant_id="other")
    known = build_profiles(table_of([*rows, paid]), labels, **args)
    assert found == known, "they are those that a model learns with"


def test_tables_end_a_month_after_the_last_transaction():
    rows = table_of([at(0.5), at(3.5)])
    found = build_profiles(rows, labels_of([]), spec=DAILY, label_delay_days=7, until=day(300))
    assert max(found) == day(3 + 30 + 1)


def test_an_attack_under_way_is_not_in_the_counts_before_midnight():
    rows = [at(0.2), at(1.1, amount_minor=9000), at(1.2), at(1.9)]
    tables = build(rows, spec=HOURLY)
    assert sorted(tables) == [day(1 + n / 24) for n in range(25)]
    for table in list(tables.values())[:-1]:
        assert row(table, "m")["count_7d"] == row(table, "m")["count_30d"] == row(table, "m")["age_days"] == 1
        assert table.schema.metadata == tables[day(1)].schema.metadata


@pytest.mark.parametrize("hours", [1, 3, 8])
def test_the_tables_of_midnight_are_those_that_a_specification_of_one_table_a_day_gives(hours):
    often = build_profiles(RANDOM, LABELS, spec=every(hours), label_delay_days=7)
    daily = build_profiles(RANDOM, LABELS, spec=DAILY, label_delay_days=7)
    same = [d for d in sorted(daily) if d in often]
    assert len(same) > 40
    for d in same:
        exact = [name for name in daily[d].column_names if not name.endswith(("streak_age", "outbreak_age"))]
        assert often[d].select(exact).equals(daily[d].select(exact)), d


RANDOM = random_table(11, 400, cards=10, days=45, late=0.0)
LABELS = labels_of([(f"t{i:06d}", int(START + (i / 10 + 7.3) * DAY)) for i in range(0, 400, 7)])
TABLES = build_profiles(RANDOM, LABELS, spec=DAILY, label_delay_days=7)


OFTEN = build_profiles(RANDOM, LABELS, spec=SPEC, label_delay_days=7, until=day(60.5))


@given(cut=st.integers(8, 44 * 8), seed=st.integers(0, 2**16))
@settings(max_examples=20)
def test_neither_later_transactions_nor_later_labels_change_an_earlier_table(cut, seed):
    rng = np.random.default_rng(seed)
    moment = day(cut / 8)
    times = RANDOM["event_time"].cast(pa.int64()).to_numpy()
    past = RANDOM.filter(pa.array(times < moment))
    label_times = LABELS["label_time"].cast(pa.int64()).to_numpy()
    known = LABELS.filter(pa.array(label_times < moment))
    invented = [f"t{i:06d}" for i in rng.choice(400, 40, replace=False)]
    known_ids = set(known["transaction_id"].to_pylist())
    future = labels_of([(name, int(moment + rng.integers(0, 10 * DAY))) for name in invented if name not in known_ids])
    more = table_of(
        [transaction((cut // 8 + 1 + i) * SECONDS, transaction_id=f"new{i}", merchant_id=f"m{i}") for i in range(5)]
    )
    tables = build_profiles(
        pa.concat_tables([past, more]), pa.concat_tables([known, future]), spec=SPEC, label_delay_days=7
    )
    shared = [d for d in OFTEN if d <= moment and d in tables]
    assert len(shared) == cut - 7
    for d in shared:
        # merchants may come in another order of first appearance, never with other values
        assert tables[d].sort_by("merchant_id").equals(OFTEN[d].sort_by("merchant_id")), d
        assert tables[d].schema.metadata == OFTEN[d].schema.metadata


@given(since=st.none() | st.integers(-3 * 8, 60 * 8), until=st.none() | st.integers(-3 * 8, 60 * 8))
@settings(max_examples=40)
def test_tables_of_a_part_of_the_time_are_those_of_all_of_it(since, until):
    since, until = (None if each is None else day(each / 8) + HOUR for each in (since, until))
    found = build_profiles(RANDOM, LABELS, spec=SPEC, label_delay_days=7, since=since, until=until)
    wanted = {start: table for start, table in OFTEN.items() if start <= (max(TABLES) if until is None else until)}
    if since is not None:
        holds = max([start for start in wanted if start <= since], default=0)
        wanted = {start: table for start, table in wanted.items() if start >= holds}
    assert found.keys() == wanted.keys()
    for start, table in found.items():
        assert table.equals(wanted[start], check_metadata=True)


def published(tmp_path):
    write_profiles(tmp_path / "profiles", TABLES, spec=DAILY, label_delay_days=7)
    return tmp_path / "profiles"


def lookup(profiles, merchant, when):
    time = np.array([START + round(when * DAY)], np.int64)
    table, profile_row = profiles.rows(time, np.zeros(1, np.int32), hash64([merchant]))
    return dict(zip(VALUES, profiles.values[profile_row[0]].tolist(), strict=True)), profiles.population[table[0]]


def test_an_event_finds_the_table_of_its_own_period_and_afterwards_the_latest(tmp_path):
    profiles = ProfileTable.load(published(tmp_path), DAILY)
    merchant = TABLES[max(TABLES)]["merchant_id"][0].as_py()
    for when in (1.0, 20.999, 30.5):
        expected = row(TABLES[day(int(when))], merchant)
        found, _ = lookup(profiles, merchant, when)
        assert found == {name: expected[name] for name in VALUES}
    last, _ = lookup(profiles, merchant, 400)
    assert last == {name: row(TABLES[max(TABLES)], merchant)[name] for name in VALUES}


def test_an_unknown_merchant_is_the_population_and_before_the_first_table_the_default(tmp_path):
    profiles = ProfileTable.load(published(tmp_path), DAILY)
    found, population = lookup(profiles, "never seen", 30)
    assert found["count_30d"] == found["age_days"] == 0
    assert found["mean_amount_30d"] == pytest.approx(population[0])
    assert found["risk_7d"] == pytest.approx(population[2])
    before, default = lookup(profiles, "m1", 0.5)
    assert default.tolist() == [P.default_mean_amount, P.default_amount_cv2, P.default_risk]
    assert before["mean_amount_30d"] == P.default_mean_amount


def test_the_same_data_gives_the_same_version_and_other_data_another(tmp_path):
    first = write_profiles(tmp_path / "a", TABLES, spec=DAILY, label_delay_days=7)
    again = write_profiles(tmp_path / "b", TABLES, spec=DAILY, label_delay_days=7)
    other = write_profiles(tmp_path / "c", dict(list(TABLES.items())[:-1]), spec=DAILY, label_delay_days=7)
    assert first["version"] == again["version"] != other["version"]
    assert ProfileTable.load(tmp_path / "a", DAILY).version == first["version"]


def test_a_store_that_does_not_answer_is_unavailable_and_a_folder_that_is_not_there_is_wrong_data():
    store = "s3://a:b@bucket/profiles?endpoint_override=127.0.0.1:1&scheme=http&region=x"
    with pytest.raises(UnavailableError, match="Merchant profiles at s3://bucket/profiles"):
        module.published_version(store)
    with pytest.raises(DataError, match=r"Merchant profiles at file:///nowhere"):
        module.published_version("file:///nowhere/profiles")


def test_profiles_load_from_a_uri_and_from_a_day_on(tmp_path):
    folder = published(tmp_path)
    whole = ProfileTable.load(folder, DAILY)
    assert ProfileTable.load(folder.as_uri(), DAILY).values.tobytes() == whole.values.tobytes()
    recent = ProfileTable.load(folder, DAILY, since=day(20))
    assert len(recent.starts) == len(whole.starts) - 19
    assert np.array_equal(ProfileTable.load(folder, DAILY, since=day(20.5)).starts, recent.starts)
    assert lookup(recent, "m1", 33)[0] == lookup(whole, "m1", 33)[0]


def test_tables_are_read_one_after_the_other_and_not_held_beside_what_they_fill(tmp_path, monkeypatch):
    """A worker takes newer tables while it works: all of them at once are three times what they fill."""
    tables = build([at(n + 0.5, transaction_id=f"t{n}", merchant_id=f"m{n}") for n in range(40)])
    write_profiles(tmp_path / "p", tables, spec=DAILY, label_delay_days=7)
    given_out, most, read = [], [], module._table

    def watched(*given):
        table = read(*given)
        given_out.append(weakref.ref(table))
        most.append(sum(one() is not None for one in given_out))
        return table

    monkeypatch.setattr(module, "_table", watched)
    loaded = ProfileTable.load(tmp_path / "p", DAILY)
    assert np.array_equal(loaded.values, ProfileTable.of(tables, DAILY, "x").values)
    assert max(most) <= 2


def test_a_missing_folder_and_a_file_that_is_no_profile_are_told(tmp_path):
    with pytest.raises(DataError, match="step profiles"):
        ProfileTable.load(tmp_path / "nowhere", DAILY)
    with pytest.raises(SchemaError, match="2026-01-10T00"):
        ProfileTable.of({day(5): pa.table({"merchant_id": ["m"]})}, DAILY, "v")


def test_a_file_of_another_publication_is_refused_before_it_is_parsed(tmp_path):
    folder = published(tmp_path)
    shutil.copy(folder / "2026-01-09T00.parquet", folder / "2026-01-10T00.parquet")
    with pytest.raises(DataError, match=r"2026-01-10T00\.parquet is not the file"):
        ProfileTable.load(folder, DAILY)
    assert len(ProfileTable.load(folder, DAILY, since=day(6)).starts), "a file that is not read may be being replaced"


def test_a_version_that_is_not_that_of_the_files_is_refused(tmp_path):
    folder = published(tmp_path)
    index = read_json(folder / "profiles.json")
    write_json(folder / "profiles.json", index | {"version": "0" * 12})
    with pytest.raises(DataError, match="not that of the files"):
        ProfileTable.load(folder, DAILY)


def test_tables_of_other_hours_than_the_models_are_refused(tmp_path):
    folder = published(tmp_path)
    with pytest.raises(DataError, match="come every 24 hours, the model learned with every 3"):
        ProfileTable.load(folder, SPEC)
    index = read_json(folder / "profiles.json")
    del index["profile_hours"]
    write_json(folder / "profiles.json", index)
    assert len(ProfileTable.load(folder, DAILY).starts), "a publication of the first format"


def test_no_transaction_gives_no_table():
    assert build_profiles(table_of([]), labels_of([]), spec=SPEC, label_delay_days=7) == {}
    assert ProfileTable.empty(SPEC).version == "none"


def test_rows_point_inside_the_tables():
    profiles = ProfileTable.of(TABLES, SPEC, "v")
    columns = columns_from_table(RANDOM)
    table, profile_row = profiles.rows(columns.event_time, columns.merchant_code, columns.merchant_hash)
    assert table.dtype == profile_row.dtype == np.int64
    assert 0 <= profile_row.min() <= profile_row.max() < len(profiles.values)
    assert table.tolist() == (columns.event_time // DAY - START // DAY).tolist()
