"""``fraudline serve``: the KServe predictor on loopback."""

from pathlib import Path

import click

from fraudline.core.errors import ArtifactError
from fraudline.core.files import local_path, read_json

PACKAGE = Path("build/package/package.json")
"""Where the step ``package`` leaves the name of the newest artifact."""


def newest_artifact() -> Path:
    """The artifact that the last ``dvc repro`` packaged.

    Raises:
        ArtifactError: there is none yet.
    """
    try:
        uri: str = read_json(PACKAGE)["uri"]
    except FileNotFoundError as error:
        raise ArtifactError(f"There is no {PACKAGE}.", "Run `dvc repro` first, or name an artifact.") from error
    folder = local_path(uri)
    if not folder.is_dir():
        raise ArtifactError(
            f"{PACKAGE} names {folder}, which is not there.", "Store it again: dvc repro --force --single-item package"
        )
    return folder


PORT = click.IntRange(0, 65_535)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option("--model", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="Folder of the artifact; default: the one that the last dvc repro packaged.")  # fmt: skip
@click.option("--name", default="fraud", show_default=True, help="The model's name on the endpoint path.")
@click.option("--port", type=PORT, default=8080, show_default=True, help="HTTP: V1, V2 and CloudEvents.")
@click.option("--grpc-port", type=PORT, default=8081, show_default=True, help="V2 over gRPC; 0 turns it off.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind.")
@click.option("--expected-digest", default="", help="Refuse any other model.")
@click.option("--thresholds", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Thresholds file (`fraudline threshold`) instead of the artifact's own thresholds.")  # fmt: skip
@click.option("--tls-certificate", type=FILE, help="PEM file of the server's certificate: REST and gRPC over TLS.")
@click.option("--tls-key", type=FILE, help="PEM file of its private key.")
@click.option("--token-file", type=FILE, help="Bearer tokens, one a line; asked for everywhere but on health.")
@click.option("--public-key", type=FILE, help="PEM file of the key that must have signed the artifact.")
@click.option("--minimum-release", type=click.IntRange(min=0), default=0, help="Oldest signed release that is served.")
def command(
    model: Path | None,
    name: str,
    port: int,
    grpc_port: int,
    host: str,
    expected_digest: str,
    thresholds: Path | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
    token_file: Path | None,
    public_key: Path | None,
    minimum_release: int,
) -> None:
    r"""Serve an artifact as a KServe predictor until Ctrl-C.

    Its digest is verified before a byte of it is parsed; only then does /v2/health/ready answer 200.

    \b
    Try:
      curl -s localhost:8080/v2/models/fraud
      curl -s localhost:8080/metrics | grep fraudline_
    """
    from fraudline.serve.main import serve

    serve(
        model or newest_artifact(),
        name=name,
        http_port=port,
        grpc_port=grpc_port or None,
        expected_digest=expected_digest or None,
        host=host,
        thresholds=thresholds,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        token_file=token_file,
        public_key=public_key,
        minimum_release=minimum_release,
    )
