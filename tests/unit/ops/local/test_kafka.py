import re
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

import pytest

from fraudline.core.errors import UnavailableError
from fraudline.ops.local import kafka
from fraudline.ops.local.maven import fetch_libraries
from fraudline.ops.local.mock import MOCK_NOTICE, MockKafka


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    """Put a program of this name first on the path: a shell's script."""
    program = folder / "bin" / name
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")


def test_the_version_is_the_one_the_build_file_names() -> None:
    pom = resources.files("fraudline.ops.local").joinpath("kafka.pom.xml").read_text(encoding="utf-8")
    assert f"<kafka.version>{kafka.KAFKA_VERSION}</kafka.version>" in pom


def test_without_java_no_broker_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert kafka.java_version() == 0
    assert not kafka.java_available()


def test_without_maven_and_jars_the_action_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UnavailableError, match="Install Maven, or use the mock broker"):
        kafka.fetch_jars(tmp_path)
    with pytest.raises(UnavailableError) as caught:
        fetch_libraries(b"", tmp_path / "other", "Strimzi")
    assert caught.value.action == "Install Maven.", "no mock broker stands in for these"


def test_a_java_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(tmp_path, monkeypatch, "java", "exec sleep 600")
    monkeypatch.setattr(kafka, "_VERSION_S", 0.2)
    with pytest.raises(UnavailableError, match=r"java -version did not end within 0\.2 s"):
        kafka.java_version()


def test_cached_jars_need_no_maven(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    kafka.jars_folder(tmp_path).mkdir()
    assert kafka.fetch_jars(tmp_path) == kafka.jars_folder(tmp_path)


def test_a_failed_fetch_leaves_no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(tmp_path, monkeypatch, "mvn", "echo no network\nexit 1")
    with pytest.raises(UnavailableError, match="no network"):
        kafka.fetch_jars(tmp_path / "cache")
    assert not kafka.jars_folder(tmp_path / "cache").exists()


def test_two_that_need_the_jars_at_once_fetch_them_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    stand_in(tmp_path, monkeypatch, "mvn", f"echo fetch >>'{begun}'\nsleep 1")
    with ThreadPoolExecutor() as pool:
        asking = [pool.submit(kafka.fetch_jars, tmp_path / "cache") for _ in range(3)]
        assert {each.result() for each in asking} == {kafka.jars_folder(tmp_path / "cache")}
    assert begun.read_text() == "fetch\n"


def test_what_the_mock_does_not_guarantee_is_said_in_one_sentence() -> None:
    assert "not guaranteed" in MOCK_NOTICE
    assert MOCK_NOTICE.count(". ") == 0


def test_the_mock_has_an_address_while_it_lives() -> None:
    with MockKafka() as mock:
        assert re.fullmatch(r"127\.0\.0\.1:\d+", mock.bootstrap)
