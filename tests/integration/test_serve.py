"""The real KServe server with one artifact: the golden scores over every protocol, and what it says of wrong input."""

import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import orjson
import pytest

from fraudline.core.errors import ArtifactError, UsageError
from fraudline.ops.local.predictor import LocalPredictor
from fraudline.ops.local.process import free_port
from tests.support.artifacts import tiny_artifact
from tests.support.bad_requests import BAD_V1, BAD_V2, EVENT, JSON, NAN, V1, V2, binary, check_refusal, send, v2
from tests.support.served import ROWS, Served
from tests.support.until import until

pytestmark = pytest.mark.integration

TOLERANCE = 1e-5


class TestGoldenScores:
    def test_v1_objects_give_the_golden_scores_with_decision_and_reasons(self, served: Served) -> None:
        answer = served.client.post(V1, json={"instances": served.objects})
        assert answer.status_code == 200, answer.text
        predictions = answer.json()["predictions"]
        np.testing.assert_allclose([p["score"] for p in predictions], served.scores, atol=TOLERANCE)
        decisions = np.array([p["decision"] for p in predictions])
        expected = np.select([served.scores >= 0.55, served.scores >= 0.5], ["block", "review"], "allow")
        assert (decisions == expected).all()
        assert set(decisions) == {"allow", "review", "block"}
        first = predictions[0]
        assert first["model_version"] == served.version
        assert 1 <= len(first["reasons"]) <= 3
        assert set(first["reasons"][0]) == {"feature", "share", "value", "expected", "text"}
        assert first["threshold"] in (0.5, 0.55)

    def test_v1_lists_give_the_same_answer_as_objects(self, served: Served) -> None:
        objects = served.client.post(V1, json={"instances": served.objects[:5]}).json()
        lists = served.client.post(V1, json={"instances": served.features[:5].tolist()}).json()
        assert lists == objects

    def test_v1_echoes_the_transaction_id_that_travels_in_the_data(self, served: Served) -> None:
        row = served.objects[0] | {"transaction_id": "t-1"}
        assert served.client.post(V1, json={"instances": [row]}).json()["predictions"][0]["transaction_id"] == "t-1"

    @pytest.mark.parametrize(
        "content_type", ["application/json; charset=utf-8", "application/x-www-form-urlencoded", None]
    )
    def test_v1_takes_json_whatever_the_client_calls_it(self, served: Served, content_type: str | None) -> None:
        headers = {"content-type": content_type} if content_type else {}
        body = orjson.dumps({"instances": served.objects[:1]})
        assert served.client.post(V1, content=body, headers=headers).status_code == 200

    @pytest.mark.parametrize("nested", [True, False])
    def test_v2_json_gives_the_golden_scores_and_all_outputs(self, served: Served, nested: bool) -> None:
        data = served.features.tolist() if nested else served.features.ravel().tolist()
        answer = served.client.post(V2, json=v2(served, data=data))
        assert answer.status_code == 200, answer.text
        body = answer.json()
        outputs = {output["name"]: output for output in body["outputs"]}
        np.testing.assert_allclose(outputs["score"]["data"], served.scores, atol=TOLERANCE)
        assert outputs["decision"]["datatype"] == "BYTES"
        assert set(outputs["decision"]["data"]) == {"allow", "review", "block"}
        shares = np.array(outputs["contributions"]["data"]).reshape(outputs["contributions"]["shape"])
        np.testing.assert_allclose(shares.sum(axis=1), served.scores, rtol=1e-5)
        assert outputs["expected"]["shape"] == list(served.features.shape)
        assert body["model_version"] == served.version
        assert (body["parameters"]["review"], body["parameters"]["block"]) == (0.5, 0.55)
        assert body["parameters"]["threshold_version"]

    def test_v2_gives_a_missing_id_a_value_and_keeps_a_given_one(self, served: Served) -> None:
        assert served.client.post(V2, json=v2(served)).json()["id"]
        assert served.client.post(V2, json=v2(served) | {"id": "mine"}).json()["id"] == "mine"

    def test_v2_gives_only_the_outputs_that_are_asked_for(self, served: Served) -> None:
        body = served.client.post(V2, json=v2(served) | {"outputs": [{"name": "score"}]}).json()
        assert [output["name"] for output in body["outputs"]] == ["score"]

    @pytest.mark.parametrize("how", ["for all", "for each output"])
    def test_v2_binary_tensors_in_and_out_give_the_golden_scores(self, served: Served, how: str) -> None:
        raw = served.features.tobytes()
        shape = list(served.features.shape)
        parameters = {"binary_data_size": len(raw)}
        head: dict[str, Any] = {
            "inputs": [{"name": "features", "shape": shape, "datatype": "FP32", "parameters": parameters}]
        }
        if how == "for all":
            head |= {"parameters": {"binary_data_output": True}}
        else:
            names = ("score", "decision", "contributions", "expected")
            head |= {"outputs": [{"name": name, "parameters": {"binary_data": True}} for name in names]}
        body, headers = binary(head, raw)
        answer = served.client.post(V2, content=body, headers=headers)
        assert answer.status_code == 200, answer.text
        length = int(answer.headers["inference-header-content-length"])
        outputs = json.loads(answer.content[:length])["outputs"]
        assert [output["name"] for output in outputs] == ["score", "decision", "contributions", "expected"]
        scores = np.frombuffer(answer.content, np.float32, len(served.scores), offset=length)
        np.testing.assert_allclose(scores, served.scores, atol=TOLERANCE)

    @pytest.mark.parametrize("raw", [True, False])
    def test_v2_over_grpc_gives_the_golden_scores(self, served: Served, raw: bool) -> None:
        answer = infer(served, served.features, raw=raw)
        values = {output.name: i for i, output in enumerate(answer.outputs)}
        scores = np.frombuffer(answer.raw_output_contents[values["score"]], np.float32)
        np.testing.assert_allclose(scores, served.scores, atol=TOLERANCE)
        assert answer.model_version == served.version
        assert float(answer.parameters["review"].string_param) == 0.5
        assert answer.id

    @pytest.mark.parametrize("content", ["one object", "a V1 body"])
    def test_a_binary_event_gives_the_golden_score_as_an_event(self, served: Served, content: str) -> None:
        row = served.objects[3] | {"transaction_id": "t-3"}
        body = row if content == "one object" else {"instances": [row]}
        answer = served.client.post(V1, json=body, headers=EVENT)
        assert answer.status_code == 200, answer.text
        prediction = answer.json()["predictions"][0]
        assert abs(prediction["score"] - served.scores[3]) <= TOLERANCE
        assert prediction["transaction_id"] == "t-3"
        assert answer.headers["ce-type"] == "io.kserve.inference.response"
        assert answer.headers["ce-specversion"] == "1.0"

    @pytest.mark.parametrize("with_time", [True, False])
    @pytest.mark.parametrize("encoding", ["data", "data_base64"])
    def test_a_structured_event_gives_the_golden_score_as_an_event(
        self, served: Served, with_time: bool, encoding: str
    ) -> None:
        import base64

        event: dict[str, Any] = {"specversion": "1.0", "id": "e1", "source": "test", "type": "fraudline.features.v1"}
        if with_time:
            event["time"] = "2025-01-01T00:00:00Z"
        row = served.objects[4]
        event[encoding] = row if encoding == "data" else base64.b64encode(orjson.dumps(row)).decode()
        headers = {"content-type": "application/cloudevents+json"}
        answer = served.client.post(V1, content=orjson.dumps(event), headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("application/cloudevents+json")
        assert abs(answer.json()["data"]["predictions"][0]["score"] - served.scores[4]) <= TOLERANCE

    @pytest.mark.parametrize(
        "headers",
        [
            {"content-type": "application/cloudevents+json; charset=utf-8"},
            {"content-type": "Application/CloudEvents+JSON"},
            EVENT | {"content-type": "application/cloudevents+json"},
        ],
        ids=["with a charset", "in capitals", "with copies of its attributes as headers"],
    )
    def test_a_structured_event_is_answered_as_one_however_its_sender_writes_it(
        self, served: Served, headers: dict[str, str]
    ) -> None:
        event = {"specversion": "1.0", "id": "e1", "source": "test", "type": "t", "data": served.objects[4]}
        answer = served.client.post(V1, content=orjson.dumps(event), headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/cloudevents+json"
        assert answer.json()["type"] == "io.kserve.inference.response"
        assert abs(answer.json()["data"]["predictions"][0]["score"] - served.scores[4]) <= TOLERANCE


def infer(served: Served, features: np.ndarray, *, raw: bool = True, **changes: Any) -> Any:
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    tensor = {"name": "features", "shape": list(features.shape), "datatype": "FP32"} | changes.pop("tensor", {})
    if not raw:
        tensor["contents"] = {"fp32_contents": features.ravel().tolist()}
    request = pb.ModelInferRequest(
        model_name="fraud", inputs=[tensor], raw_input_contents=[features.tobytes()] if raw else [], **changes
    )
    with grpc.insecure_channel(served.predictor.grpc_address) as channel:
        return GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=20)


class TestWrongInput:
    @pytest.mark.parametrize("what", BAD_V1)
    def test_a_wrong_v1_request_is_a_400_that_names_the_field(self, served: Served, what: str) -> None:
        make, field_name = BAD_V1[what]
        check_refusal(served, send(served, V1, make(served)), field_name)

    @pytest.mark.parametrize("what", BAD_V2)
    def test_a_wrong_v2_request_is_a_400_that_names_the_field(self, served: Served, what: str) -> None:
        make, field_name = BAD_V2[what]
        check_refusal(served, send(served, V2, make(served)), field_name)

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"tensor": {"name": "other"}}, "features"),
            ({"tensor": {"datatype": "BYTES"}}, "datatype"),
            ({"tensor": {"datatype": "NONE"}}, "content type"),
            ({"tensor": {"shape": [-1, 5]}}, "features"),
            ({"tensor": {"shape": [3, 3]}}, "features"),
            ({"outputs": [{"name": "colour"}]}, "outputs.colour"),
        ],
    )
    def test_a_wrong_grpc_request_is_an_invalid_argument(
        self, served: Served, changes: dict[str, Any], reason: str
    ) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            infer(served, served.features, **changes)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert reason in caught.value.details()

    def test_a_grpc_request_with_nan_is_an_invalid_argument_that_names_row_and_feature(self, served: Served) -> None:
        features = served.features.copy()
        features[2, 3] = NAN
        with pytest.raises(grpc.RpcError) as caught:
            infer(served, features)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert f"inputs.features.data[2][3] ({served.names[3]})" in caught.value.details()

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("POST", "/v1/models/other:predict", 404),
            ("POST", "/v2/models/other/infer", 404),
            ("GET", "/v2/models/other", 404),
            ("GET", "/v2/models/other/ready", 404),
            ("GET", "/nothing", 404),
            ("GET", "/v1/models/", 404),
            ("GET", V2, 405),
            ("POST", "/v1/models/fraud:explain", 404),
            ("POST", "/v2/models/fraud/versions/7/infer", 404),
            ("POST", "/v2/repository/models/fraud/unload", 400),
            ("POST", "/v2/repository/models/fraud/load", 400),
        ],
    )
    def test_what_is_not_offered_is_a_4xx(self, served: Served, method: str, path: str, status: int) -> None:
        body = v2(served) if path.startswith("/v2") else {"instances": served.objects[:1]}
        answer = served.client.request(method, path, json=body if method == "POST" else None)
        assert answer.status_code == status, answer.text

    def test_a_body_beyond_the_limit_is_a_413(self, served: Served) -> None:
        answer = served.client.post(V1, content=b" " * (33 << 20), headers=JSON)
        assert answer.status_code == 413

    def test_a_body_beyond_the_limit_of_unknown_length_is_a_4xx(self, served: Served) -> None:
        answer = served.client.post(V1, content=(b" " * (1 << 20) for _ in range(40)), headers=JSON)
        assert 400 <= answer.status_code < 500

    def test_the_server_still_answers_after_all_of_this(self, served: Served) -> None:
        assert served.client.post(V1, json={"instances": served.objects[:1]}).status_code == 200


