"""Every overlay on a real API server with KServe: schemas, webhooks, Pod Security, the objects it makes."""

import json
from typing import Any

import pytest

from tests.cluster.control_plane import ControlPlane, RefusedError, eventually
from tests.cluster.definitions import known
from tests.support.kustomize import MANIFESTS, OVERLAYS, build, overlay

HPA = {"standard": (2, 6), "tensorflow-serving": (2, 6), "local": (1, 1)}
PREDICTOR = {"standard": "fraud-m000000000-predictor"}
POD_MAKERS = ("Deployment", "StatefulSet", "CronJob", "ScaledJob")


def apply(cluster: ControlPlane, name: str, *options: str) -> list[dict[str, Any]]:
    """Apply what the cluster knows of an overlay; the other kinds are left to the offline tests."""
    documents = [document for document in overlay(name) if known(document)]
    cluster.apply(documents, *options)
    return documents


def template(document: dict[str, Any]) -> dict[str, Any]:
    spec = document["spec"]
    if document["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    found: dict[str, Any] = spec.get("jobTargetRef", spec)["template"]
    return found


def admit(cluster: ControlPlane, document: dict[str, Any]) -> dict[str, Any]:
    """The pod that a controller would make of a workload, as admission leaves it; nothing is kept."""
    pod = template(document)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**pod["metadata"], "name": "asked"}, "spec": pod["spec"]}
    pod["metadata"]["namespace"] = "fraudline"
    text = cluster.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", text=json.dumps(pod))
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_server_takes_every_document_and_every_pod_under_the_restricted_profile(
    fresh: ControlPlane, name: str
) -> None:
    documents = apply(fresh, name)
    assert {document["kind"] for document in documents} >= {"InferenceService", "ServingRuntime", "Namespace"}
    for document in documents:
        if document["kind"] in POD_MAKERS:
            admit(fresh, document)


