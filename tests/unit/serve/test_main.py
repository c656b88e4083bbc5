"""The command line of the serving container."""

from pathlib import Path

import pytest

from fraudline.core.errors import UsageError
from fraudline.serve.main import _parser, local_path, main


def test_kserves_argument_names_and_dashes_are_both_known() -> None:
    kserve = _parser().parse_args(["--model_dir", "m", "--model_name", "a", "--http_port", "1", "--grpc_port", "2"])
    dashes = _parser().parse_args(["--model-dir", "m", "--model-name", "a", "--http-port", "1", "--grpc-port", "2"])
    assert kserve == dashes


@pytest.mark.parametrize("location", ["/mnt/models", "file:///mnt/models"])
def test_a_path_and_a_file_address_are_the_same_folder(location: str) -> None:
    assert local_path(location) == Path("/mnt/models")


def test_a_remote_address_is_refused_with_what_fetches_it() -> None:
    with pytest.raises(UsageError, match="storageUri"):
        local_path("s3://models/abc")


def test_whether_grpc_is_served_must_be_true_or_false(capsys: pytest.CaptureFixture[str]) -> None:
    assert _parser().parse_args(["--model_dir", "m", "--enable_grpc", "False"]).enable_grpc is False
    with pytest.raises(SystemExit):
        _parser().parse_args(["--model_dir", "m", "--enable_grpc", "maybe"])
    assert "neither true nor false" in capsys.readouterr().err


def test_an_address_that_cannot_be_served_ends_with_the_errors_exit_code() -> None:
    assert main(["--model_dir", "s3://models/abc"]) == UsageError.exit_code
