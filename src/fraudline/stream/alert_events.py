"""Alerts on their way out as CloudEvents 1.0: one alert, or a group of them, with a sentence for people.

event = event_of(group, source="/fraudline/fraudline")
event["type"], event["data"]["summary"]
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from fraudline.core.clock import from_us
from fraudline.core.tracing import HEADER
from fraudline.core.words import counted
from fraudline.data.money import money
from fraudline.decide.routing import Group
from fraudline.stream.messages import Alert

ALERT_TYPE = "fraudline.alert.v1"
GROUP_TYPE = "fraudline.alert-group.v1"
CONTENT_TYPE = "application/cloudevents+json; charset=UTF-8"
_REASONS = 3


def event_of(group: Group, source: str) -> dict[str, Any]:
    """The event of a group; a group of one is the alert itself.

    It carries the group's trace context as the extension ``traceparent`` (CloudEvents' Distributed Tracing).

    Args:
        group: what is sent.
        source: of the event, a URI reference.
    """
    alone = group.count == 1
    data = _alert(group.first) if alone else _group(group)
    return {
        "specversion": "1.0",
        "id": group.id,
        "source": source,
        "type": ALERT_TYPE if alone else GROUP_TYPE,
        "subject": group.first.transaction_id if alone else "/".join(group.key.values()) or group.route,
        "time": from_us(group.last.decided_at).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "route": group.route,
        **({HEADER: group.traceparent} if group.traceparent else {}),
        "data": {"summary": _summary(group), **data},
    }


def trace_headers(event: Mapping[str, Any]) -> dict[str, str]:
    """The headers that carry on the trace of an event: of a request, or of a record."""
    return {HEADER: event[HEADER]} if HEADER in event else {}


def _alert(alert: Alert) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(alert)
    return found


def _group(group: Group) -> dict[str, Any]:
    return {
        "group": group.key,
        "count": group.count,
        "cards": len(group.cards),
        "decisions": dict(group.decisions),
        "amounts_minor": dict(group.amounts),
        "first_decided_at": group.first.decided_at,
        "last_decided_at": group.last.decided_at,
        "transaction_ids": group.members,
        "examples": [_alert(alert) for alert in group.examples],
    }


def _summary(group: Group) -> str:
    """What happened, in a sentence."""
    worst = group.examples[0]
    reasons = "; ".join(reason.text for reason in worst.reasons[:_REASONS])
    because = f": {reasons}" if reasons else ""
    shadow = " (shadow: nothing was done)" if worst.mode == "shadow" else ""
    if group.count == 1:
        at = f"{money(worst.amount_minor, worst.currency)} at {worst.merchant_id}"
        said = f"{worst.decision}{shadow}, score {worst.score:.3g} against {worst.threshold:.3g}, {at}"
        return f"{said}{because}"
    decisions = ", ".join(f"{number:,} {decision}" for decision, number in sorted(group.decisions.items()))
    seconds = (group.last.decided_at - group.first.decided_at) / 1e6
    where = ", ".join(f"{name.removesuffix('_id')} {value}" for name, value in group.key.items()) or group.route
    cards = counted(len(group.cards), "cards")
    said = f"{group.count:,} alerts{shadow} within {seconds:,.0f} s ({where}): {decisions}, {cards}"
    return f"{said}. The worst scores {worst.score:.3g}{because}"