@pytest.mark.parametrize("name", sorted(HPA))
def test_a_predictor_becomes_deployment_service_and_autoscaler_with_our_settings(
    fresh: ControlPlane, name: str
) -> None:
    runtimes = {d["metadata"]["name"]: d for d in apply(fresh, name) if d["kind"] == "ServingRuntime"}
    service = fresh.get("inferenceservice", "fraud")
    assert service is not None
    (ours,) = runtimes[service["spec"]["predictor"]["model"]["runtime"]]["spec"]["containers"]
    predictor = PREDICTOR.get(name, "fraud-predictor")
    deployment = eventually(lambda: fresh.get("deployment", predictor))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    for part in ("image", "command", "resources", "securityContext"):
        assert container[part] == ours[part], part
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe].items() >= {**ours[probe], **container[probe]}.items()
    given = service["spec"]["predictor"]["model"].get("args", [])
    assert container["args"] == [a.replace("{{.Name}}", "fraud") for a in ours["args"]] + given
    scaler = eventually(lambda: fresh.get("hpa", predictor))["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == HPA[name]
    assert scaler["scaleTargetRef"]["name"] == predictor
    assert fresh.get("service", predictor) is not None
    pod = admit(fresh, deployment)
    assert pod["spec"]["automountServiceAccountToken"] is False
    mounts = {mount["mountPath"]: mount for mount in pod["spec"]["containers"][0]["volumeMounts"]}
    assert mounts["/mnt/models"]["readOnly"] is True
    assert (
        f"pvc://fraudline-models/{mounts['/mnt/models']['subPath']}"
        == (service["spec"]["predictor"]["model"]["storageUri"])
    )


def test_a_disruption_budget_selects_the_pods_of_stable_and_canary(fresh: ControlPlane) -> None:
    apply(fresh, "standard")
    budget = fresh.get("pdb", "fraud-predictor")
    deployment = eventually(lambda: fresh.get("deployment", PREDICTOR["standard"]))
    assert budget is not None
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels.items() >= budget["spec"]["selector"]["matchLabels"].items()


def test_a_pod_that_asks_for_more_than_the_restricted_profile_is_refused(fresh: ControlPlane) -> None:
    (worker,) = [d for d in apply(fresh, "standard") if d["kind"] == "StatefulSet"]
    template(worker)["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(RefusedError, match="violates PodSecurity"):
        admit(fresh, worker)


def service_of(name: str) -> dict[str, Any]:
    (found,) = [document for document in overlay(name) if document["kind"] == "InferenceService"]
    return found


def canary(name: str, percent: int) -> dict[str, Any]:
    model = {**service_of("standard")["spec"]["predictor"]["model"]}
    model["storageUri"] = f"pvc://fraudline-models/{'c' * 64}"
    return {"trafficPercent": percent, "predictor": {"name": name, "model": model}}


def test_kserve_takes_a_canary_and_makes_its_deployment_beside_the_stable_one(fresh: ControlPlane) -> None:
    apply(fresh, "standard")
    service = service_of("standard")
    service["spec"]["canary"] = [canary("next", 10)]
    fresh.apply([service])
    deployment = eventually(lambda: fresh.get("deployment", "fraud-next-predictor"))
    pod = deployment["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "fraudline-predictor"
    assert pod["topologySpreadConstraints"]
    assert deployment["spec"]["replicas"] == 1  # of two, ten per cent, rounded up
    assert eventually(lambda: fresh.get("service", "fraud-next-predictor"))
    admit(fresh, deployment)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([("next", 130)], "less than or equal to 100"),
        ([("next", 60), ("other", 60)], "must be <= 100"),
        ([("next", 10), ("next", 20)], "is duplicated"),
        ([("m000000000", 10)], "conflicts with stable predictor name"),
        ([("", 10)], "predictor.name in body should match"),
    ],
)
def test_kserve_refuses_a_broken_split(fresh: ControlPlane, entries: list[tuple[str, int]], said: str) -> None:
    apply(fresh, "standard")
    service = service_of("standard")
    service["spec"]["canary"] = [canary(*entry) for entry in entries]
    with pytest.raises(RefusedError, match=said):
        fresh.apply([service])


def test_kserve_refuses_a_split_beside_a_predictor_without_a_model(fresh: ControlPlane) -> None:
    service = service_of("standard")
    del service["spec"]["predictor"]["model"]
    service["spec"]["predictor"]["containers"] = [{"name": "kserve-container", "image": "fraudline/predictor:0.1.0"}]
    service["spec"]["canary"] = [canary("next", 10)]
    apply(fresh, "standard")
    fresh.kubectl("delete", "inferenceservice", "--all", "-n", "fraudline")
    with pytest.raises(RefusedError, match="canary requires a stable predictor with a model"):
        fresh.apply([service])


def test_kserve_refuses_spec_canary_in_the_mode_knative(fresh: ControlPlane) -> None:
    apply(fresh, "knative")
    service = service_of("knative")
    service["spec"]["canary"] = [canary("next", 10)]
    with pytest.raises(RefusedError, match="only supported in Standard"):
        fresh.apply([service])


def test_knative_splits_between_the_revision_before_and_the_new_one(fresh: ControlPlane) -> None:
    apply(fresh, "knative")
    found = eventually(lambda: fresh.get("services.serving.knative.dev", "fraud-predictor"))
    annotations = found["spec"]["template"]["metadata"]["annotations"]
    assert annotations["autoscaling.knative.dev/min-scale"] == "0"
    assert annotations["autoscaling.knative.dev/max-scale"] == "6"
    assert [entry["percent"] for entry in found["spec"]["traffic"]] == [100]
    say_ready(fresh, "fraud-predictor-00001")

    service = service_of("knative")
    predictor = service["spec"]["predictor"]
    predictor["canaryTrafficPercent"] = 10
    predictor["model"]["storageUri"] = f"pvc://fraudline-models/{'c' * 64}"
    predictor["model"]["args"] = [f"--expected_digest={'c' * 64}"]
    fresh.apply([service])

    def split() -> dict[str, int] | None:
        now = fresh.get("services.serving.knative.dev", "fraud-predictor")
        assert now is not None
        found = {e.get("revisionName", "latest"): e["percent"] for e in now["spec"]["traffic"]}
        return found if len(found) == 2 else None

    assert eventually(split) == {"latest": 10, "fraud-predictor-00001": 90}


def say_ready(cluster: ControlPlane, revision: str) -> None:
    """What Knative's controller, which does not run here, would say once the first revision serves."""
    now = "2026-01-01T00:00:00Z"
    conditions = [
        {"type": name, "status": "True", "lastTransitionTime": now}
        for name in ("Ready", "ConfigurationsReady", "RoutesReady")
    ]
    status = {
        "conditions": conditions,
        "observedGeneration": 1,
        "latestReadyRevisionName": revision,
        "latestCreatedRevisionName": revision,
        "traffic": [{"revisionName": revision, "latestRevision": True, "percent": 100}],
        "url": "http://fraud-predictor.example.com",
        "address": {"url": "http://fraud-predictor.fraudline.svc"},
    }
    cluster.kubectl(
        "patch", "services.serving.knative.dev", "fraud-predictor", "-n", "fraudline",
        "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}),
    )  # fmt: skip
    eventually(
        lambda: (
            ((cluster.get("inferenceservice", "fraud") or {}).get("status", {}).get("components", {}))
            .get("predictor", {})
            .get("latestRolledoutRevision")
            == revision
        )
    )


def test_the_server_takes_what_argo_cd_is_given(cluster: ControlPlane) -> None:
    cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}}])
    cluster.apply(build(MANIFESTS / "argocd"))
    paths = [cluster.get("application", "fraudline-production", "argocd")["spec"]["source"]["path"]]  # type: ignore[index]
    (generator,) = cluster.get("applicationset", "fraudline", "argocd")["spec"]["generators"]  # type: ignore[index]
    paths += [f"manifests/overlays/{element['overlay']}" for element in generator["list"]["elements"]]
    assert {path.rpartition("/")[2] for path in paths} <= set(OVERLAYS)
