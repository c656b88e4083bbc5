"""``fraudline artifact``: look into a model artifact, sign it, verify it."""

import json
from pathlib import Path
from typing import Any

import click

from fraudline.cli.options import json_option
from fraudline.core.files import read_json
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.model.signature import RELEASE, SIGNATURE, Trust, new_release
from fraudline.model.signature import sign as sign_folder

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
digest_option = click.option("--expected-digest", default="", help="Refuse any other model.")


@click.group()
def group() -> None:
    r"""Look into a model artifact, sign it, verify it.

    \b
    Example:
      openssl ecparam -name prime256v1 -genkey -noout -out key.pem && openssl ec -in key.pem -pubout -out key.pub
      fraudline artifact sign artifacts/0f3c... --key key.pem
      fraudline artifact verify artifacts/0f3c... --public-key key.pub
      fraudline serve --model artifacts/0f3c... --public-key key.pub
    """


@group.command()
@click.argument("folder", type=_FOLDER)
@json_option
def inspect(folder: Path, as_json: bool) -> None:
    """Say what an artifact is, after every byte of it was verified; nothing of it is run."""
    found = described(load_artifact(folder))
    if as_json:
        click.echo(json.dumps(found))
        return
    inputs = found.pop("inputs")
    for name, value in found.items():
        click.echo(f"{name:<14} {', '.join(value) if isinstance(value, list) else value}")
    click.echo(f"{'inputs':<14} {len(inputs)}")
    for each in inputs:
        click.echo(f"  {each['name']:<28} {each['unit']}")


@group.command()
@click.argument("folder", type=_FOLDER)
@click.option("--key", required=True, type=_FILE, help="PEM file of an ECDSA private key (P-256, P-384, P-521).")
@click.option("--release", type=click.IntRange(min=1), help="A number that grows; default: the time, 20250301093000.")
@digest_option
@json_option
def sign(folder: Path, key: Path, release: int | None, expected_digest: str, as_json: bool) -> None:
    """Verify an artifact and sign it with model-signing: model.sig and release.json come into its folder.

    The digest stays what it is. `model_signing verify key FOLDER --signature FOLDER/model.sig --public_key PUB` agrees.
    """
    artifact = load_artifact(folder, expected_digest or None)
    number = release or new_release()
    sign_folder(folder, artifact.digest, key, number)
    _say(artifact, number, "signed", as_json)


@group.command()
@click.argument("folder", type=_FOLDER)
@click.option("--public-key", type=_FILE, help="PEM file of the key that must have signed; without: the digest alone.")
@click.option("--minimum-release", type=click.IntRange(min=0), default=0, help="The oldest release that is accepted.")
@digest_option
@json_option
def verify(folder: Path, public_key: Path | None, minimum_release: int, expected_digest: str, as_json: bool) -> None:
    """Verify an artifact as the server does before it loads one; exit code 5 where it is not what it says."""
    trust = Trust.parse({"public_key": str(public_key or ""), "minimum_release": minimum_release}, "the command line")
    artifact = load_artifact(folder, expected_digest or None, trust)
    number = read_json(folder / RELEASE)["release"] if trust.public_key else 0
    _say(artifact, number, "verified", as_json)


def described(artifact: Artifact) -> dict[str, Any]:
    """What an artifact is; ``inputs`` are its features in the order in which it takes them."""
    meta = artifact.meta
    return {
        "digest": artifact.digest,
        "version": artifact.version,
        "name": meta.name,
        "kind": str(meta.architecture.get("kind", "")),
        "formats": list(meta.formats),
        "reasons": meta.reasons,
        "data_md5": meta.data_md5,
        "trained_from": str(meta.trained_on.start),
        "trained_until": str(meta.trained_on.end),
        "trained_rows": meta.trained_on.rows,
        "seed": meta.params.get("seed"),
        "review": artifact.thresholds.review,
        "block": artifact.thresholds.block,
        "bytes": sum(map(len, artifact.content.values())),
        "signed": (artifact.path / SIGNATURE).is_file(),
        "inputs": [{"name": feature.name, "unit": feature.unit} for feature in artifact.spec.features],
    }


def _say(artifact: Artifact, release: int, what: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"digest": artifact.digest, "release": release, "outcome": what}))
    else:
        click.echo(f"{what} {artifact.digest}" + (f", release {release}" if release else ""))
