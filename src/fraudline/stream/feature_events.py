"""The stage ``features``: rows of features as CloudEvents for somebody else to score, instead of decisions.

State stays with its partition, in the worker; whatever scores the events keeps none. A record is a CloudEvent in the
binary content mode of the Kafka protocol binding (CloudEvents 1.0): headers ``ce_*``, the data as its value. Knative's
KafkaSource passes such an event on as it is, its type included.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat

import msgspec
import numpy as np

from fraudline.model.artifact import Artifact
from fraudline.model.scorer import Scorer
from fraudline.stream.batch import Judged, dead_letters
from fraudline.stream.dead_letter import MOST_BYTES, Headers
from fraudline.stream.params import StreamParams
from fraudline.stream.partition import Advanced
from fraudline.stream.sealing import Sealer
from fraudline.stream.trace import BatchTrace
from fraudline.stream.transport import Output

EVENT_TYPE = "fraudline.features.v1"
"""What a Trigger filters by: the answer to such an event has another type, so it is never scored again."""

ID_FIELD = "transaction_id"
"""The id travels in the data: events lose their key and subject on the way through KServe."""


class FeatureWriter:
    """Makes the records of one transaction: an event for each transaction, and dead letters.

    Args:
        artifact: gives the feature specification.
        params: topics and the group, which the events name as their source.
        sealer: keeps cards out of dead letters.

    Attributes:
        letter_bytes: size of the records that dead letters keep whole.
    """

    def __init__(self, artifact: Artifact, params: StreamParams, sealer: Sealer | None = None) -> None:
        self._sealer = sealer
        self._names = artifact.spec.names
        self._topics = params.topics
        self.letter_bytes = MOST_BYTES
        self._shared = (
            ("ce_specversion", b"1.0"),
            ("ce_type", EVENT_TYPE.encode()),
            ("ce_source", f"/fraudline/{params.group}".encode()),
            ("ce_featurespec", artifact.spec.version.encode()),
            ("content-type", b"application/json"),
        )

    def use(self, scorer: Scorer) -> None:
        """Nothing: another model of the same feature specification gets the same features."""

    def use_profiles(self, version: str) -> None:
        """Nothing: events name the specification only."""

    def judge(self, parts: Sequence[Advanced], trace: BatchTrace | None = None) -> Judged:
        """The events of a batch, in offset order a partition; keyed by card, so their order is kept.

        A traced event has the extension ``traceparent`` (CloudEvents: distributed tracing), and the plain header.
        """
        outputs: list[Output] = []
        for part in parts:
            came: Iterable[Headers] = repeat(()) if trace is None else trace.onward(part.records).headers
            for carried, transaction, row in zip(came, part.transactions, part.features.tolist(), strict=False):
                data = {ID_FIELD: transaction.transaction_id, **dict(zip(self._names, row, strict=True))}
                headers: Headers = (*self._shared, ("ce_id", transaction.transaction_id.encode()))
                headers = (*headers, *carried, *((f"ce_{name}", value) for name, value in carried))
                outputs.append(
                    Output(self._topics.features, transaction.card_id.encode(), msgspec.json.encode(data), headers)
                )
        bad = dead_letters(self._topics.dead_letters, parts, self._sealer, self.letter_bytes)
        return Judged(outputs + bad, (0, 0, len(bad)), None, np.empty(0, np.int64))
