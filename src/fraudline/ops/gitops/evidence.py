"""Why a model may be served: what the gate, the real server and the judge said, signed, as ``evidence.json`` keeps it.

The file has one entry for each model that ``rollout.yaml`` names: ``stable`` and ``canary``. An entry is the signed
record of the promotion, and one signed record a step with the verdict that allowed it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from fraudline.core.digest import sha256_file
from fraudline.core.documents import parse_json
from fraudline.core.errors import DataError, PromotionRefused
from fraudline.core.files import read_json
from fraudline.model.artifact import MANIFEST, load_artifact
from fraudline.ops import store as stores
from fraudline.ops.gitops import signing
from fraudline.ops.gitops.state import Model, Rollout

FORMAT = 1
SHOWN = ("ap", "roc_auc", "recall_at_0.5pct", "precision_at_0.5pct", "card_precision")


@dataclass(frozen=True, slots=True)
class Signed:
    """A record with its signature."""

    record: Mapping[str, Any]
    signature: str

    @classmethod
    def make(cls, record: Mapping[str, Any], key: Path) -> Self:
        """Sign a record."""
        return cls(record, signing.sign(dict(record), key))

    def check(self, public: bytes) -> None:
        """Verify it.

        Raises:
            PromotionRefused: it was not signed with this key.
        """
        signing.check(dict(self.record), self.signature, public)


@dataclass(frozen=True, slots=True)
class Entry:
    """One model's evidence: its promotion, and its steps so far."""

    promotion: Signed
    steps: tuple[Signed, ...] = ()

    @property
    def model(self) -> Mapping[str, Any]:
        """``digest``, ``uri`` (as registered), ``served_at`` and ``manifest_sha256``."""
        found: Mapping[str, Any] = self.promotion.record["model"]
        return found

    def with_step(self, step: Signed) -> "Entry":
        """The same with one more step."""
        return replace(self, steps=(*self.steps, step))


@dataclass(frozen=True, slots=True)
class Evidence:
    """The content of ``evidence.json``."""

    stable: Entry | None = None
    canary: Entry | None = None

    @classmethod
    def parse(cls, text: str) -> "Evidence":
        """Read the file; an empty text is a file that is not there yet.

        Raises:
            PromotionRefused: it is not what :meth:`render` writes.
        """
        if not text:
            return cls()
        try:
            values = parse_json(text, "evidence.json", wrong=PromotionRefused, action="Restore the file.")
            if values["format"] != FORMAT:
                raise ValueError(f"format {values['format']!r}")
            return cls(*(_entry(values[role]) for role in ("stable", "canary")))
        except (ValueError, KeyError, TypeError) as error:
            raise PromotionRefused(f"evidence.json cannot be read: {error!r}.", "Restore the file.") from error

    def render(self) -> str:
        """The text of the file: the same evidence gives the same bytes."""
        values = {"format": FORMAT, "stable": _values(self.stable), "canary": _values(self.canary)}
        return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def promotion_record(entry: Path, digest: str, uri: str, served_at: str, against: Rollout) -> dict[str, Any]:
    """What is known of a stored model, as it will be signed. The same store gives the same record.

    Args:
        entry: folder of the stored artifact; its provenance lies beside it.
        digest: what it must be.
        uri: its registered address.
        served_at: the address that predictors load it from.
        against: what is served now.

    Raises:
        ArtifactError: the artifact is not what it says.
        DataError: it has no provenance.
    """
    artifact = load_artifact(entry, digest)
    source = stores.provenance_file(entry)
    if not source.is_file():
        raise DataError(f"{source} is missing.", "Run the package step again: it writes where a model comes from.")
    known = read_json(source)
    registration = known.get("registration") or {}
    return {
        "model": {
            "digest": digest,
            "uri": uri,
            "served_at": served_at,
            "manifest_sha256": sha256_file(entry / MANIFEST),
        },
        "replaces": against.stable.digest if against.stable else None,
        "data_md5": artifact.meta.data_md5,
        "git": known["git"],
        "packaged_at": known["packaged_at"],
        "mlflow": {key: registration.get(key, "") for key in ("model", "version", "run_id")},
        "blessing": known["blessing"],
        "infra": {k: known["infra"].get(k) for k in ("digest", "ok", "rows", "tolerance", "differences")},
        "metrics": {name: known["metrics"][name] for name in SHOWN if name in known["metrics"]},
    }


def check_promotion(record: Mapping[str, Any], *, require_clean_code: bool) -> None:
    """Hold a promotion's record against what every promotion must show.

    Raises:
        PromotionRefused: it is not blessed, not reproduced by the server, or compared with another champion.
    """
    digest, blessing, infra = record["model"]["digest"], record["blessing"], record["infra"]
    name = digest[:12]
    if blessing.get("blessed") is not True or blessing.get("model", {}).get("digest") != digest:
        raise PromotionRefused(f"The model {name} has no blessing of its own.", "Run the gate step on it.")
    if infra.get("ok") is not True or infra.get("digest") != digest:
        raise PromotionRefused(f"The real server did not prove {name}.", "Run the infra_validate step on it.")
    compared = (blessing.get("champion") or {}).get("digest")
    if compared != record["replaces"]:
        raise PromotionRefused(
            f"The gate compared {name} with {_short(compared)}, but {_short(record['replaces'])} is served.",
            "Set `champion` in params.yaml to the address of what is served, then evaluate, gate and package again.",
        )
    if require_clean_code and (record["git"].get("dirty") or record["git"].get("revision") in (None, "unknown")):
        raise PromotionRefused(
            f"The model {name} was made with code that no commit holds.", "Commit, then: dvc repro -f -s package"
        )


def step_record(rollout: Rollout, to: int, verdict: Mapping[str, Any], follows: str) -> dict[str, Any]:
    """One step of a rollout, as it will be signed; ``to`` is 100 for the last.

    ``follows`` is the commit of the state that was judged: in another rollout of the same models it is of no use.
    """
    if rollout.canary is None or rollout.stable is None:
        raise PromotionRefused("There is no rollout to move on.", "Promote a model first.")
    return {
        "canary": rollout.canary.digest,
        "stable": rollout.stable.digest,
        "from": rollout.percent,
        "to": to,
        "follows": follows,
        "verdict": dict(verdict),
    }


def model_of(entry: Entry) -> Model:
    """The model of an entry, as ``rollout.yaml`` names it."""
    return Model(str(entry.model["digest"]), str(entry.model["served_at"]))


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "nothing"


def _entry(values: Any) -> Entry | None:
    if values is None:
        return None
    return Entry(_signed(values["promotion"]), tuple(_signed(step) for step in values["steps"]))


def _signed(values: Any) -> Signed:
    return Signed(dict(values["record"]), str(values["signature"]))


def _values(entry: Entry | None) -> Any:
    if entry is None:
        return None
    return {"promotion": _shown(entry.promotion), "steps": [_shown(step) for step in entry.steps]}


def _shown(signed: Signed) -> dict[str, Any]:
    return {"record": dict(signed.record), "signature": signed.signature}
