"""Any table, by a mapping of its columns."""

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from structlog.testing import capture_logs

from fraudline.core.clock import clock_at, from_us
from fraudline.core.errors import SchemaError, UsageError
from fraudline.core.masking import mask_text
from fraudline.data.importers.reading import times
from fraudline.data.importers.source import Column
from fraudline.data.importers.table import import_table
from fraudline.data.store import read_labels, read_transactions
from fraudline.steps.score_source import chunks

ROWS = """id,when,pan,shop,price,ccy,kind,mcc,land,lat,lon,phone,bad,reported
a1,31.12.2025 23:30:00,p1,s1,12.34,EUR,P,5411,DE,52.5,13.4,,no,
a2,01.01.2026 12:00:00,p2,s2,5,EUR,W,5816,FR,,,dev9,yes,1767787200
"""
COLUMNS = {
    "transaction_id": {"column": "id"},
    "event_time": {"column": "when", "format": "%d.%m.%Y %H:%M:%S", "zone": "Europe/Berlin"},
    "card_id": {"column": "pan"},
    "merchant_id": {"column": "shop"},
    "amount_minor": {"column": "price", "unit": "major"},
    "currency": {"column": "ccy"},
    "channel": {"column": "kind", "values": {"P": "pos", "W": "ecommerce"}},
    "category": {"column": "mcc"},
    "country": {"column": "land"},
    "latitude": {"column": "lat"},
    "longitude": {"column": "lon"},
    "device_id": {"column": "phone"},
}
LABELS = {"is_fraud": {"column": "bad"}, "label_time": {"column": "reported", "unit": "s"}}


EUROPEAN = {"separator": ";", "decimal": ","}


def bring(
    folder: Path, text: str = ROWS, columns: dict | None = None, labels: dict | None = LABELS, **dialect: str
) -> dict:
    source, mapping = folder / "bank.csv", folder / "mapping.yaml"
    source.write_text(text)
    content = {"name": "bank", "columns": columns or COLUMNS, **dialect}
    mapping.write_text(yaml.safe_dump(content | ({"labels": labels} if labels else {})))
    return import_table(source, folder / "data", mapping=mapping)


def test_mapped_columns_arrive_in_the_schemas_units(tmp_path: Path) -> None:
    summary = bring(tmp_path)

    first, second = read_transactions(tmp_path / "data").to_pylist()
    (label,) = read_labels(tmp_path / "data").to_pylist()
    assert summary["name"] == "bank"
    assert first["event_time"].isoformat() == "2025-12-31T22:30:00+00:00"
    assert (first["amount_minor"], first["channel"], first["card_present"]) == (1234, "pos", True)
    assert (first["category"], first["country"], first["device_id"]) == (5411, "DE", None)
    assert first["latitude"] == pytest.approx(52.5)
    assert (second["amount_minor"], second["card_present"], second["latitude"]) == (500, False, None)
    assert (label["transaction_id"], label["fraud_kind"]) == ("a2", None)
    assert label["label_time"].isoformat() == "2026-01-07T12:00:00+00:00"


def test_values_are_translated_as_a_person_writes_them_in_yaml(tmp_path: Path) -> None:
    """Numbers and truth values need no quotes: the file has the text 1, and the label is true."""
    columns = {**COLUMNS, "channel": {"column": "kind", "values": {1: "pos", 2: "ecommerce"}}}
    labels = {"is_fraud": {"column": "bad", "values": {"ja": True, "nein": False}}}
    rows = ROWS.replace(",P,", ",1,").replace(",W,", ",2,").replace(",yes,", ",ja,").replace(",no,", ",nein,")
    bring(tmp_path, rows, columns, labels)
    assert read_transactions(tmp_path / "data")["channel"].to_pylist() == ["pos", "ecommerce"]
    assert read_labels(tmp_path / "data")["transaction_id"].to_pylist() == ["a2"]


def test_a_yes_that_yaml_reads_as_true_is_asked_for_in_quotes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='in quotes before the colon: {"yes": true}'):
        bring(tmp_path, labels={"is_fraud": {"column": "bad", "values": {True: True, False: False}}})


@pytest.mark.parametrize(("currency", "price", "minor"), [("JPY", "1234", 1234), ("KWD", "1.234", 1234)])
def test_an_amount_has_the_decimals_of_its_rows_currency(tmp_path: Path, currency: str, price: str, minor: int) -> None:
    bring(tmp_path, ROWS.replace("5,EUR", f"{price},{currency}"))
    assert read_transactions(tmp_path / "data")["amount_minor"].to_pylist() == [1234, minor]


