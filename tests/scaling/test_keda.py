"""The scaling of workers and the start of retraining, by KEDA's own operator: real API server, broker and Prometheus.

Addresses are those of this machine; everything else is what an installation applies.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.structs import OffsetAndMetadata

from fraudline.ops.local.prometheus import ConfiguredServer
from tests.cluster.control_plane import ControlPlane, eventually
from tests.cluster.definitions import definitions
from tests.integration.test_kafka_rights import rules
from tests.scaling.keda import Operator
from tests.support.broker import need_java
from tests.support.guarded import GuardedKafka
from tests.support.kustomize import overlay
from tests.support.prometheus import prometheus

KINDS = {"Namespace", "ServiceAccount", "ConfigMap", "PersistentVolumeClaim", "StatefulSet", "TriggerAuthentication"}
ALERT = {"alert": "Drift", "expr": "vector(1)"}


@dataclass
class World:
    """An API server with KEDA, a broker whose rights are those of the manifests, and Prometheus."""

    cluster: ControlPlane
    kafka: GuardedKafka
    prometheus: ConfiguredServer
    documents: list[dict[str, Any]]

    def give_certificate(self, user: str) -> None:
        """Put the certificate of a user where the scaler looks."""
        tls = self.kafka.user(user)
        self.secret("fraudline-scaler", {"user.crt": tls.certificate, "user.key": tls.key})

    def secret(self, name: str, files: dict[str, str]) -> None:
        data = {key: base64.b64encode(Path(path).read_bytes()).decode() for key, path in files.items()}
        about = {"name": name, "namespace": "fraudline"}
        self.cluster.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": about, "data": data}])

    def scaler(self, kind: str) -> dict[str, Any]:
        """One of the manifests' scalers, with the addresses of this machine."""
        (found,) = [document for document in self.documents if document["kind"] == kind]
        found = json.loads(json.dumps(found))
        for trigger in found["spec"]["triggers"]:
            here = {"bootstrapServers": self.kafka.guarded, "serverAddress": self.prometheus.url}
            trigger["metadata"] |= {key: value for key, value in here.items() if key in trigger["metadata"]}
        return found

    def says(self, kind: str, name: str) -> dict[str, str]:
        """KEDA's conditions of an object."""
        status = (self.cluster.get(kind, name) or {}).get("status", {})
        return {each["type"]: each["status"] for each in status.get("conditions", [])}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    need_java()
    folder, documents = tmp_path_factory.mktemp("scaling"), overlay("standard")
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "drift", "rules": [ALERT]}]}))
    config = {"global": {"evaluation_interval": "2s"}, "rule_files": [str(folder / "rules.yaml")]}
    with (
        GuardedKafka(folder / "kafka") as kafka,
        prometheus(folder, config) as watching,
        ControlPlane(folder / "cluster") as cluster,
    ):
        backlog(kafka, documents)
        cluster.apply(definitions())
        made = World(cluster, kafka, watching, documents)
        with Operator(cluster):
            cluster.apply([document for document in documents if document["kind"] == "Namespace"])
            made.secret("fraudline-cluster-ca-cert", {"ca.crt": str(kafka.folder / "ca.pem")})
            made.give_certificate("fraudline-scaler")
            cluster.apply([document for document in documents if document["kind"] in KINDS])
            yield made


def backlog(kafka: GuardedKafka, documents: list[dict[str, Any]]) -> None:
    """The rights that the manifests give, and a group that is behind."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.create_topics([NewTopic("transactions", 2, 1)])
    admin.create_acls([rule for user in documents if user["kind"] == "KafkaUser" for rule in rules(user)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    for number in range(100):
        producer.send("transactions", b"{}", partition=number % 2)
    producer.close()
    group = KafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id="fraudline", enable_auto_commit=False)
    group.commit({TopicPartition("transactions", part): OffsetAndMetadata(1, "", -1) for part in (0, 1)})
    group.close()


def test_the_lag_and_the_latency_of_workers_reach_the_autoscaler_with_the_scalers_own_rights(world: World) -> None:
    scaled = world.scaler("ScaledObject")
    world.cluster.apply([scaled])
    name = scaled["metadata"]["name"]
    eventually(lambda: world.says("scaledobject", name).items() >= {"Ready": "True", "Active": "True"}.items())
    (autoscaler,) = world.cluster.names("hpa")
    spec = (world.cluster.get("hpa", autoscaler) or {})["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 12)
    assert spec["scaleTargetRef"]["name"] == "fraudline-worker"
    lag, latency = (metric["external"] for metric in spec["metrics"])
    assert (lag["metric"]["name"], lag["target"]) == ("s0-kafka-transactions", lag["target"] | {"averageValue": "20k"})
    assert latency["target"] == {"type": "Value", "value": "500m"}


def test_without_the_rights_of_the_scalers_user_no_lag_is_seen(world: World) -> None:
    """What the test above would say of a wrong rule of the manifests."""
    scaled = world.scaler("ScaledObject")
    world.cluster.kubectl("delete", "scaledobject", scaled["metadata"]["name"], "-n", "fraudline", "--ignore-not-found")
    world.give_certificate("nobody")
    try:
        world.cluster.apply([scaled])
        eventually(lambda: world.says("scaledobject", scaled["metadata"]["name"]).get("Active") == "False")
    finally:
        world.give_certificate("fraudline-scaler")


def test_an_alert_that_begins_starts_the_job_of_retraining(world: World) -> None:
    wanted = world.scaler("ScaledJob")
    (hourly,) = [d for d in world.documents if d["kind"] == "CronJob" and d["metadata"]["name"].endswith("retraining")]
    world.cluster.apply([wanted])
    name = next(iter(eventually(lambda: world.cluster.names("jobs"))))
    job = world.cluster.get("job", name) or {}
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (same,) = hourly["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == same["args"]
    assert world.says("scaledjob", wanted["metadata"]["name"])["Ready"] == "True"
