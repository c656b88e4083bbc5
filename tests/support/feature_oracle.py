"""The card features again, slowly: from plain lists of the past, sharing no code with the kernel."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from fraudline.features.spec import FeatureSpec
from tests.support.transactions import messages_of

_TILE = {"1h": (300, 12), "1d": (3600, 24), "7d": (21_600, 28), "30d": (172_800, 15)}
_EXPONENT = {"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3}


def card_features(table: pa.Table, spec: FeatureSpec, mean: float, cv2: float) -> list[dict[str, float]]:
    """One dictionary a row, by feature name, of all features but the merchant's; rows in their order."""
    histories: dict[str, list[dict[str, Any]]] = {}
    result = []
    for row in messages_of(table):
        past = histories.setdefault(row.card_id, [])
        event = {**vars(row), "amount": _base(row, spec)}
        event["clock"] = max([event["event_time"], *(e["event_time"] for e in past)])
        result.append(_features(event, past, spec, mean, cv2))
        past.append(event)
    return result


def _base(row: Any, spec: FeatureSpec) -> float:
    amount = row.amount_minor / 10 ** _EXPONENT[row.currency] * spec.currencies[row.currency].rate
    return float(min(max(amount, 0.0), spec.parameters.amount_limit))


def _inside(event: dict[str, Any], past: list[dict[str, Any]], window: str) -> list[dict[str, Any]]:
    seconds, tiles = _TILE[window]
    width = seconds * 1_000_000
    return [e for e in past if e["event_time"] // width > event["clock"] // width - tiles]


def _features(event: dict[str, Any], past: list[Any], spec: FeatureSpec, mean: float, cv2: float) -> dict[str, float]:
    p, amount, result = spec.parameters, event["amount"], {"amount": event["amount"]}
    for window in _TILE:
        rows = _inside(event, past, window)
        result[f"card_count_{window}"] = len(rows)
        result[f"card_amount_{window}"] = sum(math.floor(e["amount"] * 100 + 0.5) for e in rows) / 100
    month = (result["card_amount_30d"] + p.amount_prior_weight * mean) / (
        result["card_count_30d"] + p.amount_prior_weight
    )
    week = (result["card_amount_7d"] + p.amount_prior_weight * month) / (
        result["card_count_7d"] + p.amount_prior_weight
    )
    result |= {"amount_minus_card_mean": amount - month, "amount_ratio_card_mean": amount / month}
    result |= {"card_mean_amount_30d": month, "card_mean_ratio_7d_30d": week / month}
    _habit(event, past, p, mean, cv2)
    result["amount_z"] = event["z"]
    result["card_heat_7d"] = sum(max(e["z"] - p.heat_threshold, 0.0) for e in _inside(event, past, "7d"))
    result["small_count_1h"] = sum(e["small"] for e in _inside(event, past, "1h"))
    last = max((e["event_time"] for e in past), default=None)
    gap = p.gap_limit_seconds if last is None else max((event["event_time"] - last) / 1e6, 0.0)
    result["seconds_since_last"] = min(gap, p.gap_limit_seconds)
    result |= _place(event, past, p)
    result |= _newness(event, past)
    result |= _calendar(event, past, p)
    return result


def _habit(event: dict[str, Any], past: list[dict[str, Any]], p: Any, mean: float, cv2: float) -> None:
    learned = [e["learned"] for e in past]
    m = (sum(learned) + p.amount_prior_weight * mean) / (len(learned) + p.amount_prior_weight)
    variance = (sum((x - m) ** 2 for x in learned) + p.variance_prior_weight * cv2 * m * m) / (
        len(learned) + p.variance_prior_weight
    )
    sd = math.sqrt(variance + variance / (len(learned) + p.amount_prior_weight))
    event["z"] = min(max((event["amount"] - m) / sd, -p.z_limit), p.z_limit)
    event["learned"] = min(event["amount"], m + p.habit_clip_sd * sd)
    event["small"] = event["amount"] < p.small_ratio * m


def _haversine(a: tuple[float, float], b: tuple[float, float]) -> float:
    (la, lo), (ma, mo) = ([math.radians(v) for v in place] for place in (a, b))
    h = math.sin((ma - la) / 2) ** 2 + math.cos(la) * math.cos(ma) * math.sin((mo - lo) / 2) ** 2
    return 2 * 6371.0088 * math.asin(math.sqrt(min(h, 1.0)))


def _place(event: dict[str, Any], past: list[dict[str, Any]], p: Any) -> dict[str, float]:
    result = {"distance_from_last": 0.0, "speed_from_last": 0.0, "distance_from_home": 0.0, "no_position": 0.0}
    if event["latitude"] is None:
        return result | {"no_position": 1.0}
    here = (event["latitude"], event["longitude"])
    placed = [e for e in past if e["latitude"] is not None]
    if placed:
        newest = placed[0]
        for e in placed[1:]:
            newest = e if e["event_time"] >= newest["event_time"] else newest
        result["distance_from_last"] = _haversine(here, (newest["latitude"], newest["longitude"]))
        seconds = max(abs(event["event_time"] - newest["event_time"]) / 1e6, p.speed_floor_seconds)
        result["speed_from_last"] = min(result["distance_from_last"] / seconds * 3600, p.speed_limit_kmh)
        home = [0.0, 0.0, 0.0]
        for n, e in enumerate(placed, start=1):
            a, b = math.radians(e["latitude"]), math.radians(e["longitude"])
            point = (math.cos(a) * math.cos(b), math.cos(a) * math.sin(b), math.sin(a))
            home = [h + (v - h) / min(n, p.home_memory) for h, v in zip(home, point, strict=True)]
        x, y, z = home
        centre = (math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x)))
        result["distance_from_home"] = _haversine(here, centre)
    return result


def _newness(event: dict[str, Any], past: list[dict[str, Any]]) -> dict[str, float]:
    result = {}
    for feature, field in (("new_device", "device_id"), ("new_country", "country"), ("new_merchant", "merchant_id")):
        known = {e[field] for e in past if e[field] is not None}
        result[feature] = float(bool(known) and event[field] is not None and event[field] not in known)
    minute = event["clock"] // 60_000_000
    seen = {e["merchant_id"]: e["clock"] // 60_000_000 for e in past}
    result["merchants_1d"] = sum(m > minute - 1440 for m in seen.values())
    same = sum(e["category"] == event["category"] for e in past)
    result["category_rarity"] = -math.log((same + 1) / (len(past) + 2))
    return result


def _calendar(event: dict[str, Any], past: list[dict[str, Any]], p: Any) -> dict[str, float]:
    def angle(e: dict[str, Any]) -> float:
        return 2 * math.pi * (e["event_time"] // 60_000_000 % 1440) / 1440

    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=event["event_time"])
    return {
        "hour_deviation": 1 - sum(math.cos(angle(event) - angle(e)) for e in past) / (len(past) + 2),
        "weekend": float(moment.weekday() >= 5),
        "night": float(moment.hour <= p.night_end_hour),
    }