@pytest.mark.parametrize(
    ("old", "new", "problem", "action"),
    [
        ("5,EUR", "1.234,EUR", "expected at most 2 decimals", "decimals"),
        (",W,", ",A,", "row 2, column kind: found 'A', expected one of P, W (line 3 of the file)", "values"),
        (",yes,", ",ja,", "row 2, column bad: found 'ja', expected true or false (line 3 of the file)", "`values`"),
        ("01.01.2026 12", "2026-01-01 12", "expected a time like", "strptime"),
        ("5,EUR", '"5,00",EUR', "found '5,00', expected a number", "decimal"),
    ],
)
def test_what_the_mapping_could_say_is_advised(tmp_path: Path, old: str, new: str, problem: str, action: str) -> None:
    with pytest.raises(SchemaError) as caught:
        bring(tmp_path, ROWS.replace(old, new))
    assert problem in caught.value.problem
    assert action in caught.value.action
    assert caught.value.action.endswith("; the data folder was not changed.")


def test_the_line_that_an_error_names_is_the_one_that_an_editor_shows(tmp_path: Path) -> None:
    """Empty lines are no rows, and a row may be of several lines."""
    text = ROWS.replace("p1,s1,", 'p1,"s\n1",').replace("\na2", "\n\na2").replace(",W,", ",A,")
    with pytest.raises(SchemaError, match=r"row 2, column kind.*\(line 5 of the file\)"):
        bring(tmp_path, text)


def test_an_amount_beyond_every_number_is_refused_by_its_row_and_with_no_other_word(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"row 2, column price: found '1e307', expected an amount up to"):
        bring(tmp_path, ROWS.replace("5,EUR", "1e307,EUR"))


def test_amounts_with_decimals_are_advised_to_be_major_units(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="12.34") as caught:
        bring(tmp_path, columns=COLUMNS | {"amount_minor": {"column": "price"}})
    assert "unit: major" in caught.value.action


@pytest.mark.parametrize(
    ("encoding", "word", "accented"),
    [("utf-16", "shop", "Händler"), ("latin-1", "shop", "Händler"), ("latin-1", "s2", "Café")],
)
def test_a_file_in_another_encoding_is_named(tmp_path: Path, encoding: str, word: str, accented: str) -> None:
    source, mapping = tmp_path / "bank.csv", tmp_path / "mapping.yaml"
    source.write_bytes(ROWS.replace(word, accented).encode(encoding))
    with pytest.raises(SchemaError, match="not UTF-8"):
        list(chunks(source))
    mapping.write_text(yaml.safe_dump({"columns": COLUMNS}))
    with pytest.raises(SchemaError, match="not UTF-8") as caught:
        import_table(source, tmp_path / "data", mapping=mapping)
    assert "iconv" in caught.value.action


def test_a_file_with_another_separator_is_advised_to_have_commas(tmp_path: Path) -> None:
    with pytest.raises(SchemaError) as caught:
        bring(tmp_path, ROWS.replace(",", ";"))
    assert "commas" in caught.value.action


def test_columns_that_are_not_mapped_have_documented_defaults(tmp_path: Path) -> None:
    required = ("event_time", "card_id", "merchant_id", "amount_minor", "currency", "channel")
    columns = {name: COLUMNS[name] for name in required} | {"currency": {"constant": "CHF"}}

    bring(tmp_path, columns=columns, labels=None)

    first = read_transactions(tmp_path / "data").to_pylist()[0]
    assert (first["category"], first["currency"]) == (5999, "CHF")
    assert (first["country"], first["latitude"], first["device_id"]) == (None, None, None)
    assert read_labels(tmp_path / "data").num_rows == 0


def test_rows_without_ids_keep_the_order_of_the_file_and_have_other_ids_in_another_file(tmp_path: Path) -> None:
    columns = {name: origin for name, origin in COLUMNS.items() if name != "transaction_id"}
    head, first, second = ROWS.splitlines(keepends=True)
    found = []
    for text in (head + second + second.replace("s2", "s1"), head + first):
        bring(tmp_path, text, columns)
        found.append(read_transactions(tmp_path / "data"))

    assert found[0]["merchant_id"].to_pylist() == ["s2", "s1"]
    assert not set(found[0]["transaction_id"].to_pylist()) & set(found[1]["transaction_id"].to_pylist())
    assert all(mask_text(name) == name for name in found[0]["transaction_id"].to_pylist())


