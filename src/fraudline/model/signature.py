"""Who made an artifact, and which release of the model it is: signed by model-signing (OpenSSF), checked here.

    model.sig       a Sigstore bundle over every other file of the folder, as ``model_signing sign key`` writes it
    release.json    {"digest": ..., "release": 20250301093000}: a number that grows; a minimum refuses older models

Both lie inside the artifact's folder, outside its digest, and travel with it. The bundle (DSSE over an in-toto
statement, ECDSA) is checked against the hashes of the very bytes that were read, so nothing can change in between; the
serving image needs no model-signing. Sigstore's keyless bundles are verified by ``model_signing verify sigstore``.
"""

import base64
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from fraudline.core.clock import now
from fraudline.core.digest import sha256_bytes
from fraudline.core.documents import parse_json
from fraudline.core.errors import ArtifactError, UsageError
from fraudline.core.files import write_json, write_text
from fraudline.core.settings import Settings

SIGNATURE = "model.sig"
RELEASE = "release.json"
BESIDE = (SIGNATURE, RELEASE)
"""Files of an artifact's folder that its digest does not cover."""
NEIGHBOUR = ".provenance.json"
"""What KServe makes of ``<digest>.provenance.json`` beside the artifact's folder in a bucket, because it fetches by the
prefix ``<digest>``. Nothing reads it."""

_PAYLOAD = "application/vnd.in-toto+json"
_PREDICATE = "https://model_signing/signature/v1.0"
_SIGN = "Sign it: fraudline artifact sign FOLDER --key KEY."


class Trust(Settings):
    """Whose artifacts are loaded.

    Attributes:
        public_key: PEM file of the ECDSA key that must have signed; empty for none.
        minimum_release: the oldest release that is loaded; 0 for any.
    """

    public_key: str = ""
    minimum_release: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _whole(self) -> "Trust":
        if self.minimum_release and not self.public_key:
            raise ValueError("minimum_release needs public_key: an unsigned number says nothing")
        return self


ANYBODY = Trust()
"""No signature is asked for: the digest alone names the model."""


def new_release() -> int:
    """The time in UTC as a number that grows: 20250301093000."""
    return int(now().strftime("%Y%m%d%H%M%S"))


