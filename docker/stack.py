"""What compose.yaml needs around it: its folder, its weights, and a test that it works.

python docker/stack.py prepare                       artifacts, state and route table into build/compose
python docker/stack.py weights champion=75 canary=25 another split, without a restart
python docker/stack.py smoke                         readiness, the split, every transaction decided
"""

import argparse
import json
import math
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from dotenv import dotenv_values
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from fraudline.cli.serve import newest_artifact
from fraudline.core.errors import FraudlineError, UnavailableError, UsageError
from fraudline.core.files import atomic_folder
from fraudline.ops.local.weights import UPSTREAM_HEADER, read_weights, write_weights

SETTINGS = {**dotenv_values(".env"), **os.environ}
"""Where Compose reads the same variables."""
FOLDER = Path(SETTINGS.get("FRAUDLINE_STACK") or "build/compose")
ENDPOINT = f"http://127.0.0.1:{SETTINGS.get('FRAUDLINE_ENDPOINT_PORT') or '8080'}"
ADMIN = f"http://127.0.0.1:{SETTINGS.get('FRAUDLINE_ENVOY_ADMIN_PORT') or '9901'}"
BOOTSTRAP = f"127.0.0.1:{SETTINGS.get('FRAUDLINE_KAFKA_PORT') or '9092'}"
TRANSACTIONS = int(SETTINGS.get("FRAUDLINE_TRANSACTIONS") or "1000")
START = {"champion": 90, "canary": 10}
READY_S, DECIDED_S, APPLIED_S = 180.0, 180.0, 180.0
REQUESTS = 200
DEVIATIONS = 4.0
"""Standard deviations that a split may be off: a false alarm once in 16,000 runs."""


def main() -> int:
    """Run one of the three; the exit code is that of the error."""
    options = _parser().parse_args()
    try:
        options.run(options)
    except FraudlineError as error:
        sys.stderr.write(f"error: {error.problem}\n  -> {error.action}\n")
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    prepare_ = commands.add_parser("prepare")
    prepare_.add_argument("--champion", type=Path, help="artifact; default: what the last dvc repro packaged")
    prepare_.add_argument("--canary", type=Path, help="artifact; default: the demo's challenger, or the champion")
    prepare_.add_argument("--profiles", type=Path, default=Path("build/profiles"), help="daily merchant tables")
    prepare_.add_argument("--history", type=Path, default=Path("data"), help="data set of the time before")
    prepare_.set_defaults(run=prepare)
    weights_ = commands.add_parser("weights")
    weights_.add_argument("split", nargs="+", metavar="NAME=WEIGHT")
    weights_.set_defaults(run=weights)
    commands.add_parser("smoke").set_defaults(run=smoke)
    return parser


def prepare(options: argparse.Namespace) -> None:
    """Copy what the containers mount: they run as another user, and an artifact in use must not change."""
    champion = options.champion or newest_artifact()
    challenger = Path("build/demo/challenger")
    canary = options.canary or (challenger if challenger.is_dir() else champion)
    sources = {"champion": champion, "canary": canary, "profiles": options.profiles, "history": options.history}
    for name, source in sources.items():
        if not source.is_dir():
            raise UsageError(f"{source} ({name}) is missing.", "Make it (make repro), or name a folder.")
    for name, source in sources.items():
        with atomic_folder(FOLDER / name) as folder:
            shutil.copytree(source, folder, dirs_exist_ok=True)
    write_weights(FOLDER / "envoy", START)
    _say(f"{FOLDER}: champion {champion.name[:12]}, canary {canary.name[:12]}, split {START}")


def weights(options: argparse.Namespace) -> None:
    """Write another split and wait until Envoy has taken it over."""
    try:
        split = {name: int(weight) for name, _, weight in (part.partition("=") for part in options.split)}
    except ValueError as error:
        raise UsageError(f"{' '.join(options.split)} is no split.", "For example: champion=75 canary=25") from error
    if set(split) != set(START):
        raise UsageError(f"The predictors are {sorted(START)}, not {sorted(split)}.", "Give each a weight.")
    version = write_weights(FOLDER / "envoy", split)
    _wait(lambda: _applied() == version, APPLIED_S, "Envoy did not take the new weights")
    _say(f"split {split}")


def smoke(_: argparse.Namespace) -> None:
    """Ask both predictors through Envoy, and find a decision for every transaction that the producer sent."""
    with httpx.Client(base_url=ENDPOINT, timeout=10) as client:
        _wait(lambda: _answers(client, "/v2/models/fraud/ready"), READY_S, "no predictor is ready behind Envoy")
        split = Counter(_answered_by(client) for _ in range(REQUESTS))
    _hold(split, read_weights(FOLDER / "envoy"))
    _wait(lambda: _decided() >= TRANSACTIONS, DECIDED_S, f"fewer than {TRANSACTIONS} transactions are decided")
    _say(json.dumps({"requests": dict(split), "decisions": _decided()}, sort_keys=True))


def _answered_by(client: httpx.Client) -> str:
    answer = client.get("/v2/models/fraud/ready")
    upstream = answer.headers.get(UPSTREAM_HEADER, "no predictor")
    if answer.status_code != httpx.codes.OK:
        raise UnavailableError(f"{upstream} answers {answer.status_code} behind Envoy.", "See its log: make logs")
    return upstream


def _hold(split: Counter[str], weights: dict[str, int]) -> None:
    """Refuse a split that the weights do not explain."""
    for name, weight in weights.items():
        share = weight / sum(weights.values())
        if abs(split[name] - share * REQUESTS) > DEVIATIONS * math.sqrt(REQUESTS * share * (1 - share)):
            raise UnavailableError(
                f"{name} answered {split[name]} of {REQUESTS} requests, but its weight is {share:.0%}.",
                "Write the weights again (python docker/stack.py weights), and see Envoy's log: make logs",
            )


def _answers(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _applied() -> str:
    try:
        dump: dict[str, Any] = httpx.get(f"{ADMIN}/config_dump?resource=dynamic_route_configs").json()
    except httpx.TransportError:
        return ""
    return str(dump["configs"][0].get("version_info", "")) if dump.get("configs") else ""


def _decided() -> int:
    """Records of the topic ``decisions`` that a read_committed reader may see; control records are not counted."""
    try:
        reader = KafkaConsumer(
            bootstrap_servers=BOOTSTRAP,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
    except KafkaError:
        return 0
    try:
        places = [
            TopicPartition("decisions", number) for number in sorted(reader.partitions_for_topic("decisions") or ())
        ]
        reader.assign(places)
        ends = reader.end_offsets(places) if places else {}
        found, deadline = 0, time.monotonic() + 15
        while any(reader.position(place) < ends[place] for place in places) and time.monotonic() < deadline:
            found += sum(map(len, reader.poll(timeout_ms=200, max_records=5_000).values()))
        return found
    finally:
        reader.close()


def _wait(done: Callable[[], bool], seconds: float, problem: str) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise UnavailableError(f"After {seconds:g} s {problem}.", "See the containers' logs: make logs")
        time.sleep(0.5)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
