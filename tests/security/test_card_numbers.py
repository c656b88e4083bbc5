"""Card numbers that come in anywhere are nowhere behind: not in a log, a dead letter, a decision, an answer, MLflow."""

import json
from pathlib import Path

import httpx
import pytest

from fraudline.core.log import configure
from fraudline.ops.local.kafka import LocalKafka
from fraudline.ops.local.predictor import LocalPredictor
from fraudline.ops.params import RegistryParams
from fraudline.ops.tracking import step_run
from fraudline.stream.dead_letter import DeadLetter
from fraudline.stream.kafka_python import record_of
from fraudline.stream.messages import encode
from fraudline.stream.topics import ensure_topics
from fraudline.stream.transport import Output, open_sender
from fraudline.stream.worker import run_worker
from tests.support.artifacts import tiny_artifact
from tests.support.broker import own_params, read_all
from tests.support.card_numbers import found_in, synthetic, written
from tests.support.figures import Figure, sized
from tests.support.stop import StopAfter
from tests.unit.stream.fakes import GOOD

pytestmark = pytest.mark.integration


def event(number: str, how: int) -> Output:
    """A record that holds the number: as the card, in a field of the wrong type, in broken JSON, in key and headers."""
    good = json.loads(encode(GOOD))
    text = written(number, how)
    kinds = (
        good | {"card_id": text},
        good | {"amount_minor": text},
        good | {"channel": text, "note": f"card {text}"},
        good | {"card_id": number, text: "as a name"},
        good | {"currency": f"x{text}"},
    )
    value = json.dumps(kinds[how % 7]).encode() if how % 7 < 5 else f'{{"card": "{text}", '.encode()
    headers = (("card", text.encode()),) if how % 7 == 6 else ()
    return Output("", text.encode(), value, headers)


def test_synthetic_card_numbers_through_the_whole_way(
    kafka: LocalKafka, tmp_path: Path, figure: Figure, capfd: pytest.CaptureFixture[str]
) -> None:
    """Synthetic card numbers in every part of an event, through a real broker, worker, endpoint and MLflow; then every
    topic that the worker wrote, all that both processes logged, the answers and the tracker's files are searched."""
    numbers = synthetic(sized(1_500, 10_000, 10_000))
    configure(level="debug")
    params = own_params(tmp_path, kafka.bootstrap)
    ensure_topics(params)
    sender = open_sender("kafka-python", kafka.bootstrap)
    for i, number in enumerate(numbers):
        sender.send(event(number, i)._replace(topic=params.topics.transactions))
    sender.close()
    stop = StopAfter(len(numbers))
    model = tiny_artifact(tmp_path / "model")
    assert run_worker(params, model_dir=model, stop=stop.event, on_batch=stop) == len(numbers)
    letters = read_all(kafka.bootstrap, params.topics.dead_letters)
    assert len(letters) == len(numbers)
    assert all(DeadLetter.parse(record_of(letter)).masked for letter in letters)
    topics = (params.topics.dead_letters, params.topics.decisions, params.topics.alerts)
    written_out = b"\n".join(
        b"|".join(
            [record.key or b"", record.value or b"", *(name.encode() + b"=" + text for name, text in record.headers)]
        )
        for topic in topics
        for record in read_all(kafka.bootstrap, topic)
    )
    refused, logged = endpoint(model, numbers, tmp_path)
    tracked = tracker(numbers, tmp_path)
    shown = "".join(capfd.readouterr()).encode()
    for what, content in {"topics": written_out, "answers": refused, "logs": logged + shown, "MLflow": tracked}.items():
        assert content, what
        assert found_in(content, numbers) == [], what
    figure(
        f"{len(numbers):,} synthetic card numbers through broker, worker, endpoint and MLflow: 0 found in "
        f"{len(written_out) / 1e6:.1f} MB of topics, {(len(logged) + len(shown)) / 1e3:.0f} kB of logs, the refusals "
        f"and the tracker's files",
        numbers=len(numbers),
    )


def endpoint(model: Path, numbers: list[str], folder: Path) -> tuple[bytes, bytes]:
    """What the server answers to requests with card numbers in wrong places, and what it logs."""
    log, answers = folder / "server.log", []
    with LocalPredictor(model, log_path=log) as predictor, httpx.Client(base_url=predictor.url) as client:
        for i, number in enumerate(numbers[:: max(1, len(numbers) // 400)]):
            text = written(number, i)
            row = ({text: 1}, [text], {"transaction_id": [text]}, text)[i % 4]
            answer = client.post("/v1/models/fraud:predict", json={"instances": [row]})
            assert answer.status_code == 400
            path = f"/v2/models/{number}/infer" if i % 2 else "/v2/models/fraud/infer"
            body = {"inputs": [{"name": text, "shape": [1, 1], "datatype": text, "data": [text]}]}
            answers += [answer.content, client.post(path, json=body).content]
    return b"\n".join(answers), log.read_bytes()


def tracker(numbers: list[str], folder: Path) -> bytes:
    """What MLflow keeps of a run whose parameters and tags hold card numbers."""
    settings = RegistryParams(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    with step_run("cards", settings) as run:
        run.params({f"p{i}": written(number, i) for i, number in enumerate(numbers[:90])})
        run.tag("note", f"the card {numbers[0]}")
    return (folder / "mlflow.db").read_bytes()
