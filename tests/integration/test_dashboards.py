"""Each panel is answered with data by a real Prometheus that scraped a worker, a predictor and steps."""

import json
import math
import threading
import time

import numpy as np
import pyarrow as pa
import pytest
from docs.monitoring.dashboards import DASHBOARDS
from docs.monitoring.drawing import draw
from prometheus_client import REGISTRY, start_http_server

from fraudline.features.engine import FeatureEngine
from fraudline.model.artifact import load_artifact
from fraudline.ops.cost import Usage
from fraudline.ops.ended import EndedMetrics
from fraudline.ops.local.process import free_port
from fraudline.serve.metrics import PredictorMetrics
from fraudline.stream.batch import Judge
from fraudline.stream.messages import Transaction, encode
from fraudline.stream.metrics import StreamMetrics
from fraudline.stream.params import StreamParams
from fraudline.stream.scoring import InProcessScoring
from fraudline.stream.transport import Record
from fraudline.stream.worker import Worker
from tests.support.artifacts import tiny_artifact
from tests.support.datasets import small_tables
from tests.support.prometheus import ask, binary, prometheus
from tests.support.until import until
from tests.unit.stream.fakes import FakeTransport

QUERIES = [
    (name, panel["title"], target["expr"])
    for name, board in DASHBOARDS.items()
    for panel in board["panels"]
    for target in panel["targets"]
]
SCRAPES = 6
DRIFT = {
    "verdict": "drift", "window": {"rows": 2_000}, "figures": [{"name": "amount", "psi": 0.4, "drifted": True}],
    "performance": {
        "figures": {"recall": {"value": 0.4, "worse": False}},
        "money": {"EUR": {"stopped": 900, "missed": 100, "held_up": 50, "blocked": 0}},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A Prometheus that has scraped a real worker on transactions, the predictor's metrics and those of steps."""
    binary("prometheus")
    folder = tmp_path_factory.mktemp("dashboards")
    artifact = load_artifact(tiny_artifact(folder / "model", review=0.38, block=0.45))
    ports = {"worker": free_port(), "predictor": free_port(), "steps": free_port()}
    steps = EndedMetrics()
    steps.step("train", Usage(10.0, 8.0, 4.0), price=0.5, currency="EUR")
    steps.drift(DRIFT)
    steps.labels(DRIFT["performance"])
    steps.skew({"differing": 0, "rows": 100, "features": []})
    servers = [start_http_server(ports["predictor"], "127.0.0.1", REGISTRY)[0],
               start_http_server(ports["steps"], "127.0.0.1", steps.registry)[0]]  # fmt: skip
    stop = threading.Event()
    worker = threading.Thread(target=_work, args=(artifact, ports["worker"], stop))
    worker.start()
    jobs = [{"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]} for job, port in ports.items()]
    try:
        with prometheus(folder, {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}) as running:
            until(lambda: ask(running.url, "fraudline_decisions_total > 500"), "500 decisions", interval=0.5)
            scraped = f"count(count_over_time(up[1h]) > {SCRAPES}) == {len(ports)}"
            until(lambda: ask(running.url, scraped), "enough scrapes of each for its rates", interval=0.5)
            yield running.url
    finally:
        stop.set()
        worker.join()
        for server in servers:
            server.shutdown()
            server.server_close()


def _work(artifact, port, stop):
    """A worker on a partition that gets a little at a time."""
    table = small_tables()[0]
    rows = table.set_column(1, "event_time", table["event_time"].cast(pa.int64())).to_pylist()
    records = [Record("transactions", 0, at, 0, None, encode(Transaction(**row))) for at, row in enumerate(rows)]
    transport = FakeTransport({0: records})
    metrics, params = StreamMetrics("fraud"), StreamParams(checkpoint_dir="", max_batch=20)
    predictor = PredictorMetrics("fraud", artifact.version)
    metrics.serve("127.0.0.1", port)
    worker = Worker(
        params=params, artifact=artifact, engines=lambda *_: FeatureEngine(artifact.card_spec), transport=transport,
        judge=Judge(artifact, InProcessScoring(artifact), params, ""), metrics=metrics,
    )  # fmt: skip

    def on_batch(_):
        with predictor.scoring():
            time.sleep(0.05)
        predictor.decided(np.zeros(20, np.int8), np.zeros(20, np.float32), np.zeros((20, 1), np.float32))
        predictor.refused()

    try:
        worker.run(stop, on_batch)
    finally:
        metrics.close()


@pytest.mark.parametrize(("board", "panel", "query"), QUERIES)
def test_a_panels_query_is_answered_with_data(address, board, panel, query):
    samples = ask(address, query)
    assert samples, f"{board}: {panel} stays empty"
    assert any(math.isfinite(float(sample["value"][1])) for sample in samples), f"{board}: {panel} has no number"


def test_a_dashboard_is_plain_json_with_a_panel_in_each_place():
    for board in DASHBOARDS.values():
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
        assert len(set(places)) == len(places)
        assert json.loads(json.dumps(board)) == board


def test_a_dashboard_is_drawn_from_the_answers_with_no_panel_empty(address, tmp_path):
    now = time.time()
    for name, board in DASHBOARDS.items():
        assert draw(board, address, start=now - 60, end=now, to=tmp_path / f"{name}.png") == []
        assert (tmp_path / f"{name}.png").stat().st_size > 20_000