def test_labels_without_a_time_arrive_after_the_delay(tmp_path: Path) -> None:
    bring(tmp_path, labels={"is_fraud": {"column": "bad"}, "delay_days": 3, "fraud_kind": {"column": "shop"}})

    (label,) = read_labels(tmp_path / "data").to_pylist()
    assert label["label_time"].isoformat() == "2026-01-04T11:00:00+00:00"
    assert label["fraud_kind"] == "s2"


@pytest.mark.parametrize("labels", [{"is_fraud": {"column": "bad"}, "delay_days": 7}, LABELS])
def test_labels_that_are_dated_after_the_present_are_counted(tmp_path: Path, labels: dict) -> None:
    for present, expected in (("2026-01-03", [1]), ("2026-01-09", [])):
        with clock_at(datetime.fromisoformat(f"{present}T00:00:00+00:00")), capture_logs() as said:
            bring(tmp_path, labels=labels)
        assert [each["rows"] for each in said if each["event"] == "import.labels_to_come"] == expected


@pytest.mark.parametrize("kind", ["text", "timestamp"])
def test_times_in_the_hour_that_comes_twice_are_taken_as_the_earlier_and_counted(kind: str) -> None:
    texts = ["26.10.2025 01:59", "26.10.2025 02:00", "26.10.2025 02:59", "26.10.2025 03:00", "30.03.2025 02:30"]
    moments = [datetime.strptime(text, "%d.%m.%Y %H:%M") for text in texts]  # noqa: DTZ007
    values = pa.array(texts) if kind == "text" else pa.array(moments, pa.timestamp("ms"))
    with capture_logs() as said:
        found = times(
            Column(Path("bank.csv"), "when", pa.chunked_array([values])), pattern="%d.%m.%Y %H:%M", zone="Europe/Berlin"
        )
    assert [from_us(each).strftime("%H:%M") for each in found[:4].tolist()] == ["23:59", "00:00", "00:59", "02:00"]
    assert ("import.repeated_hour", "when", 2) in [(each["event"], each["column"], each["rows"]) for each in said]


@pytest.mark.parametrize("kind", ["text", "timestamp"])
def test_times_in_the_hour_that_summer_time_leaves_out_keep_their_distance_and_are_counted(kind: str) -> None:
    texts = ["30.03.2025 01:59", "30.03.2025 02:10", "30.03.2025 02:30", "30.03.2025 03:00"]
    moments = [datetime.strptime(text, "%d.%m.%Y %H:%M") for text in texts]  # noqa: DTZ007
    values = pa.array(texts) if kind == "text" else pa.array(moments, pa.timestamp("s"))
    with capture_logs() as said:
        found = times(
            Column(Path("bank.csv"), "when", pa.chunked_array([values])), pattern="%d.%m.%Y %H:%M", zone="Europe/Berlin"
        )
    assert [from_us(each).strftime("%H:%M") for each in found.tolist()] == ["00:59", "01:10", "01:30", "01:00"]
    assert [(each["event"], each["column"], each["rows"]) for each in said] == [("import.missing_hour", "when", 2)]


def test_typed_parquet_needs_no_format(tmp_path: Path) -> None:
    table = pa.table(
        {
            "when": pa.array([datetime(2026, 1, 1, 8)], pa.timestamp("ms")),  # noqa: DTZ001
            "card": [17],
            "shop": ["s"],
            "cents": [99],
        }
    )
    pq.write_table(table, tmp_path / "bank.parquet")
    columns = {
        "event_time": {"column": "when", "zone": "Europe/Lisbon"},
        "card_id": {"column": "card"},
        "merchant_id": {"column": "shop"},
        "amount_minor": {"column": "cents"},
        "currency": {"constant": "EUR"},
        "channel": {"constant": "atm"},
        "card_present": {"constant": True},
    }
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({"columns": columns}))

    import_table(tmp_path / "bank.parquet", tmp_path / "data", mapping=tmp_path / "m.yaml")

    (row,) = read_transactions(tmp_path / "data").to_pylist()
    assert row["event_time"].isoformat() == "2026-01-01T08:00:00+00:00"
    assert (row["card_id"], row["amount_minor"], row["channel"]) == ("17", 99, "atm")


