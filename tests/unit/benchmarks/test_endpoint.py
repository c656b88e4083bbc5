"""The figures of the endpoint are of servers that answer what the model says, and none of them is silent on errors."""

import json

import numpy as np
import pytest

from benchmarks import endpoint
from benchmarks.serving import requests
from benchmarks.serving.contestants import EMPTY, OURS
from benchmarks.serving.load import cases
from fraudline.core.errors import UnavailableError
from fraudline.model.artifact import load_artifact
from fraudline.model.golden import read_golden
from tests.support.artifacts import tiny_artifact

MORE = {"name": "expected", "datatype": "FP32", "shape": [2]}


class Server:
    """Answers everything with one body."""

    def __init__(self, name, body):
        self.name, self.body = name, body

    def post(self, case):
        return 200, self.body


def answers(scores):
    """Two scores in V1, V2 JSON and V2 binary."""
    listed, raw = [float(each) for each in scores], np.asarray(scores, np.float32).tobytes()
    outputs = [MORE | {"data": [0, 0]}, {"name": "score", "data": listed}]
    sized = [MORE | {"parameters": {"binary_data_size": 8}}, {"name": "score", "parameters": {"binary_data_size": 8}}]
    return [
        json.dumps({"predictions": [{"score": each} for each in listed]}).encode(),
        json.dumps({"outputs": outputs}).encode(),
        json.dumps({"outputs": sized}).encode() + b"\0" * 8 + raw,
    ]


@pytest.mark.parametrize("place", range(3), ids=["V1", "V2 JSON", "V2 binary"])
def test_a_server_that_answers_other_scores_than_the_models_is_not_measured(place, tmp_path):
    artifact = load_artifact(tiny_artifact(tmp_path / "m"))
    case = cases(artifact, (2,))[place]
    right = np.resize(read_golden(artifact.table("golden.parquet"), artifact.spec.names)[1].score, 2)
    requests._right(Server(OURS, answers(right)[place]), case, artifact)
    for wrong in (answers(right + np.float32(0.001))[place], b'{"predictions": []}', b'{"outputs": []}'):
        with pytest.raises(UnavailableError, match="other scores"):
            requests._right(Server(OURS, wrong), case, artifact)
        requests._right(Server(EMPTY, wrong), case, artifact)


@pytest.mark.parametrize(("errors", "ended"), [(0, 0), (2, 1)])
def test_failed_requests_end_the_benchmark_with_a_code_that_ci_sees(errors, ended, tmp_path, monkeypatch, capsys):
    figures = {"V1, 1 / fraudline": {"rate": 9.0, "errors": errors}}
    monkeypatch.setitem(endpoint.SECTIONS, "requests", lambda _: {"figures": figures, "table": ""})
    monkeypatch.setattr("sys.argv", ["endpoint", "requests", "--short", "--json", "--model", str(tmp_path)])
    assert endpoint.main() == ended
    assert ("2 requests failed" in capsys.readouterr().err) is bool(errors)
