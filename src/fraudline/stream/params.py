"""Settings of the worker and names of its topics: the section ``stream`` of ``params.yaml``."""

from typing import Literal

from pydantic import Field

from fraudline.core.sealing import Encryption
from fraudline.core.settings import Settings
from fraudline.core.tracing import TracingParams
from fraudline.model.signature import Trust
from fraudline.stream.tls import Tls


class Topics(Settings):
    """The topics. ``transactions`` is keyed by card, and so are ``decisions``, ``alerts`` and the two of cards.

    Attributes:
        transactions: what is to be decided.
        decisions: one for every transaction: the audit trail.
        alerts: each decision that is not ``allow``.
        dead_letters: records that hold no transaction, as they came.
        blocked_cards: compacted, as many partitions as ``transactions``; what is on it is blocked (``block_hours``).
        card_actions: the trail of what people did to it.
        alert_dead_letters: what a sink of the alert router did not take (`fraudline alerts`).
        labels: what became of transactions (`fraudline labels send`); keyed by transaction.
        features: written instead of ``decisions`` and ``alerts`` in the stage ``features``; keyed by card.
        partitions: of each topic when it is created here, and those that ``--history`` is divided by.
        replication: copies of each topic when it is created here; three on a cluster of brokers.
        record_bytes: the largest record that ``transactions`` takes when it is created here (Kafka's own default); the
            dead letter topic takes what is needed to keep one whole.
        decisions_days: days that ``decisions``, the audit trail, is kept when it is created here.
    """

    transactions: str = "transactions"
    decisions: str = "decisions"
    alerts: str = "alerts"
    dead_letters: str = "transactions.dlq"
    blocked_cards: str = "blocked-cards"
    card_actions: str = "card-actions"
    alert_dead_letters: str = "alerts.dlq"
    features: str = "features"
    labels: str = "labels"
    partitions: int = Field(default=4, ge=1)
    replication: int = Field(default=1, ge=1)
    record_bytes: int = Field(default=1_048_588, ge=1_024, le=15 << 20)
    decisions_days: int = Field(default=400, ge=365)


