"""What every manifest of ours keeps: each policy is a function from documents to what is wrong, a line a fault."""

import re
from collections.abc import Callable, Iterator
from typing import Any

Document = dict[str, Any]
Policy = Callable[[list[Document]], Iterator[str]]

YEAR_MS = 365 * 86_400_000
_VERSION = re.compile(r":v?\d+\.\d+(\.\d+)?([-.][\w.]+)?$")
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_SECRETS = re.compile(r"password|token|secret|(?<!CONFIG_)key", re.IGNORECASE)


def pod_specs(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """Each pod that the documents describe, with where it stands."""
    for document in documents:
        where = f"{document['kind']} {document['metadata']['name']}"
        spec = document.get("spec") or {}
        if document["kind"] == "CronJob":
            yield where, spec["jobTemplate"]["spec"]["template"]["spec"]
        elif document["kind"] == "ScaledJob":
            yield where, spec["jobTargetRef"]["template"]["spec"]
        elif document["kind"] in {"Deployment", "StatefulSet", "Job", "DaemonSet"}:
            yield where, spec["template"]["spec"]
        elif document["kind"] in {"ServingRuntime", "ClusterServingRuntime"}:
            yield where, spec


def containers(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """Each container, with where it stands."""
    for where, pod in pod_specs(documents):
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            yield f"{where}, container {container['name']}", container


def one_canary_mode(documents: list[Document]) -> Iterator[str]:
    """``spec.canary`` in the mode Standard or ``canaryTrafficPercent`` in the mode Knative, and never both."""
    for service in _kind(documents, "InferenceService"):
        mode = service["metadata"].get("annotations", {}).get("serving.kserve.io/deploymentMode")
        by_list = "canary" in service["spec"]
        by_percent = "canaryTrafficPercent" in service["spec"]["predictor"]
        if mode not in {"Standard", "Knative"}:
            yield f"the mode is not named: {mode}"
        if by_percent and mode != "Knative":
            yield f"canaryTrafficPercent is ignored in the mode {mode}"
        if by_list and mode != "Standard":
            yield f"spec.canary is refused in the mode {mode}"


def pinned_images(documents: list[Document]) -> Iterator[str]:
    """An image has a digest or an exact version."""
    for where, container in containers(documents):
        image = container["image"]
        if not _DIGEST.search(image) and not _VERSION.search(image):
            yield f"{where}: {image} is not pinned"


def pinned_models(documents: list[Document]) -> Iterator[str]:
    """A model's address holds its digest, and our server is told which one to find there."""
    for service in _kind(documents, "InferenceService"):
        predictors = [service["spec"]["predictor"], *(e["predictor"] for e in service["spec"].get("canary", []))]
        for predictor in predictors:
            model = predictor["model"]
            found = re.search(r"[0-9a-f]{64}", model["storageUri"])
            if found is None:
                yield f"{model['storageUri']} holds no digest"
            elif model["runtime"] == "fraudline" and f"--expected_digest={found[0]}" not in model.get("args", []):
                yield f"{model['storageUri']}: the server is not told its digest"


def bounded(documents: list[Document]) -> Iterator[str]:
    """A container asks for processor and memory, and has a limit of each."""
    for where, container in containers(documents):
        for part in ("requests", "limits"):
            missing = {"cpu", "memory"} - set(container.get("resources", {}).get(part, {}))
            if missing:
                yield f"{where}: no {part} of {', '.join(sorted(missing))}"


def probed(documents: list[Document]) -> Iterator[str]:
    """What serves says when it has begun, when it can serve, and that it lives. A job only ends."""
    for where, container in containers([d for d in documents if d["kind"] not in {"CronJob", "ScaledJob"}]):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if probe not in container:
                yield f"{where}: no {probe}"


def spread_out(documents: list[Document]) -> Iterator[str]:
    """What runs more than once does not run on one node or in one zone alone. Knative places its revisions itself."""
    several = {w: s for w, s in pod_specs(documents) if w.startswith("StatefulSet")}
    for service in _kind(documents, "InferenceService"):
        if service["spec"]["predictor"].get("minReplicas", 1) > 1:
            several[f"InferenceService {service['metadata']['name']}"] = service["spec"]["predictor"]
    for where, spec in several.items():
        keys = {each["topologyKey"] for each in spec.get("topologySpreadConstraints", [])}
        for key in sorted({"topology.kubernetes.io/zone", "kubernetes.io/hostname"} - keys):
            yield f"{where}: not spread by {key}"


def restricted(documents: list[Document]) -> Iterator[str]:
    """The restricted profile of Pod Security, and a root file system that nobody writes to."""
    rules: dict[str, Callable[[Document], bool]] = {
        "allowPrivilegeEscalation": lambda c: c.get("allowPrivilegeEscalation") is False,
        "readOnlyRootFilesystem": lambda c: c.get("readOnlyRootFilesystem") is True,
        "capabilities": lambda c: (
            c.get("capabilities", {}).get("drop") == ["ALL"]
            and set(c.get("capabilities", {}).get("add", [])) <= {"NET_BIND_SERVICE"}
        ),
        "privileged": lambda c: not c.get("privileged", False),
    }
    for where, pod in pod_specs(documents):
        shared = pod.get("securityContext", {})
        for name in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(name):
                yield f"{where}: {name}"
        if any("hostPath" in volume for volume in pod.get("volumes", [])):
            yield f"{where}: hostPath"
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            own = container.get("securityContext", {})
            both = {**shared, **own}
            faults = [name for name, holds in rules.items() if not holds(own)]
            faults += [] if both.get("runAsNonRoot") is True and both.get("runAsUser") != 0 else ["runAsNonRoot"]
            faults += [] if both.get("seccompProfile", {}).get("type") == "RuntimeDefault" else ["seccompProfile"]
            for fault in faults:
                yield f"{where}, container {container['name']}: {fault}"


def restricted_kafka(documents: list[Document]) -> Iterator[str]:
    """The same for the pods that Strimzi makes."""
    parts = {
        "KafkaNodePool": ("template", ["kafkaContainer"]),
        "Kafka": ("entityOperator.template", ["topicOperatorContainer", "userOperatorContainer"]),
    }
    for document in documents:
        if document["kind"] not in parts:
            continue
        path, names = parts[document["kind"]]
        template = document["spec"]
        for step in path.split("."):
            template = template.get(step, {})
        if template.get("pod", {}).get("securityContext", {}).get("runAsNonRoot") is not True:
            yield f"{document['kind']}: pod"
        for name in names:
            context = template.get(name, {}).get("securityContext", {})
            if context.get("allowPrivilegeEscalation") is not False or context.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{document['kind']}: {name}"


def unhurried_volumes(documents: list[Document]) -> Iterator[str]:
    """A pod does not give every file of a volume its group again at each start: that takes minutes of a large one."""

    def contexts(value: Any) -> Iterator[Document]:
        if isinstance(value, dict):
            if "fsGroup" in value:
                yield value
            for each in value.values():
                yield from contexts(each)
        elif isinstance(value, list):
            for each in value:
                yield from contexts(each)

    for document in documents:
        if any(context.get("fsGroupChangePolicy") != "OnRootMismatch" for context in contexts(document.get("spec"))):
            yield f"{document['kind']} {document['metadata']['name']}: fsGroup"


def without_tokens(documents: list[Document]) -> Iterator[str]:
    """No pod gets a token for the API server: nothing of ours talks to it."""
    for account in _kind(documents, "ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"ServiceAccount {account['metadata']['name']}"
    specs = [(w, s) for w, s in pod_specs(documents) if not w.startswith("ServingRuntime")]
    specs += [("InferenceService", s["spec"]["predictor"]) for s in _kind(documents, "InferenceService")]
    for where, spec in specs:
        if spec.get("automountServiceAccountToken") is not False or not spec.get("serviceAccountName"):
            yield where
    for document in documents:
        if document["kind"] in {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}:
            yield f"{document['kind']} {document['metadata']['name']}: rights that nothing here needs"


def kept_decisions(documents: list[Document]) -> Iterator[str]:
    """The audit trail is kept a year at least, and deleted by time alone."""
    for topic in _kind(documents, "KafkaTopic"):
        config = topic["spec"]["config"]
        if topic["metadata"]["name"] in {"decisions", "features.scored"}:
            if not config.get("retention.ms", 0) >= YEAR_MS:
                yield f"{topic['metadata']['name']}: kept {config.get('retention.ms', 0) // 86_400_000} days"
            if config.get("retention.bytes", -1) != -1 or config.get("cleanup.policy", "delete") != "delete":
                yield f"{topic['metadata']['name']}: deleted by more than time"


def kept_data(documents: list[Document]) -> Iterator[str]:
    """What holds data outlives the line in Git that names it: Argo CD does not prune it, and says that it is there."""
    for document in documents:
        if document["kind"] in {"Namespace", "PersistentVolumeClaim", "KafkaTopic", "Kafka", "KafkaNodePool"}:
            options = document["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-options", "")
            if "Prune=false" not in options.split(","):
                yield f"{document['kind']} {document['metadata']['name']}: its data goes with a line of Git"


def no_secrets(documents: list[Document]) -> Iterator[str]:
    """No secret lies in Git: neither as a Secret nor as a value of the environment."""
    for secret in _kind(documents, "Secret"):
        yield f"Secret {secret['metadata']['name']}"
    for where, container in containers(documents):
        for entry in container.get("env", []):
            if _SECRETS.search(entry["name"]) and "value" in entry and not entry["value"].startswith("/"):
                yield f"{where}: {entry['name']}"


def one_that_pushes(documents: list[Document]) -> Iterator[str]:
    """Credentials that may push to the Git remote are given to the job of a rollout alone."""
    for where, pod in pod_specs(documents):
        mounted = {volume["secret"]["secretName"] for volume in pod.get("volumes", []) if "secret" in volume}
        if "fraudline-forge" in mounted and where != "CronJob fraudline-rollout":
            yield f"{where} may push"


def denied_by_default(documents: list[Document]) -> Iterator[str]:
    """Where there are network policies, one denies everything both ways, and each names its ports."""
    policies = {p["metadata"]["name"]: p["spec"] for p in _kind(documents, "NetworkPolicy")}
    if policies and policies.get("default-deny") != {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}:
        yield "no default-deny"
    for name, spec in policies.items():
        for rule in spec.get("egress", []):
            if not rule:
                yield f"{name}: everything is open outwards"
        for rule in spec.get("ingress", []):
            if not rule.get("from"):
                yield f"{name}: everybody may come in"


POLICIES: tuple[Policy, ...] = (
    one_canary_mode, pinned_images, pinned_models, bounded, probed, spread_out, restricted, restricted_kafka,
    unhurried_volumes, without_tokens,
    kept_decisions, kept_data, no_secrets, one_that_pushes, denied_by_default,
)  # fmt: skip


def _kind(documents: list[Document], kind: str) -> list[Document]:
    return [document for document in documents if document["kind"] == kind]
