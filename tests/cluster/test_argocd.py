"""Argo CD's word on a rollout, from what KServe's own controller says of it on a real API server."""

import json
from collections.abc import Sequence
from typing import Any

from tests.cluster.control_plane import ControlPlane, eventually
from tests.cluster.test_overlays import PREDICTOR, apply, canary, service_of
from tests.support.argocd import health

STABLE, CANARY = PREDICTOR["standard"], "fraud-next-predictor"


def conditions(generation: int, *names: str) -> list[dict[str, Any]]:
    now = "2026-01-01T00:00:00Z"
    about = {"status": "True", "reason": "Said", "message": "", "lastTransitionTime": now}
    return [{"type": name, **about, "observedGeneration": generation} for name in names]


def say(cluster: ControlPlane, kind: str, name: str, status: dict[str, Any]) -> None:
    """Write a status that a controller which does not run here would write."""
    text = json.dumps({"status": status})
    cluster.kubectl("patch", kind, name, "-n", "fraudline", "--subresource=status", "--type=merge", "-p", text)


def made(cluster: ControlPlane, kind: str, name: str) -> dict[str, Any]:
    """What KServe has made, once it has."""
    found: dict[str, Any] = eventually(lambda: cluster.get(kind, name))
    return found


def pods_run(cluster: ControlPlane, *names: str) -> None:
    for name in names:
        deployment = made(cluster, "deployment", name)
        many, generation = deployment["spec"]["replicas"], deployment["metadata"]["generation"]
        counts = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas", "updatedReplicas"), many)
        found = [{k: v for k, v in c.items() if k != "observedGeneration"} for c in conditions(0, "Available")]
        say(cluster, "deployment", name, {**counts, "observedGeneration": generation, "conditions": found})


def gateway_routes(cluster: ControlPlane, names: Sequence[str]) -> None:
    for name in names:
        route = made(cluster, "httproute", name)
        found = conditions(route["metadata"]["generation"], "Accepted", "ResolvedRefs")
        parents = [
            {"parentRef": parent, "controllerName": "example.com/gateway", "conditions": found}
            for parent in route["spec"]["parentRefs"]
        ]
        say(cluster, "httproute", name, {"parents": parents})


def test_argo_cd_waits_while_a_predictor_starts_and_for_each_canary_and_says_healthy_when_all_serve(
    fresh: ControlPlane,
) -> None:
    def seen(condition: str, status: str) -> str:
        """Argo CD's word, once KServe has said so of a condition."""

        def look() -> dict[str, Any] | None:
            service = fresh.get("inferenceservice", "fraud") or {}
            found = {c["type"]: c["status"] for c in service.get("status", {}).get("conditions", [])}
            return service if found.get(condition) == status else None

        return health(eventually(look))[0]

    apply(fresh, "standard")
    assert seen("PredictorReady", "False") == "Progressing"
    pods_run(fresh, STABLE)
    assert seen("PredictorReady", "True") == "Progressing"  # nothing leads to it yet
    gateway_routes(fresh, ["fraud", STABLE])
    assert seen("Ready", "True") == "Healthy"

    service = service_of("standard")
    service["spec"]["canary"] = [canary("next", 10)]
    fresh.apply([service])
    assert seen("CanaryPredictorReady", "False") == "Progressing"
    pods_run(fresh, STABLE, CANARY)
    gateway_routes(fresh, ["fraud", STABLE])
    assert seen("CanaryPredictorReady", "True") == "Healthy"
