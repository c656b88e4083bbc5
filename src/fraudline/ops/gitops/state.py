"""What is served, as ``rollout.yaml`` says it: the stable model, and during a rollout the canary with its share.

    state = parse(text)
    render(state, service_text, text)      # the only text of that state: a file with another text was edited by hand

The file is a patch of the InferenceService: kustomize lays it over ``kserve/inferenceservice.yaml``. What else stands
below its ``spec.predictor`` (resources, identity) is kept, and the canary gets the same. The digest is an annotation of
each predictor, not of the service: KServe puts a service's annotations on the pods of all, and would restart them.
"""

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import yaml

from fraudline.core.documents import parse_yaml
from fraudline.core.errors import UsageError

ROLLOUT, EVIDENCE = "rollout.yaml", "evidence.json"
DIGEST_ANNOTATION = "fraudline/artifact-digest"
NOBODY = "0" * 64
"""Digest in the place of a model before the first promotion."""

_RESTORE = f"Restore it: git checkout the target branch's {ROLLOUT}."
_FLAG = "--expected_digest="
_HEADER = """\
# Which model is served, and during a rollout how much of the traffic the canary gets. Written by `fraudline promote`
# and `fraudline rollout step`, one commit a step; `fraudline promotion verify` refuses any other change. A predictor is
# named after its model's digest, so that promoting a canary keeps its pods.
"""


@dataclass(frozen=True, slots=True)
class Model:
    """An artifact by its digest and its immutable address."""

    digest: str
    uri: str

    @property
    def version(self) -> str:
        """The first 12 hex digits, as decisions and metrics name it."""
        return self.digest[:12]

    @property
    def predictor(self) -> str:
        """Name of its predictor: a DNS label."""
        return f"m{self.digest[:9]}"


@dataclass(frozen=True, slots=True)
class Rollout:
    """What is served. ``stable`` is None before the first promotion; ``percent`` is the canary's, 0 without one."""

    stable: Model | None
    canary: Model | None = None
    percent: int = 0

    def weights(self) -> dict[str, int]:
        """Share of the traffic by digest, per cent."""
        found = {self.stable.digest: 100 - self.percent} if self.stable else {}
        return found | ({self.canary.digest: self.percent} if self.canary else {})


def parse(text: str) -> Rollout:
    """Read ``rollout.yaml``, or an InferenceService before the first promotion.

    Raises:
        UsageError: it is not what :func:`render` writes.
    """
    try:
        spec = parse_yaml(text, ROLLOUT, action=_RESTORE)["spec"]
        stable = _model(spec["predictor"])
        rollout = Rollout(None if stable.digest == NOBODY else stable)
        entries = spec.get("canary") or []
        if len(entries) > 1:
            raise ValueError("more than one canary")
        for entry in entries:
            percent = entry["trafficPercent"]
            if type(percent) is not int or not 0 < percent < 100:
                raise ValueError("trafficPercent is no whole number from 1 to 99")
            rollout = replace(rollout, canary=_model(entry["predictor"]), percent=percent)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(f"{ROLLOUT} cannot be read: {error}.", _RESTORE) from error
    return rollout


def render(rollout: Rollout, service: str, previous: str = "") -> str:
    """The text of ``rollout.yaml``.

    Args:
        rollout: what is served.
        service: text of the InferenceService that is patched.
        previous: text of the file so far; empty when there is none.
    """
    base = yaml.safe_load(service)
    old = yaml.safe_load(previous) if previous else {}
    kept = {k: v for k, v in (old.get("spec", {}).get("predictor") or {}).items() if k not in ("name", "model")}
    model = dict(old.get("spec", {}).get("predictor", {}).get("model") or {})
    stable = rollout.stable or Model(NOBODY, _model(base["spec"]["predictor"]).uri)
    document: dict[str, Any] = {
        "apiVersion": base["apiVersion"],
        "kind": base["kind"],
        "metadata": {"name": base["metadata"]["name"]},
        "spec": {"predictor": _predictor({**kept, "model": model}, stable)},
    }
    if rollout.canary is not None:
        whole = {**base["spec"]["predictor"], **kept, "model": {**base["spec"]["predictor"]["model"], **model}}
        entry = {"trafficPercent": rollout.percent, "predictor": _predictor(whole, rollout.canary)}
        document["spec"]["canary"] = [entry]
    return _HEADER + yaml.dump(document, Dumper=_Plain, sort_keys=False, width=200)


def _predictor(values: dict[str, Any], model: Model) -> dict[str, Any]:
    values = deepcopy(values)
    settings = values.pop("model")
    args = [a for a in settings.get("args", []) if not a.startswith(_FLAG)]
    settings |= {"storageUri": model.uri, "args": [*args, f"{_FLAG}{model.digest}"]}
    values.pop("name", None)
    annotations = {**values.pop("annotations", {}), DIGEST_ANNOTATION: model.digest}
    return {"name": model.predictor, "annotations": annotations, **values, "model": settings}


def _model(predictor: dict[str, Any]) -> Model:
    model = predictor["model"]
    digests = [argument.removeprefix(_FLAG) for argument in model["args"] if argument.startswith(_FLAG)]
    if len(digests) != 1 or len(digests[0]) != len(NOBODY) or not set(digests[0]) <= set("0123456789abcdef"):
        raise ValueError(f"{_FLAG} names no digest")
    uri, name = model["storageUri"], predictor.get("name")
    if not isinstance(uri, str) or not isinstance(name, str | None):
        raise TypeError("name and storageUri are no texts")
    found = Model(digests[0], uri)
    if not found.uri.rstrip("/").endswith(found.digest):
        raise ValueError("storageUri does not end in the digest")
    if found.digest != NOBODY and name not in (None, found.predictor):
        raise ValueError(f"the predictor is named {name}, not {found.predictor}")
    if (predictor.get("annotations") or {}).get(DIGEST_ANNOTATION, found.digest) != found.digest:
        raise ValueError(f"{DIGEST_ANNOTATION} names another model than the predictor")
    return found


class _Plain(yaml.SafeDumper):
    """YAML without anchors, list items indented."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)