@pytest.mark.parametrize(
    ("found", "replacement", "message"),
    [
        ("01.01.2026", "2026-01-01", "row 2, column when: found '2026-01-01 12:00:00', expected a time like %d.%m.%Y"),
        (",W,", ",X,", "row 2, column kind: found 'X', expected one of P, W"),
        (",FR,", ",France,", "row 2, column land: found 'France', expected an ISO 3166 code"),
        ("s2,5,EUR", "s2,5,euro", "row 2, column ccy: found 'euro', expected an ISO 4217 code"),
        ("13.4", "213.4", "row 1, column lon: found '213.4', expected a number from -180 to 180"),
        ("p2", "", "row 2, column pan: found nothing, expected a text"),
        ("a2", "a1", "row 2, column id: found 'a1', expected a value that no earlier row has"),
        ("5816", "58160", "row 2, column mcc: found '58160', expected a category code"),
        ("yes", "perhaps", "row 2, column bad: found 'perhaps', expected true or false"),
        ("1767787200", "soon", "row 2, column reported: found 'soon', expected a number"),
        ("1767787200", "1767787200000", "row 2, column reported: found '1767787200000', expected a time from 2000"),
        ("31.12.2025", "31.12.1925", "row 1, column when: found '31.12.1925 23:30:00', expected a time from 2000"),
        ("12.34", "1e300", "row 1, column price: found '1e300', expected an amount up to 1,000,000,000,000 minor"),
        ("mcc,land", "pan,land", "more than one column pan"),
    ],
)
def test_a_bad_value_is_named_by_row_and_column(found: str, replacement: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SchemaError) as error:
        bring(tmp_path, ROWS.replace(found, replacement, 1))

    assert message in str(error.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({**COLUMNS, "card_id": {"column": "pan", "constant": "x"}}, "either column or constant"),
        ({**COLUMNS, "colour": {"column": "pan"}}, "columns.colour"),
        ({**COLUMNS, "event_time": {"column": "when", "zone": "Europe/Berln"}}, "columns.event_time.zone"),
        ({k: v for k, v in COLUMNS.items() if k != "card_id"}, "columns.card_id"),
    ],
)
def test_a_wrong_mapping_is_a_usage_error_that_names_the_field(columns: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        bring(tmp_path, columns=columns)


def test_a_column_that_the_file_lacks_is_named_with_those_it_has(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="no column iban; it has id, when"):
        bring(tmp_path, columns={**COLUMNS, "card_id": {"column": "iban"}})


def test_a_timestamp_finer_than_microseconds_is_named_by_its_own_row(tmp_path: Path) -> None:
    fine = pa.array([1_767_571_200_000_000_000, 1_767_571_200_000_000_001], pa.timestamp("ns"))
    table = pa.table({"when": fine, "text": ["x", "y"], "cents": [1, 2]})
    pq.write_table(table, tmp_path / "bank.parquet")
    text = {"column": "text"}
    columns = {
        "event_time": {"column": "when"},
        "card_id": text,
        "merchant_id": text,
        "amount_minor": {"column": "cents"},
    }
    columns |= {"currency": {"constant": "EUR"}, "channel": {"constant": "atm"}}
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({"columns": columns}))

    with pytest.raises(SchemaError, match="row 2, column when: .*expected a time in whole microseconds"):
        import_table(tmp_path / "bank.parquet", tmp_path / "data", mapping=tmp_path / "m.yaml")


def test_semicolons_and_decimal_commas_are_read_where_the_mapping_says_so(tmp_path: Path) -> None:
    bring(tmp_path, ROWS.replace(",", ";").replace("12.34", "12,34").replace("52.5;13.4", "52,5;13,4"), **EUROPEAN)

    first, second = read_transactions(tmp_path / "data").to_pylist()
    assert (first["amount_minor"], second["amount_minor"]) == (1234, 500)
    assert first["latitude"] == pytest.approx(52.5)


def test_semicolons_that_the_mapping_does_not_say_are_named_also_where_rows_have_commas(tmp_path: Path) -> None:
    with pytest.raises(SchemaError) as caught:
        bring(tmp_path, ROWS.replace(",", ";").replace("12.34", "12,34"))
    assert "separator" in caught.value.action


@pytest.mark.parametrize("price", ["1.234", "1.234,50"])
def test_a_point_that_groups_thousands_is_not_taken_for_a_decimal(tmp_path: Path, price: str) -> None:
    with pytest.raises(SchemaError) as caught:
        bring(tmp_path, ROWS.replace(",", ";").replace("12.34", price), **EUROPEAN)
    assert f"row 1, column price: found '{price}', expected a number (line 2 of the file)" in caught.value.problem
