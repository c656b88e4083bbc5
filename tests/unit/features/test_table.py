"""A table's columns become a matrix: by kind, by tail, and by categories learned from normal rows."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from fraudline.core.errors import ArtifactError, SchemaError, UsageError
from fraudline.features.matrix import import_matrix
from fraudline.features.params import FeatureParams
from fraudline.features.table import TableSpec

FILE = Path("rows.parquet")
VALUES = {
    "kind": "table",
    "name": "flows",
    "columns": {
        "bytes": {"kind": "log", "tail": "both"},
        "service": {"kind": "category", "encode": ["onehot", "rarity"]},
        "land": {"kind": "flag"},
        "rate": {"tail": "upper"},
    },
    "label": {"column": "label", "normal": "ok"},
    "ignore": ["difficulty"],
    "least_rows": 2,
}


def spec(**changes: object) -> TableSpec:
    return TableSpec.parse(VALUES | changes, "test")


def rows(services: list[str]) -> pa.Table:
    n = len(services)
    return pa.table(
        {
            "bytes": np.arange(n) * 10,
            "service": services,
            "land": [k % 2 for k in range(n)],
            "rate": np.linspace(0, 1, n),
            "label": ["ok"] * n,
            "difficulty": [1] * n,
        }
    )


@pytest.fixture
def learned() -> TableSpec:
    return spec().learned(rows(["http"] * 90 + ["dns"] * 9 + ["once"]), FILE)


def test_a_category_gets_a_flag_only_where_enough_normals_have_it(learned):
    assert learned.names == (*("bytes", "bytes:low", "service=http", "service=dns", "service:rarity", "land", "rate"),)


def test_what_was_learned_stays_so_that_a_champion_can_be_compared_on_newer_rows(learned):
    text = yaml.safe_dump(learned.model_dump(mode="json"), sort_keys=False)
    again = TableSpec.parse(yaml.safe_load(text), "spec.yaml").learned(rows(["http"] * 5 + ["ftp"] * 95), FILE)
    assert again.version == learned.version


def test_the_matrix_has_values_flags_and_the_decades_of_a_categorys_rarity(learned):
    matrix = learned.encode(rows(["dns", "never seen"]), FILE)
    by_name = dict(zip(learned.names, matrix.T, strict=True))
    assert by_name["bytes"].tolist() == [0, 10]
    np.testing.assert_allclose(by_name["bytes:low"], [0, -np.log(11)], rtol=1e-6)
    assert by_name["service=dns"].tolist() == [1, 0]
    np.testing.assert_allclose(by_name["service:rarity"], -np.log10(np.array([9.5, 0.5]) / 101), rtol=1e-5)
    assert by_name["land"].tolist() == [0, 1]


def test_small_values_are_suspicious_by_a_column_of_their_own(learned):
    tails = {feature.name for feature in learned.features if feature.tail == "upper"}
    assert tails == {"bytes", "bytes:low", "service:rarity", "rate"}
    assert [f.name for f in learned.features if f.transform == "log1p"] == ["bytes"]


def test_the_specification_in_a_model_is_refused_when_its_content_changed(learned):
    content = json.loads(json.dumps(learned.to_dict(), sort_keys=True))
    assert TableSpec.from_dict(content).names == learned.names, "JSON objects are written sorted"
    assert TableSpec.from_dict(content) == learned
    content["columns"][3]["tail"] = "none"
    with pytest.raises(ArtifactError, match="named"):
        TableSpec.from_dict(content)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bytes": pa.array([-1, 5])}, "row 1, column bytes: found -1"),
        ({"rate": pa.array([0.5, None])}, "row 2, column rate: found nothing"),
        ({"land": pa.array(["yes", "perhaps"])}, "row 2, column land: found 'perhaps'"),
    ],
)
def test_a_wrong_value_is_named_by_row_and_column(learned, change, said):
    table = rows(["http", "dns"])
    for name, values in change.items():
        table = table.set_column(table.column_names.index(name), name, values)
    with pytest.raises(SchemaError, match=said):
        learned.encode(table, FILE)


def test_a_column_that_the_specification_does_not_name_is_refused(learned):
    with pytest.raises(SchemaError, match="surprise"):
        learned.encode(rows(["http"]).append_column("surprise", pa.array([1])), FILE)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ignore": ["bytes"]}, "named twice: bytes"),
        ({"columns": {"land": {"kind": "flag", "tail": "both"}}}, "no small values"),
        ({"columns": {"rate": {"categories": ["a"]}}}, "only a category"),
    ],
)
def test_a_contradiction_in_the_specification_is_refused(changes, said):
    with pytest.raises(UsageError, match=said):
        spec(**changes)


def table_file(folder: Path, name: str, count: int, seed: int, anomalies: float) -> Path:
    rng = np.random.default_rng(seed)
    strange = rng.random(count) < anomalies
    table = pa.table(
        {
            "bytes": np.where(strange, 1e6, rng.lognormal(5, 1, count)),
            "service": np.where(strange, "odd", rng.choice(["http", "dns"], count)),
            "land": rng.integers(0, 2, count),
            "rate": rng.random(count),
            "label": np.where(strange, "attack", "ok"),
            "difficulty": np.ones(count),
        }
    )
    pq.write_table(table, folder / name)
    return folder / name


def spec_file(folder: Path) -> Path:
    (folder / "flows.yaml").write_text(yaml.safe_dump(VALUES))
    return folder / "flows.yaml"


def test_an_imported_test_file_is_the_test_period_and_teaches_nothing(tmp_path):
    train, test = table_file(tmp_path, "a.parquet", 3000, 1, 0.1), table_file(tmp_path, "b.parquet", 900, 2, 0.3)
    result = import_matrix(train, tmp_path / "m", spec=spec_file(tmp_path), test=test)
    table = pq.read_table(tmp_path / "m" / "features" / "features.parquet")
    assert (result["rows"], result["test_rows"]) == (table.num_rows, 900) == (3900, 900)
    made = FeatureParams(spec=str(tmp_path / "m" / "spec.yaml")).resolve_model()
    assert "service=odd" not in made.names
    service = next(entry for entry in made.columns if entry.name == "service")
    assert table["service:rarity"].to_numpy().max() == pytest.approx(service.unseen, rel=1e-6)
    assert set(table["fraud_kind"].to_pylist()) == {None, "attack"}


def test_the_same_seed_deals_the_same_rows_to_the_same_days(tmp_path):
    source, chosen = table_file(tmp_path, "a.parquet", 2000, 1, 0.1), spec_file(tmp_path)
    for name in ("first", "second"):
        import_matrix(source, tmp_path / name, spec=chosen, seed=3)
    first, second = (pq.read_table(tmp_path / n / "features" / "features.parquet") for n in ("first", "second"))
    assert first.equals(second)


def test_of_a_table_without_a_label_no_row_is_an_anomaly():
    assert spec(label=None).anomalies(rows(["http", "dns"]), FILE).tolist() == ["", ""]


def test_a_label_that_no_row_has_as_normal_is_said(tmp_path):
    source = table_file(tmp_path, "a.parquet", 500, 1, 0.1)
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(VALUES | {"label": {"column": "label", "normal": "fine"}}))
    with pytest.raises(SchemaError, match="0 normal rows"):
        import_matrix(source, tmp_path / "m", spec=tmp_path / "wrong.yaml")
    assert not (tmp_path / "m").exists()
