"""Files of card numbers become files of tokens, whatever their format, and nothing else in them changes."""

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fraudline.cli.main import cli
from fraudline.core.errors import SchemaError, UsageError
from fraudline.core.tokens import Tokenizer
from fraudline.data.importers.rows import build_transactions
from fraudline.data.tokenize import tokenize_file
from tests.support.card_numbers import found_in, synthetic, written

NUMBERS = synthetic(500)
TOKENS = Tokenizer({"k1": b"0" * 32})
ROWS = [
    {"pan": written(number, i), "when": "1735689600000000", "text": f'a "{i}", é', "amount": f"{i}.50"}
    for i, number in enumerate(NUMBERS)
]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path) -> list[dict[str, str]]:
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".parquet":
        return list(pq.read_table(path).to_pylist())
    return [json.loads(line) for line in path.read_text().splitlines()]


NUMBER = 4111111111111111
COLUMNS = {
    "large text": pa.array([str(NUMBER)], pa.large_string()),
    "view": pa.array([str(NUMBER)], pa.string_view()),
    "category": pa.array([str(NUMBER)]).dictionary_encode(),
    "fraction": pa.array([float(NUMBER)]),
    "decimal": pa.array([NUMBER]).cast(pa.decimal128(21, 2)),
    "list": pa.array([[str(NUMBER)]]),
    "record": pa.array([{"pan": str(NUMBER)}]),
    "bytes": pa.array([str(NUMBER).encode()]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_card_number_is_found_in_whatever_type_parquet_has_it(tmp_path: Path, kind: str) -> None:
    source, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(pa.table({"pan": ["1"], "note": COLUMNS[kind]}), source)
    with pytest.raises(SchemaError, match="column note"):
        tokenize_file(source, out, ["pan"], TOKENS)
    assert not out.exists()
    tokenize_file(source, out, ["pan"], TOKENS, allow=["note"])
    assert pq.read_table(out)["note"].to_pylist() == COLUMNS[kind].to_pylist()


def test_card_numbers_as_fractions_are_refused_and_other_types_give_the_tokens_of_their_text(tmp_path: Path) -> None:
    def tokens(column: pa.Array) -> list[str]:
        source, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
        pq.write_table(pa.table({"pan": column, "at": pa.array([0], pa.timestamp("us")), "x": [1.5]}), source)
        tokenize_file(source, out, ["pan"], TOKENS)
        return pq.read_table(out)["pan"].to_pylist()

    wanted = [TOKENS.token(str(NUMBER))]
    assert [tokens(COLUMNS[kind]) for kind in ("large text", "view", "category")] == [wanted] * 3
    assert tokens(pa.array([NUMBER])) == wanted
    with pytest.raises(SchemaError, match="fraction"):
        tokens(COLUMNS["fraction"])
    for kind in ("bytes", "list", "record"):
        with pytest.raises(SchemaError, match="column pan is .* cannot be read as text") as caught:
            tokens(COLUMNS[kind])
        assert caught.value.action == "Write it as text."


@pytest.mark.parametrize("value", ["4111111111111111.0", "4.111111111111111e15", "true", "[4111111111111111]"])
def test_what_json_has_instead_of_a_number_gets_no_token_of_its_own(value: str, tmp_path: Path) -> None:
    source = tmp_path / "cards.jsonl"
    source.write_text(f'{{"pan": {value}}}\n')
    with pytest.raises(SchemaError, match="line 1: pan is neither text nor a whole number"):
        tokenize_file(source, tmp_path / "out.jsonl", columns=["pan"], tokenizer=TOKENS)
    assert not (tmp_path / "out.jsonl").exists()


def test_a_file_of_a_spreadsheet_that_begins_with_a_mark_of_its_encoding_is_read(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(f"pan,x\n{NUMBER},1\n", encoding="utf-8-sig")
    tokenize_file(tmp_path / "in.csv", tmp_path / "out.csv", ["pan"], TOKENS)
    assert (tmp_path / "out.csv").read_text() == f"pan,x\n{TOKENS.token(str(NUMBER))},1\n"


def test_a_csv_of_semicolons_stays_one(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(f"pan;price\n{NUMBER};1,50\n", encoding="utf-8-sig")
    tokenize_file(tmp_path / "in.csv", tmp_path / "out.csv", ["pan"], TOKENS)
    assert (tmp_path / "out.csv").read_text() == f"pan;price\n{TOKENS.token(str(NUMBER))};1,50\n"


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_numbers_become_tokens_and_everything_else_stays(suffix: str, tmp_path: Path) -> None:
    source, out = write(tmp_path / f"in{suffix}", ROWS), tmp_path / f"out{suffix}"
    done = tokenize_file(source, out, ["pan"], TOKENS)
    assert (done.rows, done.replaced) == (len(ROWS), len(ROWS))
    assert read(out) == [row | {"pan": TOKENS.token(row["pan"])} for row in ROWS]
    assert found_in(out.read_bytes(), NUMBERS) == []
    again = tokenize_file(out, tmp_path / f"again{suffix}", ["pan"], TOKENS)
    assert again.replaced == 0
    assert read(tmp_path / f"again{suffix}") == read(out)


@pytest.mark.parametrize(("suffix", "row"), [(".csv", "6"), (".parquet", "5"), (".jsonl", "5")])
def test_a_number_in_a_column_that_was_not_named_is_an_error_with_its_row_and_no_file(
    suffix: str, row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fraudline.data.tokenize.ROWS", 3)  # the row is of the file, not of the piece
    rows = [row | {"text": f"see {NUMBERS[9]}"} if i == 4 else row for i, row in enumerate(ROWS[:8])]
    source, out = write(tmp_path / f"in{suffix}", rows), tmp_path / f"out{suffix}"
    with pytest.raises(SchemaError, match=f"row {row}, column text") as caught:
        tokenize_file(source, out, ["pan"], TOKENS)
    assert NUMBERS[9] not in str(caught.value)
    assert not out.exists()
    assert tokenize_file(source, out, ["pan"], TOKENS, allow=["text"]).rows == 8


@pytest.mark.parametrize("number", [4_222_222_222_222, 4_111_111_111_111_111], ids=["13 digits", "16 digits"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_number_that_is_written_as_an_integer_is_found_too(suffix: str, number: int, tmp_path: Path) -> None:
    path = tmp_path / f"in{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table({"pan": ["1"], "ref": [number]}), path)
    else:
        path.write_text(f"pan,ref\n1,{number}\n" if suffix == ".csv" else f'{{"pan": "1", "ref": {number}}}\n')
    with pytest.raises(SchemaError, match="column ref"):
        tokenize_file(path, tmp_path / f"out{suffix}", ["pan"], TOKENS)


def test_wrong_files_and_columns_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", ROWS[:2])
    with pytest.raises(UsageError, match="no column card"):
        tokenize_file(source, tmp_path / "out.csv", ["card"], TOKENS)
    with pytest.raises(UsageError, match="no format"):
        tokenize_file(tmp_path / "x.xls", tmp_path / "out.csv", ["pan"], TOKENS)
    source.write_text("pan,b\n1\n")
    with pytest.raises(SchemaError, match="line 2: 1 values for 2 columns"):
        tokenize_file(source, tmp_path / "out.csv", ["pan"], TOKENS)
    (tmp_path / "in.jsonl").write_text('{"pan": "1"}\n[]\n')
    with pytest.raises(SchemaError, match="line 2"):
        tokenize_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", ["pan"], TOKENS)
    (tmp_path / "in.parquet").write_bytes(b"PAR1")
    with pytest.raises(SchemaError, match="not parquet"):
        tokenize_file(tmp_path / "in.parquet", tmp_path / "out.parquet", ["pan"], TOKENS)


def test_the_command_says_how_many_and_never_shows_number_or_key(tmp_path: Path) -> None:
    source, keys = write(tmp_path / "in.csv", ROWS), tmp_path / "card.key"
    keys.write_text(f"k7 {'ab' * 32}\n")
    arguments = [
        "data",
        "tokenize",
        str(source),
        "--column",
        "pan",
        "--key-file",
        str(keys),
        "-o",
        str(tmp_path / "o.csv"),
    ]
    ended = CliRunner().invoke(cli, [*arguments, "--json"])
    assert ended.exit_code == 0, ended.output
    assert json.loads(ended.stdout) == {"rows": 500, "replaced": 500, "key_id": "k7", "out": str(tmp_path / "o.csv")}
    assert "ab" * 32 not in ended.output
    assert found_in(ended.output.encode(), NUMBERS) == []


def test_card_numbers_are_no_cards_for_an_import_and_long_identifiers_are() -> None:
    def built(cards: list[str]) -> pa.Table:
        n = pa.array([str(i) for i in range(len(cards))])
        zeros = pa.array([0] * len(cards)).to_numpy()
        return build_transactions(
            transaction_id=n,
            event_time_us=zeros,
            card_id=pa.array(cards),
            merchant_id=n,
            amount_minor=zeros,
            channel="pos",
        )

    with pytest.raises(SchemaError, match="data tokenize"):
        built(NUMBERS)
    assert built([TOKENS.token(number) for number in NUMBERS]).num_rows == 500
    assert built([f"{i:016}" for i in range(100)]).num_rows == 100
