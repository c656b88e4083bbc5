"""A table of another domain goes through the same steps and is served by the same predictor."""

import asyncio
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from benchmarks import domains
from fraudline.core.errors import ArtifactError
from fraudline.core.files import read_json
from fraudline.features.matrix import import_matrix
from fraudline.model.artifact import load_artifact
from fraudline.steps.params import Params

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("FRAUDLINE_SHARED_DATA", ROOT.parent / "shared" / "data"))
SPEC = {
    "kind": "table",
    "name": "machines",
    "columns": {
        "torque": {"tail": "both", "unit": "Nm"},
        "speed": {"kind": "log"},
        "product": {"kind": "category", "encode": ["onehot", "rarity"]},
    },
    "label": {"column": "failure", "normal": "0"},
}


def machines(count: int) -> pa.Table:
    """Torque and speed are inverse; a failing machine breaks that, within the range of each."""
    rng = np.random.default_rng(5)
    torque = rng.normal(40, 8, count)
    speed = 60_000 / np.maximum(torque, 5) * rng.normal(1, 0.02, count)
    failing = rng.random(count) < 0.04
    speed[failing] = rng.permutation(speed)[: failing.sum()]
    product = rng.choice(["L", "M", "H"], count, p=[0.6, 0.3, 0.1])
    return pa.table({"torque": torque, "speed": speed, "product": product, "failure": failing.astype(int)})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("machines")
    pq.write_table(machines(6000), place / "machines.parquet")
    (place / "spec.yaml").write_text(yaml.safe_dump(SPEC))
    made = import_matrix(place / "machines.parquet", place / "m", spec=place / "spec.yaml")
    values = yaml.safe_load(Path(made["params"]).read_text()) | {"registry": {"tracking_uri": ""}}
    values["train"] |= {"hidden": [16, 8], "bottlenecks": [1, 2], "epochs": 15}
    values["gate"] = {"rules": [{"metric": "roc_auc", "min": 0.8}]}
    params = Params.parse(values, "test")
    from fraudline.steps.evaluate import evaluate
    from fraudline.steps.gate import gate
    from fraudline.steps.infra_validate import infra_validate
    from fraudline.steps.train import train

    features, dataset, model = place / "m" / "features", place / "m" / "dataset", place / "model"
    train(features=features, dataset=dataset, model=model, params=params)
    evaluate(features=features, dataset=dataset, model=model, evaluation=place / "evaluation", params=params)
    gate(evaluation=place / "evaluation", model=model, blessing=place / "blessing", params=params)
    infra_validate(model=model, report=place / "infra", params=params)
    return place


def test_the_steps_bless_a_model_that_sees_what_no_column_shows_alone(folder):
    metrics = read_json(folder / "evaluation" / "metrics.json")
    assert metrics["roc_auc"] > 0.8
    assert metrics["roc_auc"] > metrics["baselines"]["isolation_forest"]["roc_auc"]
    assert read_json(folder / "blessing" / "blessing.json")["blessed"] is True
    assert read_json(folder / "infra" / "infra.json")["ok"] is True


def test_the_predictor_takes_rows_as_they_stand_in_the_table(folder):
    pytest.importorskip("kserve.model")
    from fraudline.serve.errors import RequestError
    from fraudline.serve.model import FraudModel

    model = FraudModel("fraud", folder / "model")
    model.load()
    raw = [
        {"torque": 40.0, "speed": 1500.0, "product": "L", "transaction_id": "usual"},
        {"torque": 55.0, "speed": 2400.0, "product": "L"},
        {"torque": 40.0, "speed": 1500.0, "product": "never made"},
    ]
    answer, _ = asyncio.run(model({"instances": raw}))
    usual, broken, unseen = answer["predictions"]
    assert usual["transaction_id"] == "usual"
    assert min(broken["score"], unseen["score"]) > usual["score"] + 1
    assert unseen["reasons"][0]["feature"] == "product:rarity"
    with pytest.raises(RequestError, match="column torque: found 'much'"):
        model.preprocess({"instances": [raw[0] | {"torque": "much"}]})


def test_the_feature_engine_of_cards_refuses_it(folder):
    artifact = load_artifact(folder / "model")
    with pytest.raises(ArtifactError, match="rows of the table machines, not transactions"):
        artifact.card_spec  # noqa: B018


@pytest.mark.skipif(not (SHARED / "nslkdd_test.parquet").is_file(), reason="the NSL-KDD files are not here")
def test_network_intrusion_reaches_its_figure(tmp_path, monkeypatch):
    """With the one baseline that it is compared with here, and without the intervals, which take most of the time."""
    monkeypatch.setattr(domains, "SHOWN", ("fraudline", "isolation_forest"))
    monkeypatch.setattr(domains, "RESAMPLES", 2)
    asked = ["--domain", "nsl-kdd", "--seeds", "1", "--data", str(SHARED), "--json", str(tmp_path / "figures.json")]
    assert domains.main(asked) == 0
    models = read_json(tmp_path / "figures.json")["nsl-kdd"]["models"]
    assert models["fraudline"]["auc"] >= 0.93
    assert models["fraudline"]["auc"] > models["isolation_forest"]["auc"]
