"""A split of requests between predictors, as the route table that Envoy watches.

    write_weights(Path("build/compose/envoy"), {"champion": 90, "canary": 10})

Envoy takes a new table over while requests are in flight; the file is replaced in one step, which is what it watches
for.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fraudline.core.digest import sha256_bytes
from fraudline.core.errors import UsageError
from fraudline.core.files import read_json, write_json

UPSTREAM_HEADER = "x-fraudline-upstream"
"""Response header with the name of the upstream that answered."""

ROUTES = "weights"
"""Name of the route table."""


def write_weights(folder: Path, weights: Mapping[str, int]) -> str:
    """Write ``routes.json`` for an Envoy that watches ``folder``.

    Args:
        folder: made when missing.
        weights: cluster name to weight, a whole number; 0 sends nothing to it.

    Returns:
        The version that Envoy reports once it has taken the table over: it follows from the weights.

    Raises:
        UsageError: the weights are no split.
    """
    split = checked_weights(weights, list(weights))
    version = sha256_bytes(repr(sorted(split.items())).encode())[:12]
    write_json(folder / "routes.json", weighted_routes(version, split))
    return version


def read_weights(folder: Path) -> dict[str, int]:
    """The weights that :func:`write_weights` wrote last.

    Raises:
        UsageError: there is no such table.
    """
    try:
        (table,) = read_json(folder / "routes.json")["resources"]
    except FileNotFoundError as error:
        raise UsageError(f"{folder} has no route table.", "Write the weights first.") from error
    clusters = table["virtual_hosts"][0]["routes"][0]["route"]["weighted_clusters"]["clusters"]
    return {cluster["name"]: cluster["weight"] for cluster in clusters}


def checked_weights(weights: Mapping[str, int], names: Sequence[str]) -> dict[str, int]:
    """The weights, when they are a split between ``names``.

    Raises:
        UsageError: an upstream is missing or unknown, or the weights are no split.
    """
    if set(weights) != set(names):
        raise UsageError(
            f"Weights are for {sorted(weights)}, the upstreams are {sorted(names)}.", "Give each a weight."
        )
    if any(isinstance(w, bool) or not isinstance(w, int) or w < 0 for w in weights.values()) or not sum(
        weights.values()
    ):
        raise UsageError(f"The weights {dict(weights)} are no split.", "Give whole numbers of 0 or more, not all 0.")
    return dict(weights)


def weighted_routes(version: str, weights: Mapping[str, int]) -> dict[str, Any]:
    """Envoy's route table (a discovery response) that splits every request between clusters.

    Args:
        version: what Envoy reports as applied.
        weights: cluster name to weight.
    """
    clusters = [
        {
            "name": name,
            "weight": weight,
            "response_headers_to_add": [
                {"header": {"key": UPSTREAM_HEADER, "value": name}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            ],
        }
        for name, weight in weights.items()
    ]
    # scoring has no side effect, so a connection that the predictor closed while idle is tried again
    retry = {"retry_on": "reset-before-request,connect-failure", "num_retries": 2}
    route = {"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": clusters}, "retry_policy": retry}}
    return {
        "version_info": version,
        "resources": [
            {
                "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
                "name": ROUTES,
                "virtual_hosts": [{"name": "predictors", "domains": ["*"], "routes": [route]}],
            }
        ],
    }