class TestTogether:
    def test_requests_at_the_same_time_over_every_protocol_each_get_their_own_rows(self, served: Served) -> None:
        def rest(i: int) -> float:
            body = {"instances": served.objects[i : i + 1]}
            return served.client.post(V1, json=body).json()["predictions"][0]["score"]

        def v2_json(i: int) -> float:
            row = served.features[i : i + 1]
            answer = served.client.post(V2, json=v2(served, shape=list(row.shape), data=row.ravel().tolist())).json()
            return answer["outputs"][0]["data"][0]

        def over_grpc(i: int) -> float:
            return float(np.frombuffer(infer(served, served.features[i : i + 1]).raw_output_contents[0], np.float32)[0])

        jobs = [(ask, i) for i in range(ROWS) for ask in (rest, v2_json, over_grpc)]
        with ThreadPoolExecutor(12) as pool:
            found = list(pool.map(lambda job: job[0](job[1]), jobs))
        np.testing.assert_allclose(found, [served.scores[i] for _, i in jobs], atol=TOLERANCE)

    def test_no_line_is_logged_for_a_request_that_is_answered(self, served: Served) -> None:
        assert served.client.post(V1, json={"instances": served.objects[:1]}).status_code == 200
        assert "HTTP/1.1" not in served.predictor.child.log_path.read_text()

    def test_it_is_kserves_server_and_its_api_is_still_described(self, served: Served) -> None:
        from kserve import ModelServer

        from fraudline.serve.server import Predictor

        assert issubclass(Predictor, ModelServer)
        paths = served.client.get("/openapi.json").json()["paths"]
        assert {"/v1/models/{model_name}:predict", "/v2/models/{model_name}/infer", "/v2/health/ready"} <= set(paths)

    def test_the_described_body_of_v1_is_what_the_server_takes(self, served: Served) -> None:
        import jsonschema

        document = served.client.get("/openapi.json").json()
        content = document["paths"]["/v1/models/{model_name}:predict"]["post"]["requestBody"]["content"]
        check = jsonschema.Draft202012Validator(content["application/json"]["schema"])
        row = served.objects[0]
        lacking = {name: value for name, value in row.items() if name != served.names[0]}
        bodies = [
            {"instances": [row, list(row.values())]},
            {"instances": [row | {"transaction_id": "t1"}]},
            {"instances": []},
            {"instances": [lacking]},
            {"instances": [row | {"more": 1.0}]},
            {"instances": [list(row.values())[1:]]},
            {"rows": [row]},
        ]
        taken = [served.client.post(V1, json=body).status_code == 200 for body in bodies]
        assert [check.is_valid(body) for body in bodies] == taken == [True, True, *[False] * 5]


