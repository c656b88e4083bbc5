"""The model card inside the artifact: only what follows from data, parameters and seed, so that it is reproducible."""

from fraudline.features.spec import FeatureSpec
from fraudline.model.artifact import ModelMeta


def card(meta: ModelMeta, spec: FeatureSpec) -> str:
    """The card as Markdown: no time, no run, no machine."""
    members = meta.architecture["members"]
    networks = "\n".join(
        f"- {len(spec.names)} – {' – '.join(map(str, units))} – {len(spec.names)}" for units in members
    )
    features = "\n".join(
        f"| {f.name} | {f.unit} | {f.window} | {'upper' if f.tail == 'upper' else ''} | {f.meaning} |"
        for f in spec.features
    )
    policy = ", ".join(f"{name} {value}" for name, value in meta.thresholds.policy.items())
    return f"""# {meta.name}

An ensemble of {len(members)} autoencoders scores card transactions; a high score is anomalous. The residuals of a
typical normal transaction give 1, and each doubling of their distance from normal adds 1; a value that is rarely so
large among normals adds the tail weight for each decade of its rarity.

## Intended use

To rank transactions for review, and to block the rarest. It does not say why a customer acted, and it must not be the
only ground for a decision about a person: every decision carries its reasons for the reviewer.

## Training

- data md5: `{meta.data_md5}`
- known normals of {meta.trained_on.start} to {meta.trained_on.end} (end excluded): {meta.trained_on.rows} rows; no
  fraud is a training target, and only labels that had arrived are used
- networks (ELU, linear output):
{networks}
- score: {meta.architecture["score"]}
- seed: {meta.params.get("seed")}

## Thresholds

- review at {meta.thresholds.review:.6g}, block at {meta.thresholds.block:.6g} (version `{meta.thresholds.version}`)
- policy: {policy}

## Reasons

Each feature's contribution is exact: the contributions of a transaction sum to its score. `expected` is the networks'
reconstruction; as far as the rarity of a large value makes the contribution, it is drawn to
the training centre.

## Limits

- Known frauds are left out of training by their labels: unreported fraud is learned as normal.
- The scores are of the population trained on. Check drift against `reference/` and train again.
- A flag that is constant in training contributes nothing until it changes.

## Features (specification `{spec.version}`)

| feature | unit | window | tail | meaning |
|---|---|---|---|---|
{features}
"""
