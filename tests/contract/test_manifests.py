"""The manifests as an installation would apply them: they render, they keep the policies, they fit the code."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import click
import kubernetes_validate
import pytest
import yaml
from docs.monitoring.alerts import ALERTS

from fraudline.cli.main import cli
from fraudline.core.tracing import ENVIRONMENT
from fraudline.features.spec import load_spec
from fraudline.ops.gitops.cluster import FIELD_MANAGER
from fraudline.serve.server import GRACE_SECONDS
from fraudline.steps.params import Params
from fraudline.stream.alert_router import Routing
from fraudline.stream.feature_events import EVENT_TYPE
from fraudline.stream.params import StreamParams
from fraudline.stream.topics import _wanted
from tests.support import policies
from tests.support.argocd import health
from tests.support.kustomize import MANIFESTS, OVERLAYS, ROOT, overlay, overlay_with

Documents = list[dict[str, Any]]


def find(documents: Documents, kind: str, name: str) -> dict[str, Any]:
    (found,) = [d for d in documents if d["kind"] == kind and d["metadata"]["name"].startswith(name)]
    return found


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_overlay_renders(name: str) -> None:
    assert {document["kind"] for document in overlay(name)} >= {"InferenceService", "ServingRuntime"}


def _faults(documents: Documents) -> list[str]:
    """What the schemas of Kubernetes 1.34 say of its own kinds, unknown fields included."""
    faults = []
    for document in documents:
        group = document["apiVersion"].rpartition("/")[0]
        if "." not in group or group.endswith(".k8s.io"):
            try:
                kubernetes_validate.validate(document, "1.34", strict=True)
            except kubernetes_validate.ValidationError as error:
                faults.append(f"{document['kind']} {document['metadata']['name']}: {error}")
    return faults


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_kinds_of_kubernetes_fit_its_schemas(name: str) -> None:
    assert _faults(overlay(name)) == []


@pytest.mark.parametrize(
    "plant",
    [
        lambda documents: _pod(documents).update(serviceAccuntName="typo"),
        lambda documents: _worker(documents)["ports"][0].update(containerPort="9100"),
        lambda documents: find(documents, "PodDisruptionBudget", "fraudline-worker")["spec"].update(selector=[]),
    ],
)
def test_a_schema_sees_a_planted_fault(plant: Callable[[Documents], None]) -> None:
    documents = overlay("standard")
    plant(documents)
    assert len(_faults(documents)) == 1


@pytest.mark.parametrize("policy", policies.POLICIES, ids=lambda policy: policy.__name__)
@pytest.mark.parametrize("name", OVERLAYS)
def test_every_overlay_keeps_every_policy(name: str, policy: policies.Policy) -> None:
    assert list(policy(overlay(name))) == []


def command_of(arguments: list[str]) -> tuple[click.Command, set[str]]:
    """The command that arguments name, and the options that they give it."""
    command: click.Command = cli
    rest = list(arguments)
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), rest.pop(0))
        assert found is not None, arguments
        command = found
    return command, {argument.partition("=")[0] for argument in rest}


def _service(documents: Documents) -> dict[str, Any]:
    return find(documents, "InferenceService", "fraud")


def _worker(documents: Documents) -> dict[str, Any]:
    (container,) = find(documents, "StatefulSet", "fraudline-worker")["spec"]["template"]["spec"]["containers"]
    return container


def _pod(documents: Documents) -> dict[str, Any]:
    spec: dict[str, Any] = find(documents, "StatefulSet", "fraudline-worker")["spec"]["template"]["spec"]
    return spec


def _decisions(documents: Documents) -> dict[str, Any]:
    config: dict[str, Any] = find(documents, "KafkaTopic", "decisions")["spec"]["config"]
    return config


_AUTOMOUNT = "automountServiceAccountToken"
FAULTS: list[tuple[policies.Policy, Callable[[Documents], Any]]] = [
    (policies.one_canary_mode, lambda d: _service(d)["spec"]["predictor"].update(canaryTrafficPercent=10)),
    (policies.one_canary_mode, lambda d: _service(d)["metadata"].update(annotations={})),
    (
        policies.one_canary_mode,
        lambda d: (
            _service(d)["metadata"]["annotations"].update({"serving.kserve.io/deploymentMode": "Knative"}),
            _service(d)["spec"].update(canary=[]),
        ),
    ),
    (policies.pinned_images, lambda d: _worker(d).update(image="fraudline/predictor:latest")),
    (policies.pinned_images, lambda d: _worker(d).update(image="fraudline/predictor")),
    (policies.pinned_images, lambda d: _worker(d).update(image="registry:5000/fraudline/predictor")),
    (policies.pinned_models, lambda d: _service(d)["spec"]["predictor"]["model"].update(storageUri="s3://models/new")),
    (policies.pinned_models, lambda d: _service(d)["spec"]["predictor"]["model"].update(args=[])),
    (policies.bounded, lambda d: _worker(d)["resources"]["limits"].pop("memory")),
    (policies.bounded, lambda d: _worker(d).pop("resources")),
    (policies.probed, lambda d: _worker(d).pop("livenessProbe")),
    (policies.spread_out, lambda d: _pod(d)["topologySpreadConstraints"].pop()),
    (policies.spread_out, lambda d: _service(d)["spec"]["predictor"].pop("topologySpreadConstraints")),
    (policies.restricted, lambda d: _worker(d)["securityContext"].pop("allowPrivilegeEscalation")),
    (policies.restricted, lambda d: _worker(d)["securityContext"].update(capabilities={"drop": []})),
    (policies.restricted, lambda d: _worker(d)["securityContext"].update(runAsUser=0)),
    (policies.restricted, lambda d: _pod(d)["securityContext"].pop("seccompProfile")),
    (policies.restricted, lambda d: _pod(d)["volumes"].append({"name": "host", "hostPath": {"path": "/"}})),
    (policies.restricted, lambda d: _pod(d).update(hostNetwork=True)),
    (policies.restricted_kafka, lambda d: find(d, "KafkaNodePool", "brokers")["spec"]["template"].pop("pod")),
    (policies.restricted_kafka, lambda d: find(d, "Kafka", "fraudline")["spec"]["entityOperator"].pop("template")),
    (policies.unhurried_volumes, lambda d: _pod(d)["securityContext"].pop("fsGroupChangePolicy")),
    (
        policies.unhurried_volumes,
        lambda d: _service(d)["spec"]["predictor"]["securityContext"].pop("fsGroupChangePolicy"),
    ),
    (policies.without_tokens, lambda d: _pod(d).pop("automountServiceAccountToken")),
    (policies.without_tokens, lambda d: find(d, "ServiceAccount", "fraudline-worker").pop(_AUTOMOUNT)),
    (policies.kept_decisions, lambda d: _decisions(d).update({"retention.ms": 30 * 86_400_000})),
    (policies.kept_decisions, lambda d: _decisions(d).update({"retention.bytes": 1})),
    (policies.kept_decisions, lambda d: _decisions(d).update({"cleanup.policy": "compact"})),
    (policies.kept_data, lambda d: find(d, "PersistentVolumeClaim", "fraudline-models")["metadata"].pop("annotations")),
    (policies.kept_data, lambda d: find(d, "KafkaTopic", "labels")["metadata"].pop("annotations")),
    (policies.no_secrets, lambda d: d.append({"kind": "Secret", "metadata": {"name": "token"}})),
    (policies.no_secrets, lambda d: _worker(d)["env"].append({"name": "API_TOKEN", "value": "abc"})),
    (policies.one_that_pushes, lambda d: _pod(d)["volumes"].append({"secret": {"secretName": "fraudline-forge"}})),
    (policies.denied_by_default, lambda d: d.remove(find(d, "NetworkPolicy", "default-deny"))),
    (policies.denied_by_default, lambda d: find(d, "NetworkPolicy", "worker")["spec"]["egress"].append({})),
    (policies.denied_by_default, lambda d: find(d, "NetworkPolicy", "worker")["spec"]["ingress"].append({})),
]


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=lambda n: f"{FAULTS[n][0].__name__}-{n}")
def test_a_policy_sees_a_planted_fault(number: int) -> None:
    policy, plant = FAULTS[number]
    documents = overlay("standard")
    plant(documents)
    assert list(policy(documents))


def test_every_policy_has_a_planted_fault() -> None:
    assert {policy for policy, _ in FAULTS} == set(policies.POLICIES)


def test_every_pod_of_a_component_is_let_out_where_everything_is_denied() -> None:
    files = MANIFESTS.glob("components/*/*.yaml")
    documents = [document for file in files for document in yaml.safe_load_all(file.read_text()) if document]
    label = "app.kubernetes.io/component"
    templates = [d["spec"]["jobTemplate"]["spec"] for d in documents if d.get("kind") == "CronJob"]
    templates += [d["spec"] for d in documents if d.get("kind") in {"Deployment", "StatefulSet"}]
    named = {each["template"]["metadata"]["labels"][label] for each in templates}
    policed = {
        d["spec"]["podSelector"]["matchLabels"].get(label)
        for d in documents
        if d.get("kind") == "NetworkPolicy" and d["spec"].get("egress") and d["spec"]["podSelector"]
    }
    assert named <= policed


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_predictor_that_is_to_stop_still_answers_until_no_request_is_sent_to_it(name: str) -> None:
    documents = overlay(name)
    runtime = _service(documents)["spec"]["predictor"]["model"]["runtime"]
    (found,) = [d for d in documents if d["kind"] == "ServingRuntime" and d["metadata"]["name"] == runtime]
    (container,) = found["spec"]["containers"]
    if name == "knative":  # its queue-proxy does that, and its webhook refuses a lifecycle
        assert "lifecycle" not in container
        return
    seconds = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert seconds > 0
    assert seconds + GRACE_SECONDS < found["spec"].get("terminationGracePeriodSeconds", 30)


@pytest.mark.parametrize("name", [name for name in OVERLAYS if name != "tensorflow-serving"])
def test_the_worker_is_started_with_options_and_parameters_that_it_knows(name: str) -> None:
    documents = overlay(name)
    worker = _worker(documents)
    command, given = command_of(worker["args"])
    assert given <= {option for parameter in command.params for option in parameter.opts}
    text = find(documents, "ConfigMap", "fraudline-worker")["data"]["params.yaml"]
    stream = Params.parse(yaml.safe_load(text), "fraudline-worker").stream
    if "--stage=features" in worker["args"]:
        stream = stream.model_copy(update={"stage": "features"})
    (port,) = worker["ports"]
    assert port["containerPort"] == stream.metrics_port
    mounts = [mount["mountPath"] for mount in worker["volumeMounts"]]
    for path in (stream.tls.ca, stream.tls.certificate, stream.tls.key, stream.checkpoint_dir):
        assert any(path.startswith(mount) for mount in mounts), path
    topics = {d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == "KafkaTopic"}
    for topic, wanted in _wanted(stream).items():
        config = {key: str(value) for key, value in topics[topic]["config"].items()}
        assert config.items() >= wanted.items(), topic
        assert topics[topic]["partitions"] == stream.topics.partitions


def test_the_worker_may_write_and_read_what_it_does_and_no_more() -> None:
    documents = overlay("standard")
    stream = Params.parse(
        yaml.safe_load(find(documents, "ConfigMap", "fraudline-worker")["data"]["params.yaml"]), "worker"
    ).stream
    rules = find(documents, "KafkaUser", "fraudline-worker")["spec"]["authorization"]["acls"]
    found = {(r["resource"]["type"], r["resource"]["name"]): set(r["operations"]) for r in rules}
    write, read = {"Write", "Describe"}, {"Read", "Describe"}
    assert found == {
        ("topic", stream.topics.transactions): read,
        ("topic", stream.topics.decisions): write,
        ("topic", stream.topics.alerts): write,
        ("topic", stream.topics.dead_letters): write,
        ("topic", stream.topics.blocked_cards): read | write,
        ("group", stream.group): read,
        ("transactionalId", f"{stream.group}."): write,
    }


@pytest.mark.parametrize(("name", "kinds"), [("standard", {"ScaledObject"}), ("knative", {"KafkaSource", "KafkaSink"})])
def test_a_client_in_another_namespace_finds_the_broker_that_the_worker_has(name: str, kinds: set[str]) -> None:
    """KEDA's operator and Knative's dispatchers resolve a bare name in their own namespace."""
    documents = overlay(name)
    text = find(documents, "ConfigMap", "fraudline-worker")["data"]["params.yaml"]
    host, _, port = Params.parse(yaml.safe_load(text), "fraudline-worker").stream.bootstrap.rpartition(":")
    asked = set()
    for document in documents:
        if document["kind"] in kinds:
            namespace, spec = document["metadata"]["namespace"], document["spec"]
            triggers = [each["metadata"] for each in spec.get("triggers", []) if each["type"] == "kafka"]
            servers = [each["bootstrapServers"] for each in triggers] or spec["bootstrapServers"]
            asked.add(document["kind"])
            assert servers == [f"{host}.{namespace}.svc:{port}"], document["metadata"]["name"]
    assert asked == kinds


def test_the_routers_settings_are_taken_by_the_command_and_it_may_do_what_it_does_and_no_more() -> None:
    documents = overlay("standard")
    (container,) = find(documents, "Deployment", "fraudline-alerts")["spec"]["template"]["spec"]["containers"]
    command, given = command_of([each for each in container["args"] if not each.startswith("/")])
    assert given <= {option for parameter in command.params for option in parameter.opts}
    files = find(documents, "ConfigMap", "fraudline-alerts")["data"]
    Routing.parse(yaml.safe_load(files["alerts.yaml"]), "alerts.yaml")
    topics = Params.parse(yaml.safe_load(files["params.yaml"]), "params.yaml").stream.topics
    rules = find(documents, "KafkaUser", "fraudline-alerts")["spec"]["authorization"]["acls"]
    found = {(r["resource"]["type"], r["resource"]["name"]): set(r["operations"]) for r in rules}
    assert found == {
        ("topic", topics.alerts): {"Read", "Describe"},
        ("topic", topics.alert_dead_letters): {"Write", "Describe"},
        ("group", f"{StreamParams().group}-alerts"): {"Read", "Describe"},
    }


@pytest.mark.parametrize("name", ["standard", "knative"])
def test_that_no_predictor_is_left_alarms_where_none_is_never_usual_and_only_there(name: str) -> None:
    documents = overlay(name)
    (endpoint,) = find(documents, "PodMonitor", "fraudline-predictor")["spec"]["podMetricsEndpoints"]
    renamed = [rule["replacement"] for rule in endpoint.get("relabelings", []) if rule["targetLabel"] == "job"]
    job = renamed[-1] if renamed else "fraudline/fraudline-predictor"  # the operator's: namespace and name
    (alert,) = [each for each in ALERTS if each.name == "NoneLeft"]
    alarms = {re.fullmatch(regex, job) is not None for regex in re.findall(r'job=~"([^"]+)"', alert.expr)}
    assert alarms == {_service(documents)["spec"]["predictor"]["minReplicas"] > 0}


def test_only_features_are_scored_so_that_an_answer_never_is() -> None:
    documents = overlay("knative")
    types = {
        d["metadata"]["name"]: d["spec"]["filter"]["attributes"]["type"] for d in documents if d["kind"] == "Trigger"
    }
    assert types == {"fraud-score": EVENT_TYPE, "fraud-answers": "io.kserve.inference.response"}
    source = find(documents, "KafkaSource", "fraud-features")["spec"]
    assert source["topics"] == [StreamParams().topics.features]
    assert source["consumerGroup"]
    assert source["initialOffset"] == "earliest"
    sinks = {d["metadata"]["name"]: d["spec"]["topic"] for d in documents if d["kind"] == "KafkaSink"}
    topics = {d["metadata"]["name"] for d in documents if d["kind"] == "KafkaTopic"}
    assert set(sinks.values()) <= topics
    for owner in (source, find(documents, "Broker", "fraud")["spec"]):
        assert owner["delivery"]["deadLetterSink"]["ref"]["name"] in sinks


def test_a_dead_workers_successor_is_found_by_the_pods_name() -> None:
    names = {entry["name"]: entry for entry in _worker(overlay("standard"))["env"]}
    assert names["FRAUDLINE_WORKER_ID"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"


def test_a_group_keeps_its_place_for_longer_than_what_it_reads_is_kept() -> None:
    documents, topics = overlay("standard"), StreamParams().topics
    kept_minutes = find(documents, "Kafka", "fraudline")["spec"]["kafka"]["config"]["offsets.retention.minutes"]
    configs = {each["metadata"]["name"]: each["spec"]["config"] for each in documents if each["kind"] == "KafkaTopic"}
    for topic in (topics.transactions, topics.alerts, topics.dead_letters, topics.alert_dead_letters):
        assert kept_minutes * 60_000 > configs[topic]["retention.ms"] > 0, topic


def job(documents: Documents, name: str) -> tuple[dict[str, Any], click.Command, set[str]]:
    """The container of a CronJob, the command it runs, and the variables that the command takes its options from."""
    pod = find(documents, "CronJob", name)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    command, given = command_of(container["args"])
    assert given <= {option for parameter in command.params for option in parameter.opts}
    return container, command, {each.envvar for each in command.params if isinstance(each.envvar, str)}


def variables(container: dict[str, Any]) -> set[str]:
    return {entry["name"] for entry in container.get("env", [])}


def test_the_job_of_a_rollout_is_a_command_that_is_there() -> None:
    container, _, taken = job(overlay("standard"), "fraudline-rollout")
    assert taken - {"FRAUDLINE_TEXTFILES"} <= variables(container)  # a pod has no node exporter's folder


def test_the_job_that_retrains_is_a_command_that_is_there_and_keeps_its_journal() -> None:
    container, command, taken = job(overlay("standard"), "fraudline-retraining")
    ours = {name for name in variables(container) if not name.startswith(("GIT_CONFIG_", "MLFLOW_TRACKING_"))}
    assert ours <= taken
    given = dict(argument.partition("=")[::2] for argument in container["args"])
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert not mounts[given["--journal"]].get("readOnly")
    (store,) = [each.default for each in command.params if each.name == "store"]
    assert mounts[store]["readOnly"]


def test_the_job_that_adjusts_thresholds_writes_the_file_that_the_worker_reads_for_the_model_it_has() -> None:
    documents = overlay("local")
    container, _, _ = job(documents, "fraudline-thresholds")
    given = dict(argument.partition("=")[::2] for argument in container["args"])
    read = dict(argument.partition("=")[::2] for argument in _worker(documents)["args"])
    assert (given["--thresholds"], given["--model"]) == (read["--thresholds"], read["--model"])
    digest = _service(documents)["spec"]["predictor"]["annotations"]["fraudline/artifact-digest"]
    for each in (container, _worker(documents)):
        assert {"name": "FRAUDLINE_MODEL_DIGEST", "value": digest} in each["env"]
    params = Params.parse(
        yaml.safe_load(find(documents, "ConfigMap", "fraudline-thresholds")["data"]["params.yaml"]), ""
    )
    assert params.threshold.dynamic.enabled
    rules = find(documents, "KafkaUser", "fraudline-thresholds")["spec"]["authorization"]["acls"]
    assert [(r["resource"]["name"], set(r["operations"])) for r in rules] == [
        (params.stream.topics.decisions, {"Read", "Describe"})
    ]


@pytest.mark.parametrize("name", [name for name in OVERLAYS if name != "tensorflow-serving"])
def test_the_job_that_publishes_merchant_tables_writes_what_the_worker_reads_as_often_as_its_model_has_them(
    name: str,
) -> None:
    documents = overlay(name)
    container, _, _ = job(documents, "fraudline-profiles")
    given = dict(argument.partition("=")[::2] for argument in container["args"])
    read = dict(argument.partition("=")[::2] for argument in _worker(documents)["args"])
    assert (given["--model"], given["--dataset"]) == (read["--model"], read["--history"])
    digest = _service(documents)["spec"]["predictor"]["annotations"]["fraudline/artifact-digest"]
    assert {"name": "FRAUDLINE_MODEL_DIGEST", "value": digest} in container["env"]

    job_spec = find(documents, "CronJob", "fraudline-profiles")["spec"]
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for pod in (job_spec["jobTemplate"]["spec"]["template"]["spec"], _pod(documents))
        for volume in pod["volumes"]
        if "persistentVolumeClaim" in volume
    }
    written, where = _place(container, given["--profiles"]), _place(_worker(documents), read["--profiles"])
    assert (claims[written[0]], written[1]) == (claims[where[0]], where[1])
    writable = [mount for mount in container["volumeMounts"] if mount["name"] == "store" and not mount.get("readOnly")]
    assert [mount["subPath"] for mount in writable] == ["profiles"], "artifacts must be out of its reach"

    hours = load_spec().parameters.profile_hours
    assert (job_spec["schedule"], job_spec["timeZone"]) == (f"5 */{hours} * * *", "Etc/UTC")
    config = find(documents, "ConfigMap", "fraudline-profiles")["data"]["params.yaml"]
    topics = Params.parse(yaml.safe_load(config), "").stream.topics
    rules = find(documents, "KafkaUser", "fraudline-profiles")["spec"]["authorization"]["acls"]
    assert {r["resource"]["name"]: set(r["operations"]) for r in rules} == {
        topics.transactions: {"Read", "Describe"},
        topics.labels: {"Read", "Describe"},
    }
    assert topics.labels in {d["metadata"]["name"] for d in documents if d["kind"] == "KafkaTopic"}


def _place(container: dict[str, Any], path: str) -> tuple[str, str]:
    """The volume that a path lies on, and where on it."""
    mount = max(
        (mount for mount in container["volumeMounts"] if path.startswith(f"{mount['mountPath']}/")),
        key=lambda mount: len(mount["mountPath"]),
    )
    inside = path.removeprefix(f"{mount['mountPath']}/")
    return mount["name"], f"{mount['subPath']}/{inside}" if "subPath" in mount else inside


@pytest.mark.parametrize("name", ["standard", "knative"])
def test_the_component_of_tracing_tells_worker_and_predictor_where_spans_go_and_lets_them_out(name: str) -> None:
    documents = overlay_with(name, "tracing")
    (runtime,) = find(documents, "ServingRuntime", "fraudline")["spec"]["containers"]
    said = [{e["name"]: e.get("value") for e in each["env"]} for each in (_worker(documents), runtime)]
    (address,) = {each[ENVIRONMENT] for each in said}
    url = urlsplit(address)
    _, namespace = url.hostname.split(".")
    for policy in ("worker", "predictor"):
        *_, rule = find(documents, "NetworkPolicy", policy)["spec"]["egress"]
        assert rule["ports"] == [{"protocol": "TCP", "port": url.port}]
        assert list(rule["to"][0]["namespaceSelector"]["matchLabels"].values()) == [namespace]
    for policy in policies.POLICIES:
        assert list(policy(documents)) == []


def test_an_alert_starts_the_job_that_the_clock_starts() -> None:
    documents = overlay("standard")
    clock = find(documents, "CronJob", "fraudline-retraining")["spec"]["jobTemplate"]["spec"]
    event = find(documents, "ScaledJob", "fraudline-retraining")["spec"]["jobTargetRef"]
    assert event == clock


def test_every_component_and_overlay_is_named_in_the_reference_page() -> None:
    page = (ROOT / "docs" / "reference" / "manifests.md").read_text()
    folders = [p.parent.relative_to(MANIFESTS) for p in MANIFESTS.glob("**/kustomization.yaml")]
    assert folders
    for folder in folders:
        assert f"`{folder}`" in page, folder


def test_what_the_pages_apply_by_hand_is_applied_under_the_name_that_promotions_have() -> None:
    """The server refuses a name to change what another has set, and takes away what the same name no longer sets."""
    pages = [ROOT / "README.md", ROOT / "kserve" / "README.md", *(ROOT / "docs").rglob("*.md")]
    pages.append(MANIFESTS / "argocd" / "kustomization.yaml")
    found = [line for page in pages for line in re.findall(r"kubectl apply --server-side .*-k ", page.read_text())]
    assert len(found) >= len(OVERLAYS)
    assert [line for line in found if f" --field-manager={FIELD_MANAGER} " not in line] == []


def test_argo_cd_does_not_wait_for_a_generation_that_is_not_the_services() -> None:
    """KServe reports its Deployment's: compared with the service's own a rollout would never be healthy, nor pruned."""
    (health,) = yaml.safe_load((MANIFESTS / "argocd" / "health.yaml").read_text())["data"].values()
    assert "Generation" not in health
    assert health.count("CanaryPredictorReady") == 1


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ({}, "Progressing"),
        ({"conditions": [{"type": "Ready", "status": "Unknown"}]}, "Progressing"),
        ({"conditions": [{"type": "Ready", "status": "False", "reason": "MinimumReplicasUnavailable"}]}, "Progressing"),
        ({"conditions": [{"type": "Ready", "status": "True"}]}, "Healthy"),
        (
            {
                "conditions": [{"type": "Ready", "status": "False"}],
                "modelStatus": {"transitionStatus": "BlockedByFailedLoad"},
            },
            "Degraded",
        ),
    ],
)
def test_argo_cd_tells_a_model_that_cannot_be_loaded_from_one_that_is_not_there_yet(
    status: dict[str, Any], word: str
) -> None:
    assert health({"status": status})[0] == word
    assert health({})[0] == "Progressing"