def sign(folder: Path, digest: str, key: Path, release: int) -> None:
    """Write ``release.json`` and ``model.sig`` into an artifact's folder.

    Args:
        folder: a verified artifact.
        digest: its digest.
        key: PEM file of an ECDSA private key on P-256, P-384 or P-521.
        release: the number of this release.

    Raises:
        UsageError: model-signing is not installed, or the key cannot be used.
    """
    try:
        from model_signing import hashing, signing
    except ImportError as error:
        raise UsageError("model-signing is not installed.", "Install the extra: fraudline[sign].") from error
    signer = signing.Config()  # type: ignore[no-untyped-call]
    try:
        signer.use_elliptic_key_signer(private_key=key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        action = "Make one: openssl ecparam -name prime256v1 -genkey -noout -out key.pem."
        raise UsageError(f"{key} is no EC private key on P-256, P-384 or P-521.", action) from error
    hashes = hashing.Config()  # type: ignore[no-untyped-call]
    hashes.set_ignored_paths(paths=[SIGNATURE, NEIGHBOUR], ignore_git_paths=False)
    release_file = folder / RELEASE
    before = release_file.read_bytes() if release_file.is_file() else None
    write_json(release_file, {"digest": digest, "release": release})
    try:
        with tempfile.TemporaryDirectory() as scratch:
            bundle = Path(scratch) / SIGNATURE
            signer.set_hashing_config(hashes).sign(folder, bundle)
            write_text(folder / SIGNATURE, bundle.read_text(encoding="utf-8"))
    except BaseException:  # an earlier signature is good until there is another one
        if before is None:
            release_file.unlink()
        else:
            release_file.write_bytes(before)
        raise


def check(trust: Trust, digest: str, files: Mapping[str, bytes | str]) -> int:
    """Verify an artifact's signature and release.

    Args:
        trust: the key, and the oldest release.
        digest: of the artifact.
        files: every file of the folder: bytes, or the SHA-256 of bytes that were verified.

    Returns:
        The release.

    Raises:
        ArtifactError: it is not signed, not by this key, not these files, or too old a release.
        UsageError: the public key cannot be read.
    """
    if missing := [name for name in BESIDE if name not in files]:
        raise ArtifactError(f"The artifact {digest[:12]} is not signed: it has no {missing[0]}.", _SIGN)
    bundle, release = files[SIGNATURE], files[RELEASE]
    signed = _resources(_payload(_bytes(bundle), Path(trust.public_key)))
    found = {name: sha256_bytes(item) if isinstance(item, bytes) else item for name, item in files.items()}
    del found[SIGNATURE]
    if signed != found:
        differ = sorted(name for name in signed.keys() | found.keys() if signed.get(name) != found.get(name))
        raise ArtifactError(f"The signature of {digest[:12]} is of other files: {', '.join(differ[:5])}.", _SIGN)
    number = _release(_bytes(release), digest)
    if number < trust.minimum_release:
        problem = (
            f"The artifact {digest[:12]} is release {number}; the oldest that is loaded is {trust.minimum_release}."
        )
        raise ArtifactError(problem, "Serve a newer model, or lower the minimum knowingly.")
    return number


def _payload(bundle: bytes, public_key: Path) -> bytes:
    """What the key signed (DSSE, https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = _public(public_key)
    try:
        found = parse_json(bundle, SIGNATURE, wrong=ArtifactError, action=_SIGN)
        envelope = found["dsseEnvelope"]
        payload, raw = (
            base64.b64decode(x, validate=True) for x in (envelope["payload"], envelope["signatures"][0]["sig"])
        )
    except (ValueError, LookupError, TypeError) as error:
        raise ArtifactError(f"{SIGNATURE} is not a bundle of model-signing.", _SIGN) from error
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    wanted = _bundle(payload, raw, hint=sha256_bytes(pem))
    size = key.curve.key_size
    algorithm = hashes.SHA256() if size <= 256 else hashes.SHA384() if size <= 384 else hashes.SHA512()
    head = f"DSSEv1 {len(_PAYLOAD)} {_PAYLOAD} {len(payload)} ".encode()
    try:
        key.verify(raw, head + payload, ec.ECDSA(algorithm))
    except InvalidSignature:
        wanted = {}
    if found != wanted:  # a bundle is taken whole or not at all: nothing unsigned travels with it
        problem = f"{SIGNATURE} is not by the key {public_key}, or was changed."
        raise ArtifactError(problem, "Name the key whose private half signs your models.")
    return payload


def _bundle(payload: bytes, signature: bytes, hint: str) -> dict[str, Any]:
    """The bundle of these bytes, as model-signing 1.1 writes it."""
    text = [base64.b64encode(part).decode() for part in (payload, signature)]
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": text[0],
            "payloadType": _PAYLOAD,
            "signatures": [{"sig": text[1], "keyid": ""}],
        },
    }


def _resources(payload: bytes) -> dict[str, str]:
    """SHA-256 by path, of a verified statement."""
    try:
        statement = parse_json(payload, f"What {SIGNATURE} signs", wrong=ArtifactError, action=_SIGN)
        predicate = statement["predicate"]
        entries = predicate["resources"]
        kinds = {entry["algorithm"] for entry in entries}
        resources = {str(entry["name"]): str(entry["digest"]) for entry in entries}
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{SIGNATURE} holds no list of files.", _SIGN) from error
    if statement.get("predicateType") != _PREDICATE or kinds != {"sha256"} or len(resources) != len(entries):
        raise ArtifactError(f"{SIGNATURE} holds another statement than model-signing's.", _SIGN)
    return resources


def _release(content: bytes, digest: str) -> int:
    try:
        record = parse_json(content, RELEASE, wrong=ArtifactError, action=_SIGN)
        named, number = record["digest"], record["release"]
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{RELEASE} is malformed.", _SIGN) from error
    if named != digest or type(number) is not int or number < 0:
        raise ArtifactError(f"{RELEASE} is of another artifact, or holds no number.", _SIGN)
    return number


def _bytes(item: bytes | str) -> bytes:
    return item if isinstance(item, bytes) else item.encode()


def _public(path: Path) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"The public key {path} cannot be read.", "Name a PEM file.") from error
    if not isinstance(key, EllipticCurvePublicKey):
        raise UsageError(f"{path} is no ECDSA key.", "Sign and verify with a key on P-256, P-384 or P-521.")
    return key
