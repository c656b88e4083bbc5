"""Strimzi's kinds, read by the classes that its operator reads them with: its definitions are in no Go module."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fraudline.ops.local.maven import fetch_libraries
from tests.support.broker import CACHE
from tests.support.kustomize import OVERLAYS, overlay
from tests.support.needed import lacks

HERE = Path(__file__).parent / "strimzi"
KINDS = {"Kafka", "KafkaNodePool", "KafkaTopic", "KafkaUser"}


@pytest.fixture(scope="module")
def libraries() -> Path:
    """Strimzi's jars."""
    if shutil.which("javac") is None:
        lacks("a JDK", cure=".ci/cluster sees to it")
    pom = (HERE / "pom.xml").read_bytes()
    folder = CACHE.resolve() / "cluster" / f"strimzi-{hashlib.sha256(pom).hexdigest()[:16]}"
    fetch_libraries(pom, folder, "Strimzi")
    return folder


def refused(libraries: Path, documents: list[dict[str, Any]]) -> list[str]:
    """What Strimzi's classes say against documents, a line for each that they refuse."""
    command = ["java", "-cp", f"{libraries}/*", str(HERE / "Reader.java")]
    lines = "".join(json.dumps(document) + "\n" for document in documents)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def of_strimzi(name: str) -> list[dict[str, Any]]:
    return [document for document in overlay(name) if document["apiVersion"] == "kafka.strimzi.io/v1"]


def test_every_document_of_strimzi_is_one_that_its_operator_reads(libraries: Path) -> None:
    documents = [document for name in OVERLAYS for document in of_strimzi(name)]
    assert {document["kind"] for document in documents} == KINDS
    assert refused(libraries, documents) == []


def test_a_field_or_value_that_its_operator_does_not_know_is_refused(libraries: Path) -> None:
    """Or the test above could not fail."""
    faults = {
        ("KafkaTopic", ("spec",)): {"partition": 3},
        ("KafkaUser", ("spec", "authorization", "acls", 0)): {"operations": ["Reed"]},
        ("KafkaUser", ("spec", "authorization", "acls", 0, "resource")): {"type": "topics"},
        ("KafkaNodePool", ("spec", "template", "pod", "securityContext")): {"runAsNonroot": True},
        ("Kafka", ("spec", "kafka", "listeners", 0)): {"type": "internl"},
    }
    documents = []
    for (kind, path), fault in faults.items():
        document = place = next(each for each in of_strimzi("standard") if each["kind"] == kind)
        for step in path:
            place = place[step]
        place |= fault
        documents.append(document)
    assert len(refused(libraries, documents)) == len(faults)
