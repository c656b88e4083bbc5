"""The command line of the serving container."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from fraudline.cli.serve import command
from fraudline.core.errors import ArtifactError, UsageError
from fraudline.serve.main import _parser, main
from tests.support.artifacts import tiny_artifact


def test_kserves_argument_names_and_dashes_are_both_known() -> None:
    kserve = _parser().parse_args(["--model_dir", "m", "--model_name", "a", "--http_port", "1", "--grpc_port", "2"])
    dashes = _parser().parse_args(["--model-dir", "m", "--model-name", "a", "--http-port", "1", "--grpc-port", "2"])
    assert kserve == dashes


def test_whether_grpc_is_served_must_be_true_or_false(capsys: pytest.CaptureFixture[str]) -> None:
    assert _parser().parse_args(["--model_dir", "m", "--enable_grpc", "False"]).enable_grpc is False
    with pytest.raises(SystemExit):
        _parser().parse_args(["--model_dir", "m", "--enable_grpc", "maybe"])
    assert "neither true nor false" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["99999", "-1", "x", "²"])
@pytest.mark.parametrize("option", ["--http-port", "--grpc-port"])
def test_what_is_no_port_is_refused(option: str, port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _parser().parse_args(["--model_dir", "m", f"{option}={port}"])
    assert "is no port" in capsys.readouterr().err
    assert CliRunner().invoke(command, [f"{option.replace('http-', '')}={port}"]).exit_code == UsageError.exit_code


@pytest.fixture(autouse=True)
def _no_logging_setup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fraudline.serve.main.configure", lambda **_: None)


@pytest.mark.parametrize(
    ("given", "port"),
    [([], 8081), (["--grpc_port", "9"], 9), (["--grpc_port", "0"], None), (["--enable_grpc", "false"], None)],
)
def test_grpc_is_served_unless_it_has_no_port_or_is_switched_off(
    monkeypatch: pytest.MonkeyPatch, given: list[str], port: int | None
) -> None:
    served: dict[str, object] = {}
    monkeypatch.setattr("fraudline.serve.main.serve", lambda _, **options: served.update(options))
    assert main(["--model_dir", "m", *given]) == 0
    assert served["grpc_port"] == port


def test_an_address_that_cannot_be_served_ends_with_the_errors_exit_code() -> None:
    assert main(["--model_dir", "s3://models/abc"]) == UsageError.exit_code


def test_a_model_other_than_the_expected_one_ends_with_exit_code_5_and_the_reason(tmp_path: Path) -> None:
    folder = tiny_artifact(tmp_path / "model")
    with capture_logs() as events:
        assert main(["--model_dir", str(folder), "--expected_digest", "0" * 64]) == ArtifactError.exit_code
    assert events[-1]["event"] == "serve.failed"
    assert "000000000000 was asked for" in events[-1]["problem"]
