"""Start the predictor: ``python -m fraudline.serve``."""

import argparse
import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from fraudline.core.errors import FraudlineError
from fraudline.core.files import local_path
from fraudline.core.lineage import LineageParams, model_thing, open_lineage
from fraudline.core.log import configure, get_logger
from fraudline.core.tracing import ENVIRONMENT, TracingParams, open_tracing

log = get_logger(__name__)

DEFAULT_NAME = "fraud"


def serve(
    model_dir: Path,
    *,
    name: str = DEFAULT_NAME,
    http_port: int = 8080,
    grpc_port: int | None = 8081,
    expected_digest: str | None = None,
    host: str = "127.0.0.1",
    thresholds: Path | None = None,
    gather: bool = True,
    tls_certificate: Path | None = None,
    tls_key: Path | None = None,
    token_file: Path | None = None,
    public_key: Path | None = None,
    minimum_release: int = 0,
) -> None:
    """Verify an artifact and serve it until SIGTERM or SIGINT. One process; scale by replicas.

    Spans of requests go to the address that the environment names, if it names one.

    Args:
        model_dir: the artifact's folder.
        name: the model's name on the endpoint path.
        http_port: port of V1, V2 and CloudEvents.
        grpc_port: port of V2 over gRPC; None: no gRPC.
        expected_digest: refuse any other model.
        host: address to bind.
        thresholds: a thresholds file whose newest line holds, instead of the artifact's own.
        gather: score requests that arrive together in one call.
        tls_certificate: PEM file of the server's certificate; None for plain connections.
        tls_key: PEM file of its private key.
        token_file: bearer tokens, one a line; None to ask for none.
        public_key: PEM file of the key that must have signed the artifact; None for any.
        minimum_release: the oldest signed release that is served.

    Raises:
        UsageError: a certificate, a key or the tokens cannot be read, or an address cannot be had.
        ArtifactError: the artifact is not what it says.
        StateError: the thresholds file was changed by hand, or is of another model.
    """
    from fraudline.model.signature import Trust
    from fraudline.serve.access import Access
    from fraudline.serve.model import FraudModel
    from fraudline.serve.server import Predictor

    # KServe answers with a response class that FastAPI deprecates: nothing that who runs the server can change
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
    access = Access(tls_certificate, tls_key, token_file)
    signed = {"public_key": str(public_key or ""), "minimum_release": minimum_release}
    trust = Trust.parse(signed, "the command line")
    model = FraudModel(
        name, model_dir, expected_digest=expected_digest, thresholds=thresholds, gather=gather, trust=trust
    )
    model.load()
    lineage = open_lineage(LineageParams(), os.environ)
    spans = open_tracing(TracingParams(endpoint=os.environ.get(ENVIRONMENT, "")), "fraudline-predictor")
    server = Predictor(host=host, http_port=http_port, grpc_port=grpc_port, access=access, tracing=spans)
    # KServe, whose constructor sets up its logs, writes a line a request, and a trace for each refusal; refusals are
    # logged here, once, without one
    for noisy in ("kserve", "kserve.trace", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        with lineage.run("predictor", kind="STREAMING", inputs=[model_thing(model_dir, model.digest)]):
            server.start([model])
    finally:
        if spans is not None:
            spans.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of the ServingRuntime's container: KServe's argument names.

    Returns:
        The exit code: 0, or that of the error.
    """
    options = _parser().parse_args(arguments)
    configure(level=options.log_level, as_json=options.log_json)
    try:
        serve(
            local_path(options.model_dir),
            name=options.model_name,
            http_port=options.http_port,
            grpc_port=options.grpc_port or None if options.enable_grpc else None,
            expected_digest=options.expected_digest or None,
            host=options.host,
            gather=options.gather,
            thresholds=_file(options.thresholds),
            tls_certificate=_file(options.tls_certificate),
            tls_key=_file(options.tls_key),
            token_file=_file(options.token_file),
            public_key=_file(options.public_key),
            minimum_release=options.minimum_release,
        )
    except FraudlineError as error:
        log.error("serve.failed", error=type(error).__name__, problem=error.problem, action=error.action)
        return error.exit_code
    return 0


def _file(value: str) -> Path | None:
    return Path(value) if value else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fraudline.serve", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--model_dir", "--model-dir", required=True, help="folder of the artifact")
    add("--model_name", "--model-name", default=DEFAULT_NAME, help="name on the endpoint path")
    add("--http_port", "--http-port", type=_port, default=8080, help="port of V1, V2 and CloudEvents")
    add("--grpc_port", "--grpc-port", type=_port, default=8081, help="port of V2 over gRPC; 0: no gRPC")
    add("--enable_grpc", "--enable-grpc", type=_boolean, default=True, help="true or false")
    add("--expected_digest", "--expected-digest", default="", help="refuse any other model")
    add("--thresholds", default="", help="thresholds file instead of the artifact's own thresholds")
    add("--gather", type=_boolean, default=True, help="true: score requests that arrive together in one call")
    add("--tls_certificate", "--tls-certificate", default="", help="PEM file of the server's certificate")
    add("--tls_key", "--tls-key", default="", help="PEM file of its private key")
    add("--token_file", "--token-file", default="", help="bearer tokens, one a line; needed on all but health")
    add("--public_key", "--public-key", default="", help="PEM file of the key that must have signed the artifact")
    add("--minimum_release", "--minimum-release", type=int, default=0, help="oldest signed release that is served")
    add("--host", default="0.0.0.0", help="address to bind")  # noqa: S104  # a container's port is its interface
    add("--log_level", "--log-level", default="info", choices=("debug", "info", "warning", "error"))
    add("--log_json", "--log-json", action="store_true", help="one JSON object a line")
    return parser


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 6 and int(text) <= 65_535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")


def _boolean(text: str) -> bool:
    if text.lower() in ("true", "1", "yes"):
        return True
    if text.lower() in ("false", "0", "no"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