class StreamParams(Settings):
    """How the worker reads, scores and survives.

    Attributes:
        stage: ``decide``, or ``features`` to write features as CloudEvents for somebody else to score; nothing is then
            scored or decided here, and what says how is not used.
        transport: the Kafka client; ``confluent`` on the mock broker.
        bootstrap: ``host:port`` pairs, comma-separated.
        tls: certificates, where the brokers ask for them.
        tokens_only: make a dead letter of a transaction whose ``card_id`` is a card number; turn it off only where
            tokens have the form of numbers.
        trust: whose signature a model must have to be loaded, and its oldest release.
        group: consumer group; workers of one group share the partitions.
        worker_id: one per running worker, the same after its restart (a StatefulSet's pod name). It fences a second
            worker of the same name and ends a killed predecessor's open transaction at once.
        max_batch: records a transaction at most; fewer when fewer are waiting, so latency follows load.
        max_latency_ms: milliseconds from a record's append to its committed decision that batches are sized for, while
            the worker keeps up.
        poll_s: seconds to wait for the first record of a batch.
        session_timeout_s: how long the group waits for a worker that does not answer.
        transaction_timeout_s: how long the broker waits for an open transaction to end.
        timeout_s: how long the worker waits for an answer of the broker; half of the 30 s that Kubernetes gives a pod
            to end, because a worker that is told to end may be waiting.
        checkpoint_dir: folder of the feature state's checkpoints; empty for none (the log is then replayed whole).
        checkpoint_s: seconds between checkpoints.
        encryption: what encrypts checkpoints.
        dedupe_hours: of event time in which the same transaction id gives one decision; 0 for no such memory.
        dedupe_most: ids that a partition remembers at most, 14 to 28 bytes each; the oldest are forgotten first.
        endpoint: address of a V2 inference service; empty to score in process.
        endpoint_ca: PEM file of the authority that signed its certificate; empty for the system's authorities.
        endpoint_token_file: file whose first line is the bearer token for it, read again when it changes; empty for
            none. Needs an https endpoint: a token never goes over a plain connection.
        endpoint_model: the model's name there.
        endpoint_rows: rows a request; a canary's split is by request.
        endpoint_binary: binary tensors instead of JSON.
        endpoint_timeout_s: seconds a request may take.
        endpoint_attempts: tries of one request before the endpoint counts as down.
        endpoint_down: what happens then: ``hold`` the batch until it answers, or ``fallback`` to the artifact in this
            process; each decision says which made it.
        profiles_poll_s: seconds between two looks for newer merchant tables, where some were given.
        champion: pointer file with the URI and digest of the model to use; a change of it swaps the model.
        reasons: reasons on a decision.
        reasons_on: which decisions have reasons: ``alerts`` (what is not allowed) or ``all``.
        rules: a rule file (`fraudline rules`) beside the model; empty for none.
        mode: ``shadow`` decides without acting: no card is blocked, and each decision and alert says so.
        block_hours: how long a decision ``block`` keeps its card on the topic of blocked cards, hours of event time;
            0 neither keeps nor honours that list.
        card_keys: store of one key a card; decisions, dead letters and the trail of the list then name cards by
            pseudonyms, and a card is erased by destroying its key. Empty: they name cards as they came.
        card_keys_master: file of the master key that wraps them (64 hexadecimal digits).
        thresholds_b_share: of the cards that ``thresholds_b`` decides on.
        tracing: spans of the worker, when an address is set.
        thresholds: a thresholds file (`fraudline threshold`) whose newest line holds, also one that is written while
            the worker runs; until it is there, and when this is empty, the model's own hold.
        thresholds_b: a second one of the same model, for an A/B: it decides on the share ``thresholds_b_share`` of the
            cards, drawn by a hash anew each week; `fraudline threshold ab` says which is worth more.
        review_sample: share of the transactions to be blocked that pass to review instead, drawn by their id, so that
            somebody labels them: a blocked one never gets a chargeback. 0 for none.
        recoveries: failed batches in a row before the worker gives up (exit code 8).
        metrics_host: address that ``/metrics``, ``/readyz`` and ``/livez`` bind to.
        metrics_port: their port; 0 for none of them.
    """

    stage: Literal["decide", "features"] = "decide"
    transport: Literal["kafka-python", "confluent"] = "kafka-python"
    bootstrap: str = "127.0.0.1:9092"
    tls: Tls = Tls()
    trust: Trust = Trust()
    tokens_only: bool = True
    group: str = "fraudline"
    worker_id: str = "worker-0"
    topics: Topics = Topics()
    max_batch: int = Field(default=2_000, ge=1)
    max_latency_ms: float = Field(default=200.0, gt=0)
    poll_s: float = Field(default=0.1, gt=0)
    session_timeout_s: float = Field(default=10.0, ge=1)
    transaction_timeout_s: float = Field(default=30.0, ge=1)
    timeout_s: float = Field(default=15.0, gt=0)
    checkpoint_dir: str = "build/checkpoints"
    checkpoint_s: float = Field(default=30.0, gt=0)
    encryption: Encryption = Encryption()
    dedupe_hours: int = Field(default=24, ge=0, le=168)
    dedupe_most: int = Field(default=4_000_000, ge=1)
    endpoint: str = ""
    endpoint_ca: str = ""
    endpoint_token_file: str = ""
    endpoint_model: str = "fraud"
    endpoint_rows: int = Field(default=128, ge=1)
    endpoint_binary: bool = True
    endpoint_timeout_s: float = Field(default=5.0, gt=0)
    endpoint_attempts: int = Field(default=5, ge=1)
    endpoint_down: Literal["hold", "fallback"] = "hold"
    profiles_poll_s: float = Field(default=30.0, gt=0)
    champion: str = ""
    reasons: int = Field(default=3, ge=0)
    reasons_on: Literal["alerts", "all"] = "alerts"
    thresholds: str = ""
    rules: str = ""
    mode: Literal["live", "shadow"] = "live"
    block_hours: float = Field(default=0.0, ge=0, le=87_600)
    card_keys: str = ""
    card_keys_master: str = ""
    tracing: TracingParams = TracingParams()
    thresholds_b: str = ""
    thresholds_b_share: float = Field(default=0.5, gt=0, lt=1)
    review_sample: float = Field(default=0.0, ge=0, le=0.5)
    recoveries: int = Field(default=8, ge=0)
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=0, ge=0, le=65535)
