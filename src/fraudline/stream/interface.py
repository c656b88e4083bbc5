"""The topics as documents for others: JSON Schemas of the messages and an AsyncAPI 3 description, from the code.

schemas()["decision"]        # JSON Schema, draft 2020-12
asyncapi(StreamParams())     # the document of docs/reference/asyncapi.yaml
"""

import inspect
from collections.abc import Mapping
from typing import Any

import msgspec

from fraudline import __version__
from fraudline.stream.alert_events import CONTENT_TYPE
from fraudline.stream.feature_events import EVENT_TYPE, ID_FIELD
from fraudline.stream.messages import Alert, BlockedCard, CardAction, Decision, Label, Transaction
from fraudline.stream.params import StreamParams

MESSAGES: dict[str, type[msgspec.Struct]] = {
    "transaction": Transaction,
    "decision": Decision,
    "alert": Alert,
    "blocked_card": BlockedCard,
    "card_action": CardAction,
    "label": Label,
}
_READ = {"transactions": "The worker reads it.", "labels": "`fraudline data collect` and `labels` read it."}
_WRITERS = {
    "alertDeadLetters": "The alert router writes it.",
    "cardActions": "`fraudline cards` writes it.",
    "features": "The worker writes it in the stage `features`, instead of decisions and alerts.",
}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = "#/components/schemas/{name}"
_HEADERS = {
    "reason": "what is wrong with the record",
    "topic": "where it came from",
    "partition": "its partition there, decimal",
    "offset": "its offset there, decimal",
}
_ALERT_HEADERS = {
    "sink": "name of the sink that did not take it",
    "reason": "what it answered",
    "idempotency-key": "by which a receiver knows a repetition",
}
_EVENT_HEADERS = {
    "ce_specversion": "of CloudEvents, 1.0",
    "ce_type": EVENT_TYPE,
    "ce_source": "/fraudline/ and the worker's group",
    "ce_id": "the transaction's id",
    "ce_featurespec": "version of the feature specification, which names and describes the features",
    "content-type": "application/json",
}


def schemas() -> dict[str, dict[str, Any]]:
    """A JSON Schema by message name, each complete in itself.

    Unknown fields are allowed: fields are only ever added. ``currency`` is narrower than any schema says: the worker
    takes those that the feature specification has a rate for.
    """
    return {name: {"$schema": _DIALECT, **_unindented(msgspec.json.schema(kind))} for name, kind in MESSAGES.items()}


def _unindented(part: Any) -> Any:
    """A part of a document whose descriptions, which are docstrings, do not keep the indentation of their source."""
    if isinstance(part, list):
        return [_unindented(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {
        name: inspect.cleandoc(each) if name == "description" and isinstance(each, str) else _unindented(each)
        for name, each in part.items()
    }


def asyncapi(params: StreamParams) -> dict[str, Any]:
    """The topics, their messages and what the worker does with them, as AsyncAPI 3."""
    components = _unindented(msgspec.json.schema_components(MESSAGES.values(), ref_template=_REFERENCE)[1])
    topics = params.topics
    addresses = {
        "transactions": (topics.transactions, "transaction", "What is to be decided, keyed by card."),
        "decisions": (topics.decisions, "decision", "One decision for every transaction: the audit trail."),
        "alerts": (topics.alerts, "alert", "Each decision that is not allow."),
        "blockedCards": (topics.blocked_cards, "blocked_card", "The list of blocked cards, compacted."),
        "cardActions": (topics.card_actions, "card_action", "What people did to that list: `fraudline cards`."),
        "labels": (
            topics.labels,
            "label",
            "What somebody found out days later, keyed by transaction: `fraudline labels`.",
        ),
        "features": (topics.features, "featureEvent", "A CloudEvent of features for each transaction, keyed by card."),
        "deadLetters": (topics.dead_letters, "deadLetter", "Records that hold no transaction, as they came."),
        "alertDeadLetters": (
            topics.alert_dead_letters,
            "alertDeadLetter",
            "Alerts that a sink did not take: `fraudline alerts dead-letters`.",
        ),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "fraudline's topics",
            "version": __version__,
            "description": "Decisions, alerts and dead letters commit in one Kafka transaction with the offsets of the "
            "transactions they come from: read them with isolation.level=read_committed.",
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(*entry) for name, entry in addresses.items()},
        "operations": {
            name: {
                "action": "receive" if name in _READ else "send",
                "channel": {"$ref": f"#/channels/{name}"},
                "summary": (_READ | _WRITERS).get(name, "The worker writes it."),
            }
            for name in addresses
        },
        "components": {"messages": _messages(), "schemas": components},
    }


def _channel(address: str, message: str, description: str) -> dict[str, Any]:
    return {
        "address": address,
        "description": description,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "bindings": {"kafka": {"topic": address, "bindingVersion": "0.5.0"}},
    }


def _key(message: str) -> dict[str, Any]:
    key = "transaction_id" if message == "label" else "card_id"
    return {"kafka": {"key": {"type": "string", "description": key}, "bindingVersion": "0.5.0"}}


def _messages() -> dict[str, Any]:
    messages: dict[str, Any] = {
        name: {"name": name, "payload": {"$ref": f"#/components/schemas/{kind.__name__}"}, "bindings": _key(name)}
        for name, kind in MESSAGES.items()
    }
    messages["deadLetter"] = {
        "name": "deadLetter",
        "contentType": "application/octet-stream",
        "headers": _headers(_HEADERS),
        "payload": {
            "description": "The record's original bytes; the headers it came with follow those above, after an empty "
            "header `record-headers` where the first is named like one of the worker's. Where card keys are in use, "
            "key, value and headers are encrypted under the card's."
        },
    }
    messages["featureEvent"] = {
        "name": "featureEvent",
        "headers": _headers(_EVENT_HEADERS),
        "payload": {
            "type": "object",
            "description": "The features by name, and the transaction's id.",
            "required": [ID_FIELD],
            "properties": {ID_FIELD: {"type": "string"}},
            "additionalProperties": {"type": "number"},
        },
        "bindings": _key("featureEvent"),
    }
    messages["alertDeadLetter"] = {
        "name": "alertDeadLetter",
        "contentType": CONTENT_TYPE,
        "headers": _headers(_ALERT_HEADERS),
        "payload": {
            "type": "object",
            "description": "The CloudEvent 1.0 that the sink was sent, of one alert or a group.",
        },
    }
    return messages


def _headers(described: Mapping[str, str]) -> dict[str, Any]:
    properties = {name: {"type": "string", "description": text} for name, text in described.items()}
    return {"type": "object", "required": list(described), "properties": properties}
