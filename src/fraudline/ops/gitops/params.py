"""Parameters of promotion and rollout: the section ``rollout`` of ``params.yaml``.

Whoever verifies a pull request reads them, and the key, from the branch that it is to be merged into.
"""

from pathlib import PurePosixPath
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from fraudline.core.settings import Settings
from fraudline.monitor.canary import JudgeParams


class Environment(Settings):
    """One place where models are served, as one folder of one branch."""

    branch: str = "main"
    """Branch that the cluster follows; pull requests are made against it."""

    overlay: str = "manifests/overlays/standard"
    """Folder that holds ``rollout.yaml`` and ``evidence.json``."""

    service: str = "kserve/inferenceservice.yaml"
    """The InferenceService that ``rollout.yaml`` patches."""

    series: str = ""
    """Labels of its predictors' series, where Prometheus has other environments', too: ``namespace="fraud"``."""

    @field_validator("overlay", "service")
    @classmethod
    def _as_git_writes_it(cls, path: str) -> str:
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or not parts.parts:
            raise ValueError("it is a path in the repository")
        return str(parts)


class CommitParams(Settings):
    """Whose the commits of promotions, rollouts and data are."""

    name: str = Field("fraudline", pattern=r"^[^<>\n]+$")
    """Author and committer."""

    email: str = Field("fraudline@localhost", pattern=r"^[^<>\s]+$")
    """Their address; a forge that shows signed commits as verified knows it, and the key."""

    sign: bool = False
    """Sign commits as Git is set up to (``gpg.format``, ``user.signingkey``), where ``main`` takes no others."""


class ForgeParams(Settings):
    """Where pull requests are opened."""

    kind: Literal["git", "github", "gitlab", "gitea"] = "git"
    """``git`` is a plain remote: the branch is pushed and the text is printed. ``gitea`` is Forgejo, too."""

    remote: str = "origin"
    """Name or address of the Git remote."""

    project: str = ""
    """``owner/name`` on the forge."""

    api: str = ""
    """Base address of the forge's API; empty means the public one of its kind. Gitea has none:
    ``https://git.example.org/api/v1``."""

    auto_merge: bool = False
    """Whether a step of a rollout merges itself; a promotion never does."""

    commits: CommitParams = CommitParams()

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.kind != "git" and not self.project:
            raise ValueError("project is needed to open pull requests")
        if self.kind == "gitea" and not self.api:
            raise ValueError("api is needed for gitea: there is no public one")
        return self


class RolloutParams(Settings):
    """How a blessed challenger becomes champion."""

    environments: dict[str, Environment] = Field(default={"production": Environment()}, min_length=1)
    """What ``--to`` can name."""

    steps: tuple[int, ...] = (10, 25, 50)
    """Per cent of the traffic that the canary gets, one pull request each; then it is promoted."""

    models_at: str = ""
    """Address under which predictors find models by digest, for example ``pvc://fraudline-models``; empty means the
    address that is registered."""

    public_key: str = "manifests/promotion.pub"
    """File with the keys that evidence and verdicts are verified with, on the target branch: one of them must fit."""

    require_clean_code: bool = True
    """Refuse a model that was made with uncommitted changes."""

    forge: ForgeParams = ForgeParams()
    judge: JudgeParams = JudgeParams()

    @field_validator("steps")
    @classmethod
    def _rising(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if not steps or list(steps) != sorted(set(steps)) or steps[0] < 1 or steps[-1] > 99:
            raise ValueError("steps rise, from 1 to 99 per cent")
        return steps
