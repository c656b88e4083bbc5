"""A checkpoint saves time and decides nothing: whatever becomes of it, the output is right."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from fraudline.features.spec import load_spec
from fraudline.ops.local.kafka import LocalKafka
from fraudline.ops.local.process import free_port
from fraudline.stream.topics import ensure_topics
from tests.support.artifacts import tiny_artifact
from tests.support.broker import own_params
from tests.support.figures import Figure, sized
from tests.support.workers import WorkerProcess, books_of, send_table, wait_until_committed

pytestmark = pytest.mark.reliability

RECORDS = sized(3_000, 3_000, 20_000)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", sized([flip_a_bit], [cut, flip_a_bit], [cut, flip_a_bit]))
def test_a_damaged_checkpoint_is_refused_and_the_state_is_built_again(
    kafka: LocalKafka,
    transactions: Callable[[int], pa.Table],
    tmp_path: Path,
    figure: Figure,
    damage: Callable[[Path], None],
) -> None:
    """Every checkpoint is damaged between two runs of the worker."""
    table = transactions(RECORDS)
    params = own_params(tmp_path, kafka.bootstrap, partitions=2)
    ensure_topics(params)
    model = tiny_artifact(tmp_path / "model")
    for part in (table.slice(0, RECORDS // 2), table.slice(RECORDS // 2)):
        send_table(params, part)
        with WorkerProcess(tmp_path, params, model) as worker:
            wait_until_committed(params, worker)
            assert worker.stop() == 0
        checkpoints = list(Path(params.checkpoint_dir).rglob("*.checkpoint"))
        assert len(checkpoints) == 2
        for path in checkpoints:
            damage(path)
    books = books_of(params, table)
    refused = worker.log.count("checkpoint.refused")
    figure(
        f"{refused} damaged checkpoints refused, {RECORDS:,} records: {books.lost} lost, {books.doubled} doubled, "
        f"features equal: {books.same_features}",
        lost=books.lost,
        doubled=books.doubled,
    )
    assert (books.lost, books.doubled, books.same_features) == (0, 0, True)
    assert refused == 2
    assert "is damaged or no checkpoint" in worker.log


def test_a_checkpoint_of_another_feature_specification_is_refused_and_the_state_is_built_again(
    kafka: LocalKafka, transactions: Callable[[int], pa.Table], tmp_path: Path, figure: Figure
) -> None:
    """The worker is started again with a model of another feature specification."""
    table = transactions(RECORDS)
    other = load_spec().without(["weekend"])
    params = own_params(tmp_path, kafka.bootstrap, partitions=2)
    ensure_topics(params)
    half = table.slice(0, RECORDS // 2)
    send_table(params, half)
    with WorkerProcess(tmp_path, params, tiny_artifact(tmp_path / "model")) as worker:
        wait_until_committed(params, worker)
        assert worker.stop() == 0
    send_table(params, table.slice(RECORDS // 2))
    with WorkerProcess(tmp_path, params, tiny_artifact(tmp_path / "other", spec=other)) as worker:
        wait_until_committed(params, worker)
        assert worker.stop() == 0
    books = books_of(params, table, load_spec(), other)
    late = table.slice(RECORDS // 2)["transaction_id"].to_pylist()
    figure(
        f"a model of another feature specification after {RECORDS // 2:,} of {RECORDS:,} records: {books.lost} lost, "
        f"{books.doubled} doubled, features equal to the batch by the specification of each: {books.same_features}",
        lost=books.lost,
        doubled=books.doubled,
    )
    assert (books.lost, books.doubled, books.same_features) == (0, 0, True)
    assert {books.decisions[i].spec_version for i in late} == {other.version}
    assert worker.log.count("checkpoint.refused") == 2
    assert "layout and specification" in worker.log


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="needs prlimit of util-linux")
def test_a_disk_that_is_full_at_a_checkpoint_stops_nothing(
    kafka: LocalKafka, transactions: Callable[[int], pa.Table], tmp_path: Path, figure: Figure
) -> None:
    """No file may grow beyond half a checkpoint: the next fails in mid-write, the earlier stays, the stream goes on."""
    table = transactions(RECORDS)
    params = own_params(tmp_path, kafka.bootstrap, partitions=2, checkpoint_s=0.5, metrics_port=free_port())
    ensure_topics(params)
    model = tiny_artifact(tmp_path / "model")
    kept: list[dict[str, bytes]] = []
    for part in range(3):
        most = min(map(len, kept[0].values())) // 2 if part else 0
        full = ("prlimit", f"--fsize={most}")
        begin, end = part * RECORDS // 3, (part + 1) * RECORDS // 3
        send_table(params, table.slice(begin, end - begin))
        with WorkerProcess(tmp_path, params, model, before=full if part == 1 else ()) as worker:
            wait_until_committed(params, worker)
            assert worker.stop() == 0, worker.child.log_tail(30)
        files = [path for path in Path(params.checkpoint_dir).rglob("*") if path.is_file()]
        kept.append({path.name: path.read_bytes() for path in files})
    failed = worker.log.count("checkpoint.not_written")
    assert failed > 0
    assert len(kept[0]) == 2
    assert kept[1] == kept[0], "the earlier ones stay, and nothing is half-written"
    assert worker.log.count("checkpoint.refused") == 0
    books = books_of(params, table)
    figure(
        f"{failed} checkpoints failed for want of space, {RECORDS:,} records: {books.lost} lost, {books.doubled} "
        f"doubled, features equal: {books.same_features}",
        lost=books.lost,
        doubled=books.doubled,
    )
    assert (books.lost, books.doubled, books.same_features) == (0, 0, True)
