import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from fraudline.data.store import read_transactions
from tests.support.artifacts import tiny_artifact
from tests.support.broker import own_params, read_all
from tests.support.datasets import small_dataset
from tests.support.until import until

pytestmark = pytest.mark.integration
COMMAND = [sys.executable, "-m", "fraudline.cli.main"]


def test_a_user_streams_a_data_set_with_two_commands_and_stops_the_worker_in_order(tmp_path, kafka):
    dataset = small_dataset(tmp_path)
    model = tiny_artifact(tmp_path / "model")
    stream = own_params(tmp_path, kafka.bootstrap)
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump({"stream": stream.model_dump(mode="json")}))
    shared = ["--params", str(params), "--bootstrap", kafka.bootstrap]
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [*COMMAND, "stream", *shared, "--model", str(model), "--create-topics"], stdout=output, stderr=output
        )
    try:
        until(lambda: "worker.started" in log.read_text() or worker.poll() is not None, "the worker's start")
        assert worker.poll() is None, log.read_text()[-2000:]
        produce = [*COMMAND, "produce", str(dataset), *shared, "--limit", "500", "--json"]
        said = subprocess.run(produce, capture_output=True, text=True, check=True, env=dict(os.environ))
        assert json.loads(said.stdout)["transactions"] == 500
        expected = set(read_transactions(dataset).slice(0, 500)["transaction_id"].to_pylist())
        found = []
        while len(found) < 500 and worker.poll() is None:
            found = [json.loads(r.value)["transaction_id"] for r in read_all(kafka.bootstrap, stream.topics.decisions)]
            time.sleep(0.2)
        assert sorted(found) == sorted(expected)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(300) == 0
    finally:
        worker.kill()
        worker.wait()
    assert "worker.stopped" in log.read_text()
