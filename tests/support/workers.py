"""Workers as processes, and the books of a stream: what went in, what came out, and whether it is right."""

import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import msgspec
import numpy as np
import pyarrow as pa
import yaml

from fraudline.core.errors import MessageError
from fraudline.features.columns import columns_from_messages, columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.spec import FeatureSpec, load_spec
from fraudline.ops.local.process import ChildProcess
from fraudline.stream.checkpoint import CheckpointStore
from fraudline.stream.decoding import Decoder
from fraudline.stream.messages import Decision
from fraudline.stream.params import StreamParams
from fraudline.stream.produce import messages_of, output_of
from fraudline.stream.transport import Output, open_sender
from tests.support.broker import committed_everything, read_all
from tests.support.until import until

_EVENT = re.compile(r"(\d{4}-\d\d-\d\d[T ]\S+) \[\w+ *\] (\S+)(.*)")


class WorkerProcess:
    """A worker as a child process that can be started again after any end.

    Args:
        folder: for its settings and its log.
        params: its settings.
        model: the artifact.
        command: the module to run, and what stands before it.
    """

    def __init__(
        self, folder: Path, params: StreamParams, model: Path, *, module: str = "fraudline.stream", before: tuple = ()
    ) -> None:
        self.params = params
        settings = folder / f"{params.worker_id}.yaml"
        settings.write_text(yaml.safe_dump(params.model_dump(mode="json")))
        command = [*before, sys.executable, "-m", module, settings, model]
        self.child = ChildProcess(
            params.worker_id, command, log_path=folder / f"{params.worker_id}.log", stop_timeout=40
        )

    @property
    def log(self) -> str:
        return self.child.log_path.read_text(errors="replace") if self.child.log_path.exists() else ""

    def start(self, timeout: float = 300.0) -> "WorkerProcess":
        before = self.log.count("worker.started")
        self.child.start().wait_ready(lambda: self.log.count("worker.started") > before, timeout=timeout)
        return self

    def stop(self) -> int | None:
        return self.child.stop()

    def __enter__(self) -> "WorkerProcess":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.child.kill()

    def readyz(self) -> tuple[int, str]:
        """Status and body; 0 where nobody answers."""
        return http(f"http://127.0.0.1:{self.params.metrics_port}/readyz")

    def metric(self, name: str) -> float:
        """A sample of ``/metrics``; -1 where there is none."""
        return sample(self.params, name)

    def resident_mb(self) -> float:
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def http(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=5) as answer:  # noqa: S310 - loopback
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def sample(params: StreamParams, name: str) -> float:
    """A sample of ``/metrics`` of the worker with these settings; -1 where there is none."""
    body = http(f"http://127.0.0.1:{params.metrics_port}/metrics")[1]
    return next((float(line.split()[-1]) for line in body.splitlines() if line.startswith(name)), -1.0)


def wait_for(check: Callable[[], Any], what: str, *, timeout: float = 300.0, interval: float = 0.2) -> float:
    """Wait until ``check`` is true; gives the seconds it took."""
    begun = time.monotonic()
    until(check, what, timeout=timeout, interval=interval)
    return time.monotonic() - begun


def wait_until_committed(params: StreamParams, *workers: WorkerProcess, timeout: float = 300.0) -> float:
    """Wait until the group has committed all there is; a worker's log is shown when it does not."""
    try:
        return wait_for(lambda: committed_everything(params), "all committed", timeout=timeout, interval=0.5)
    except AssertionError as error:
        tails = "\n".join(worker.child.log_tail(25) for worker in workers)
        raise AssertionError(f"{error}\n{tails}") from None


def send_table(params: StreamParams, table: pa.Table) -> None:
    """All rows, as fast as it goes."""
    send(params, (output_of(params.topics.transactions, message) for message in messages_of(table)))


def send(params: StreamParams, outputs: Iterable[Output]) -> None:
    with closing(open_sender("kafka-python", params.bootstrap)) as sender:
        for output in outputs:
            sender.send(output)