class TestReadiness:
    def test_a_ready_server_says_so_and_names_its_inputs_and_version(self, served: Served) -> None:
        for path in ("/v2/health/ready", "/v2/health/live", "/v2/models/fraud/ready", "/v1/models/fraud"):
            assert served.client.get(path).status_code == 200
        metadata = served.client.get("/v2/models/fraud").json()
        assert metadata["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, len(served.names)]}]
        assert metadata["versions"] == [served.version]

    def test_a_models_metadata_over_grpc_has_its_version_too(self, served: Served) -> None:
        from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
        from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

        with grpc.insecure_channel(served.predictor.grpc_address) as channel:
            found = GRPCInferenceServiceStub(channel).ModelMetadata(pb.ModelMetadataRequest(name="fraud"), timeout=20)
        assert list(found.versions) == [served.version]

    def test_the_most_rows_fit_into_a_message_as_double_numbers(self, served: Served) -> None:
        features = np.repeat(served.features.astype(np.float64), 4_096 // ROWS, axis=0)
        answer = infer(served, features, tensor={"datatype": "FP64"})
        np.testing.assert_allclose(
            np.frombuffer(answer.raw_output_contents[0], np.float32)[:: 4_096 // ROWS], served.scores, atol=TOLERANCE
        )

    def test_metrics_count_rows_and_refusals_by_model_and_version(self, served: Served) -> None:
        labels = f'{{model="fraud",version="{served.version}"}}'
        before = metrics(served)
        served.client.post(V1, json={"instances": served.objects[:7]})
        served.client.post(V1, json={"instances": []})
        after = metrics(served)
        for name, step in (("rows", 7), ("refused", 1)):
            key = f"fraudline_predictor_{name}_total{labels}"
            assert after[key] - before.get(key, 0) == step
        assert after[f"fraudline_predictor_info{labels}"] == 1

    def test_the_server_listens_on_loopback_only(self, served: Served) -> None:
        import psutil

        sockets = [c for c in psutil.net_connections("inet") if c.pid == served.predictor.child.pid]
        listening = {(c.laddr.ip.removeprefix("::ffff:"), c.laddr.port) for c in sockets if c.status == "LISTEN"}
        ports = (served.predictor.http_port, served.predictor.grpc_port)
        assert listening == {("127.0.0.1", port) for port in ports}

    def test_a_tampered_artifact_never_becomes_ready_and_the_reason_is_given(self, tmp_path: Path) -> None:
        folder = tiny_artifact(tmp_path / "model")
        (folder / "card.md").write_text("another card")
        with pytest.raises(ArtifactError, match=r"card\.md"), LocalPredictor(folder):
            pytest.fail("it became ready")


@pytest.mark.parametrize(
    ("taken", "host", "with_grpc"),
    [
        ("http", "127.0.0.1", True),
        ("http", "127.0.0.1", False),
        ("grpc", "127.0.0.1", True),
        ("", "192.0.2.1", True),
        ("", "192.0.2.1", False),
    ],
)
def test_a_server_that_cannot_listen_says_where_and_what_to_do(
    served: Served, tmp_path: Path, taken: str, host: str, with_grpc: bool
) -> None:
    ports = {"http": free_port(), "grpc": free_port()}
    if taken:
        ports[taken] = {"http": served.predictor.http_port, "grpc": served.predictor.grpc_port}[taken]
    command = [
        sys.executable,
        "-m",
        "fraudline.serve",
        "--model_dir",
        tiny_artifact(tmp_path / "model"),
        "--host",
        host,
    ]
    command += ["--http_port", str(ports["http"]), "--grpc_port", str(ports["grpc"]), "--enable_grpc", str(with_grpc)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    said = ended.stdout + ended.stderr
    assert ended.returncode == UsageError.exit_code, said
    assert f"cannot listen on {host}, port " in said
    assert "a port that nothing listens on" in said
    assert "Traceback" not in said
    assert "serve.ready" not in said


def test_both_protocols_stop_together_and_what_has_begun_is_answered(served: Served, tmp_path: Path) -> None:
    body = orjson.dumps({"instances": served.objects[:1]})
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (V1.encode(), len(body))
    with (
        LocalPredictor(tiny_artifact(tmp_path / "model"), grpc=True) as predictor,
        socket.create_connection(("127.0.0.1", predictor.http_port), timeout=20) as begun,
    ):
        begun.sendall(head + body[:1])
        assert httpx.get(f"{predictor.url}/v2/health/ready").status_code == 200
        os.kill(predictor.child.pid, signal.SIGTERM)
        until(lambda: not listens(predictor.grpc_address))
        begun.sendall(body[1:])
        assert begun.recv(64).startswith(b"HTTP/1.1 200 ")


def listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=20).close()
    except ConnectionError:
        return False
    return True


def test_the_serving_process_loads_none_of_the_training_packages(tmp_path: Path) -> None:
    folder = tiny_artifact(tmp_path / "model")
    code = (
        "import sys, pathlib, fraudline.serve.server\n"
        "from fraudline.serve.model import FraudModel\n"
        "FraudModel('fraud', pathlib.Path(sys.argv[1])).load()\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    loaded = set(ended.stdout.splitlines()[-1].split())
    assert "onnxruntime" in loaded
    heavy = {"tensorflow", "keras", "mlflow", "dvc", "great_expectations", "kfp", "sklearn", "onnx", "tf2onnx", "numba"}
    assert loaded.isdisjoint(heavy), loaded & heavy


def metrics(served: Served) -> dict[str, float]:
    lines = served.client.get("/metrics").text.splitlines()
    return {key: float(value) for key, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}
