"""The model card inside the artifact: only what follows from data, parameters and seed, so that it is reproducible."""

from collections.abc import Mapping
from typing import Any

from fraudline.features.spec import FeatureSpec
from fraudline.features.table import TableSpec
from fraudline.model.artifact import ModelMeta

_AUTOENCODERS = """An ensemble of {count} scores {rows}; a high score is anomalous. The score is a sum in decades of
rarity, each part with its weight: of the surprises (how rare so large a value or such a pair of values is), joined
close to the rarest of them, and of the residuals of each family of autoencoders. One known normal in 1,000 reaches 3 in
a part that is looked at alone; a whole score of 3 is far less rare, because it joins many."""

_TREES = """{count} decision trees ({kind}), learned from known frauds and known normals, score {rows}; a
high score is like fraud. The score is in {score}."""

_EXACT = """Each feature's contribution is exact: the contributions of a transaction sum to its score. `expected` is the
networks' reconstruction; as far as the rarity of a large value makes the contribution, it is drawn to the training
centre."""

_SHAPLEY = """Each feature's contribution is its Shapley value over the trees (TreeSHAP, path-dependent): the
contributions of a transaction sum to its score. `expected` is {expected}."""

_UNLABELLED = """- Known frauds are left out of training by their labels: unreported fraud is learned as normal.
- The scores are of the population trained on. Check drift against `reference/` and train again.
- A flag that is constant in training contributes nothing until it changes."""

_LABELLED = """- It knows the kinds of fraud that were reported while it was trained: a new kind may pass unseen.
- Unreported fraud is learned as normal.
- The scores are of the population trained on. Check drift against `reference/` and train again."""


def card(meta: ModelMeta, spec: FeatureSpec | TableSpec) -> str:
    """The card as Markdown: no time, no run, no machine."""
    rows = f"rows of the table {spec.name}" if isinstance(spec, TableSpec) else "card transactions"
    about, trained, reasons, limits = _words(meta.architecture, len(spec.names), rows)
    features = "\n".join(
        f"| {f.name} | {f.unit} | {f.window} | {'upper' if f.tail == 'upper' else ''} | {f.meaning} |"
        for f in spec.features
    )
    policy = ", ".join(f"{name} {value}" for name, value in meta.thresholds.policy.items())
    return f"""# {meta.name}

{about}

## Intended use

To rank transactions for review, and to block the rarest. It does not say why a customer acted, and it must not be the
only ground for a decision about a person: every decision carries its reasons for the reviewer.

## Training

- data md5: `{meta.data_md5}`
- days {meta.trained_on.start} to {meta.trained_on.end} (end excluded): {meta.trained_on.rows} rows
{trained}
- score: {meta.architecture["score"]}
- seed: {meta.params.get("seed")}

## Thresholds

- review at {meta.thresholds.review:.6g}, block at {meta.thresholds.block:.6g} (version `{meta.thresholds.version}`)
- policy: {policy}

## Reasons

{reasons}

## Limits

{limits}

## Features (specification `{spec.version}`)

| feature | unit | window | tail | meaning |
|---|---|---|---|---|
{features}
"""


def _words(architecture: Mapping[str, Any], width: int, rows: str) -> tuple[str, str, str, str]:
    """What the card says of the model, its training, its reasons and its limits."""
    if "members" in architecture:
        networks = _networks(architecture, width)
        target = "- known normals only; no fraud is a training target, and only labels that had arrived are used"
        return (
            _AUTOENCODERS.format(count=counted(architecture), rows=rows),
            f"{target}\n{networks}",
            _EXACT,
            _UNLABELLED,
        )
    about = _TREES.format(
        rows=rows, count=architecture["trees"], kind=architecture["kind"], score=architecture["score"]
    )
    trained = "- known normals and known frauds; only labels that had arrived are used"
    if architecture.get("autoencoder"):
        about += " The trees also see the score and the contributions of the autoencoders named below."
        trained += "\n" + _networks(architecture["autoencoder"], width)
    return about, trained, _SHAPLEY.format(expected=expected_is(architecture)), _LABELLED


def expected_is(architecture: Mapping[str, Any]) -> str:
    """What the expected values of a model are, whose architecture ``model.json`` gives."""
    networks = "members" in architecture or architecture.get("autoencoder")
    return "the networks' reconstruction" if networks else "the normals' median"


def counted(architecture: Mapping[str, Any]) -> str:
    """How many autoencoders the architecture of ``model.json`` has, of which inputs, in words."""
    members, on_surprises = len(architecture["members"]), len(architecture.get("on_surprises", ()))
    return f"{members} autoencoders" + (f" on the features and {on_surprises} on the surprises" if on_surprises else "")


def _networks(architecture: Mapping[str, Any], width: int) -> str:
    kind, surprises = architecture.get("networks", "dense"), len(architecture.get("surprises", ()))
    lines = []
    for inputs, ends, members in (("features", width, "members"), ("surprises", surprises, "on_surprises")):
        units = [" – ".join(map(str, [ends, *member, ends])) for member in architecture.get(members, ())]
        lines += (
            [f"- {kind} networks on the {inputs} (ELU, linear output):", *(f"  - {u}" for u in units)] if units else []
        )
    return "\n".join(lines)