@dataclass(frozen=True)
class Books:
    """What a reader that sees only committed records finds.

    Attributes:
        decisions: by transaction id, the last one where there are several.
        lost: transactions without a decision.
        doubled: decisions more than one a transaction.
        same_features: every decision's features are those of the batch, bit for bit.
        dead: values in the dead letter topic, counted.
        records: the decision records themselves.
    """

    decisions: dict[str, Decision]
    lost: int
    doubled: int
    same_features: bool
    dead: Counter[bytes]
    records: list[Any] = field(repr=False)

    @property
    def longest_gap_s(self) -> float:
        """The longest time without a decision, between the first and the last."""
        return _longest_gap_s(self.records)

    @property
    def longest_partition_gap_s(self) -> float:
        """The longest time without a decision on a partition of ``transactions``."""
        parts: dict[int, list[Any]] = {}
        for record in self.records:
            parts.setdefault(msgspec.json.decode(record.value, type=Decision).partition, []).append(record)
        return max(map(_longest_gap_s, parts.values()))


def _longest_gap_s(records: list[Any]) -> float:
    times = sorted(record.timestamp for record in records)
    return max(b - a for a, b in zip(times, times[1:], strict=False)) / 1000


def books_of(params: StreamParams, table: pa.Table, *specs: FeatureSpec) -> Books:
    """Read the topics and compare them with the batch over ``table``, by the specification that each decision names.

    Args:
        params: the stream.
        table: what went in, in the order of the log.
        specs: the feature specifications that were in use; the packaged one when none is given.
    """
    records = read_all(params.bootstrap, params.topics.decisions)
    decoder = msgspec.json.Decoder(Decision)
    found = {decision.transaction_id: decision for decision in map(decoder.decode, (r.value for r in records))}
    ids = table["transaction_id"].to_pylist()
    lost = len(set(ids) - set(found))
    known = [i for i in ids if i in found]
    seen, same = 0, True
    for spec in specs or (load_spec(),):
        batch = FeatureEngine(spec).advance(columns_from_table(table))
        rows = [at for at, i in enumerate(ids) if i in found and found[i].spec_version == spec.version]
        stream = np.array([found[ids[at]].features for at in rows], np.float32)
        same = same and stream.tobytes() == batch[rows].tobytes()
        seen += len(rows)
    dead = Counter(record.value for record in read_all(params.bootstrap, params.topics.dead_letters))
    return Books(found, lost, len(records) - len(found), same and seen == len(known), dead, records)


def states_equal_batch(params: StreamParams) -> tuple[int, int]:
    """Compare each checkpoint's state with the batch over the good records before its offset, byte for byte.

    Returns:
        Checkpoints that are equal, and checkpoints.
    """
    spec = load_spec()
    decoder = Decoder(spec.currencies)
    log: dict[int, list[Any]] = {}
    for record in read_all(params.bootstrap, params.topics.transactions):
        log.setdefault(record.partition, []).append(record)
    store = CheckpointStore(Path(params.checkpoint_dir), group=params.group, topic=params.topics.transactions)
    equal = count = 0
    for partition, records in log.items():
        checkpoint = store.load(partition)
        if checkpoint is None:
            continue
        good = []
        for record in records:
            if record.offset < checkpoint.next_offset:
                with suppress(MessageError):
                    good.append(decoder.decode(record.value))
        engine = FeatureEngine(spec)
        engine.advance(columns_from_messages(good))
        equal += engine.snapshot() == bytes(checkpoint.state)
        count += 1
    return equal, count


def ownership_moves(workers: Iterable[WorkerProcess]) -> int:
    """How often a partition's state was taken up by another worker than before."""
    events: list[tuple[str, str, str]] = []
    for worker in workers:
        for line in worker.log.splitlines():
            match = _EVENT.match(line)
            if match and match[2] in ("checkpoint.loaded", "state.replayed"):
                partition = re.search(r"partition=(\d+)", match[3])[1]
                events.append((match[1], partition, worker.params.worker_id))
    owner: dict[str, str] = {}
    moves = 0
    for _, partition, name in sorted(events):
        moves += owner.get(partition, name) != name
        owner[partition] = name
    return moves
