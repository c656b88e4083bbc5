"""What a worker is put together from: its model, merchant tables, engines, checkpoints and connection."""

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from fraudline.core.errors import UsageError
from fraudline.core.lineage import Thing, kafka_topic, model_thing
from fraudline.core.sealing import key_wrapper
from fraudline.decide.rules import RuleSet
from fraudline.features.columns import columns_from_messages
from fraudline.features.engine import FeatureEngine
from fraudline.features.profiles import ProfileTable
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.stream.batch import Judge
from fraudline.stream.blocked import BlockedCards, KafkaCardLog
from fraudline.stream.champion import ChampionWatch, first_champion
from fraudline.stream.checkpoint import CheckpointStore
from fraudline.stream.dedupe import SeenIds, hash_ids
from fraudline.stream.feature_events import FeatureWriter
from fraudline.stream.health import Readiness
from fraudline.stream.history import History
from fraudline.stream.merchant_tables import MerchantTables
from fraudline.stream.messages import Transaction
from fraudline.stream.numbers import rows_as_json
from fraudline.stream.params import StreamParams
from fraudline.stream.partitioning import partition_of
from fraudline.stream.scoring import open_scoring
from fraudline.stream.sealing import Sealer
from fraudline.stream.settling import Settling
from fraudline.stream.transport import Connection


def open_artifact(params: StreamParams, model_dir: Path | None, expected_digest: str | None) -> Artifact:
    """The verified model to begin with: the pointer's, or the one at ``model_dir``.

    Raises:
        ArtifactError: it is not what it says.
        UsageError: there is none.
    """
    if params.champion:
        return first_champion(Path(params.champion), model_dir, params.trust)
    if model_dir is None:
        raise UsageError("There is no model to score with.", "Name an artifact or a pointer file.")
    return load_artifact(model_dir, expected_digest, params.trust)


def open_champions(params: StreamParams, artifact: Artifact, stack: ExitStack) -> ChampionWatch | None:
    """The watch of the pointer file, where there is one; closed with ``stack``."""
    if not params.champion:
        return None
    return stack.enter_context(closing(ChampionWatch(Path(params.champion), artifact, trust=params.trust)))


def check_partitions(params: StreamParams, found: int) -> None:
    """Refuse a history that is divided otherwise than the topic: cards would begin without their past.

    Raises:
        UsageError: the topic has another number of partitions than the settings say.
    """
    if found != params.topics.partitions:
        raise UsageError(
            f"{params.topics.transactions} has {found} partitions, the settings say {params.topics.partitions}.",
            "Set stream.topics.partitions to what the topic has.",
        )


def warm(artifact: Artifact, profiles: ProfileTable | None) -> None:
    """Compile the kernels before the first record waits for them."""
    FeatureEngine(artifact.card_spec, profiles).advance(columns_from_messages([]))
    seen = SeenIds()
    seen.first(hash_ids([""]), np.zeros(1, np.int64))
    seen.restore(seen.snapshot())
    rows_as_json(np.zeros((1, 1), np.float32))
    partition_of(b"", 1)


def engine_maker(
    artifact: Artifact, profiles: ProfileTable | None, history_dir: Path | None, params: StreamParams
) -> Callable[[int, Sequence[Transaction] | None], FeatureEngine]:
    """Makes the engine that a partition's state begins with before its first transactions."""
    if history_dir is None:
        return lambda *_: FeatureEngine(artifact.card_spec, profiles)
    history = History(history_dir, artifact.card_spec, profiles, params.topics.partitions)
    store = open_store(params)
    if store is None or not all(store.path(partition).exists() for partition in range(params.topics.partitions)):
        history.take()
    return history.engine


def open_tables(
    params: StreamParams, artifact: Artifact, profiles_dir: Path | None, stack: ExitStack
) -> MerchantTables | None:
    """The merchant tables and the watch of what is published, where they are used; closed with ``stack``.

    Raises:
        DataError: there are none at ``profiles_dir``.
    """
    if profiles_dir is None:
        return None
    return stack.enter_context(
        closing(MerchantTables(profiles_dir, artifact.card_spec, interval_s=params.profiles_poll_s))
    )


def open_judge(
    params: StreamParams,
    artifact: Artifact,
    profiles: ProfileTable | None,
    sealer: Sealer | None,
    readiness: Readiness,
    stop: threading.Event,
    stack: ExitStack,
) -> tuple[Judge | FeatureWriter, BlockedCards | None]:
    """What turns features into records, and the list of blocked cards where it keeps one; closed with ``stack``.

    Args:
        params: the stage, the endpoint, the rules and how long cards are blocked.
        artifact: the model, or in endpoint mode its specification.
        profiles: the merchant tables in use, whose version decisions name.
        sealer: seals card numbers in what is written.
        readiness: told while the endpoint is waited for.
        stop: ends every wait.
        stack: closes what was opened.

    Raises:
        UnavailableError: broker or endpoint does not answer.
        UsageError: the rules are not valid.
    """
    if params.stage == "features":
        return FeatureWriter(artifact, params, sealer), None
    scoring = stack.enter_context(closing(open_scoring(params, artifact, readiness=readiness, stop=stop)))
    rules = RuleSet.load(Path(params.rules), artifact.card_spec) if params.rules else None
    cards = stack.enter_context(closing(BlockedCards(KafkaCardLog(params)))) if params.block_hours else None
    settling = Settling(params, artifact.card_spec, rules, cards)
    return Judge(artifact, scoring, params, profiles.version if profiles is not None else "", settling, sealer), cards


def reads(params: StreamParams, artifact: Artifact) -> list[Thing]:
    """What a worker reads, for the lineage."""
    return [model_thing(artifact.path, artifact.digest), kafka_topic(params.bootstrap, params.topics.transactions)]


def open_store(params: StreamParams) -> CheckpointStore | None:
    """Where checkpoints are kept; None for nowhere."""
    if not params.checkpoint_dir:
        return None
    keys = key_wrapper(params.encryption)
    return CheckpointStore(Path(params.checkpoint_dir), group=params.group, topic=params.topics.transactions, keys=keys)


def connection(params: StreamParams) -> Connection:
    """Where the worker connects to, and the topics that it reads and writes."""
    topics = params.topics
    written: tuple[str, ...] = (topics.features,) if params.stage == "features" else (topics.decisions, topics.alerts)
    if params.block_hours and params.stage == "decide":
        written += (topics.blocked_cards,)
    return Connection(
        bootstrap=params.bootstrap,
        extra=params.tls.client(params.transport),
        tls=params.tls,
        topic=params.topics.transactions,
        group=params.group,
        worker_id=params.worker_id,
        session_timeout_s=params.session_timeout_s,
        transaction_timeout_s=params.transaction_timeout_s,
        timeout_s=params.timeout_s,
        outputs=(*written, topics.dead_letters),
    )
