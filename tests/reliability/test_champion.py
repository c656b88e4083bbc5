"""A new champion while the stream runs: no gap, each decision of one model, a broken one refused."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from fraudline.features.spec import load_spec
from fraudline.model.artifact import load_artifact
from fraudline.ops.local.kafka import LocalKafka
from fraudline.ops.local.process import free_port
from fraudline.stream.params import StreamParams
from fraudline.stream.produce import produce
from fraudline.stream.topics import ensure_topics
from tests.support.artifacts import tiny_artifact
from tests.support.broker import own_params
from tests.support.figures import Figure, not_fast, sized
from tests.support.workers import WorkerProcess, books_of, wait_for, wait_until_committed

pytestmark = pytest.mark.reliability

RECORDS = sized(4_000, 4_000, 20_000)
MOST = 5 * RECORDS
RATE = 200


def point(path: Path, model: Path, digest: str = "") -> str:
    """Change the pointer, as a mounted ConfigMap changes: whole, by a rename."""
    digest = digest or load_artifact(model).digest
    beside = path.with_suffix(".new")
    beside.write_text(yaml.safe_dump({"uri": str(model), "digest": digest}))
    beside.replace(path)
    return digest[:12]


def flowing(stack: ExitStack, params: StreamParams, table: pa.Table, rate: float) -> Callable[[], int]:
    """Transactions at a steady rate on a thread; what is given ends it and says how many went out."""
    end = threading.Event()
    pool = stack.enter_context(ThreadPoolExecutor(1))
    stack.callback(end.set)
    sending = pool.submit(
        produce, [table], bootstrap=params.bootstrap, topic=params.topics.transactions, rate=rate, stop=end
    )

    def ended() -> int:
        assert not sending.done(), "the stream ended by itself"
        end.set()
        return sending.result().transactions

    return ended


def test_a_new_champion_takes_over_between_two_batches_and_a_broken_one_does_not(
    kafka: LocalKafka, transactions: Callable[[int], pa.Table], tmp_path: Path, figure: Figure
) -> None:
    """While transactions flow, the pointer names a good model, a broken one, one of another feature specification,
    and a good one again."""
    table = transactions(MOST)
    models = {name: tiny_artifact(tmp_path / name, seed) for seed, name in enumerate(("a", "b", "broken", "c"))}
    other = tiny_artifact(tmp_path / "other", spec=load_spec().without(["weekend"]))
    broken_digest = load_artifact(models["broken"]).digest
    onnx = models["broken"] / "model.onnx"
    onnx.write_bytes(onnx.read_bytes()[:-100])
    pointer = tmp_path / "champion.yaml"
    versions = [point(pointer, models["a"])]
    params = own_params(tmp_path, kafka.bootstrap, champion=str(pointer), metrics_port=free_port(), max_batch=50)
    ensure_topics(params)
    with ExitStack() as stack:
        worker = stack.enter_context(WorkerProcess(tmp_path, params, models["a"]))
        wait_for(lambda: worker.readyz()[0] == 200, "ready")
        ended = flowing(stack, params, table, RATE)
        wait_for(lambda: worker.metric("fraudline_transactions_total") > RECORDS // 10, "a tenth")
        versions.append(point(pointer, models["b"]))
        wait_for(lambda: worker.metric("fraudline_champion_swaps_total") == 1, "the first swap")
        for model, digest in ((models["broken"], broken_digest), (other, "")):
            before = worker.log.count("champion.refused")
            point(pointer, model, digest)
            wait_for(lambda at=before: worker.log.count("champion.refused") > at, "a refusal")
            wait_for(lambda: worker.metric("fraudline_champion_refused") == 1, "the refusal's gauge")
        versions.append(point(pointer, models["c"]))
        wait_for(lambda: worker.metric("fraudline_champion_swaps_total") == 2, "the second swap")
        enough = max(RECORDS, worker.metric("fraudline_transactions_total") + RATE)
        wait_for(lambda: worker.metric("fraudline_transactions_total") >= enough, "decisions of the last one")
        table = table.slice(0, ended())
        wait_until_committed(params, worker)
        assert worker.stop() == 0
    books = books_of(params, table)
    by_partition: dict[int, list[tuple[int, str]]] = {}
    for decision in books.decisions.values():
        by_partition.setdefault(decision.partition, []).append((decision.offset, decision.model_version))
    for rows in by_partition.values():
        order = list(dict.fromkeys(version for _, version in sorted(rows)))
        assert order == versions, "each model follows the one before, and none comes back"
        changes = sum(a[1] != b[1] for a, b in zip(sorted(rows), sorted(rows)[1:], strict=False))
        assert changes == 2
    figure(
        f"two swaps and two refusals at {RATE} transactions a second, {table.num_rows:,} records: {books.lost} lost, "
        f"{books.doubled} doubled, features equal: {books.same_features}; longest time without a decision "
        f"{books.longest_gap_s:.2f} s",
        lost=books.lost,
        doubled=books.doubled,
        gap_s=books.longest_gap_s,
    )
    assert (books.lost, books.doubled, books.same_features) == (0, 0, True)


@not_fast
def test_a_champion_of_another_feature_specification_is_taken_at_a_restart_and_the_state_is_built_for_it(
    kafka: LocalKafka, transactions: Callable[[int], pa.Table], tmp_path: Path, figure: Figure
) -> None:
    """The worker that refused it while running begins with it, and builds its state from the log."""
    records = 2_000
    table = transactions(records)
    other_spec = load_spec().without(["weekend"])
    old, new = tiny_artifact(tmp_path / "old"), tiny_artifact(tmp_path / "new", spec=other_spec)
    pointer = tmp_path / "champion.yaml"
    point(pointer, old)
    params = own_params(tmp_path, kafka.bootstrap, champion=str(pointer), metrics_port=free_port())
    ensure_topics(params)
    topic = params.topics.transactions
    produce([table.slice(0, records // 2)], bootstrap=params.bootstrap, topic=topic)
    worker = WorkerProcess(tmp_path, params, old)
    with worker:
        wait_until_committed(params, worker)
        point(pointer, new)
        wait_for(lambda: "champion.refused" in worker.log, "the refusal")
        assert worker.stop() == 0
    produce([table.slice(records // 2)], bootstrap=params.bootstrap, topic=topic)
    with worker:
        wait_until_committed(params, worker)
        assert worker.stop() == 0
    books = books_of(params, table, load_spec(), other_spec)
    late = table.slice(records // 2)["transaction_id"].to_pylist()
    figure(
        f"a champion of another feature specification, refused while running and taken at the restart: {books.lost} "
        f"lost, {books.doubled} doubled, features equal to the batch by the specification of each: "
        f"{books.same_features}",
        lost=books.lost,
        doubled=books.doubled,
    )
    assert (books.lost, books.doubled, books.same_features) == (0, 0, True)
    assert {books.decisions[i].model_version for i in late} == {load_artifact(new).version}
