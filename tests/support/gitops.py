"""A bare Git remote with what promotion needs, and models in a store: a forge without a network."""

import copy
import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fraudline.core.files import read_json, write_json
from fraudline.ops import store as stores
from fraudline.ops.gitops.signing import make_keys
from fraudline.ops.gitops.state import Rollout, parse
from fraudline.ops.params import RegistryParams
from fraudline.steps.package import package
from fraudline.steps.params import Params
from tests.support.packaging import candidate

ROOT = Path(__file__).parents[2]
OVERLAY = "manifests/overlays/standard"
ROLLOUT, EVIDENCE = f"{OVERLAY}/rollout.yaml", f"{OVERLAY}/evidence.json"
REVISION = "ab" * 20


def git(folder: Path, *arguments: str) -> str:
    """Run git as a person named in the arguments."""
    who = ["-c", "user.name=a person", "-c", "user.email=person@example.invalid", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@dataclass
class Forge:
    """A bare remote, a person's clone of it, a store, and a key."""

    folder: Path
    rules: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.remote, self.work, self.store = (self.folder / name for name in ("remote.git", "work", "store"))
        self.key = self.folder / "promotion.key"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(self.remote)], check=True)
        subprocess.run(["git", "clone", "-q", str(self.remote), str(self.work)], check=True, capture_output=True)
        make_keys(self.key, self.work / "manifests" / "promotion.pub")
        (self.work / "kserve").mkdir()
        shutil.copy(ROOT / "kserve" / "inferenceservice.yaml", self.work / "kserve")
        self.rules = {"require_clean_code": False, "steps": [10, 25, 50], **self.rules}
        text = 'seed: 1   # a comment\nchampion: ""   # the deployed one\n'
        (self.work / "params.yaml").write_text(text + yaml.safe_dump({"rollout": self.rules}))
        git(self.work, "checkout", "-q", "-B", "main")
        self.land("first")

    def copied(self, folder: Path) -> "Forge":
        """The same remote and clone in another folder; the store is shared, because evidence names its address."""
        other = copy.copy(self)
        other.folder, other.remote, other.work = folder, folder / "remote.git", folder / "work"
        shutil.copytree(self.remote, other.remote)
        shutil.copytree(self.work, other.work)
        git(other.work, "remote", "set-url", "origin", str(other.remote))
        return other

    @property
    def params(self) -> Params:
        """As the file in the clone says, without a registry."""
        params = Params.load(self.work / "params.yaml")
        return params.model_copy(update={"registry": RegistryParams(tracking_uri="")})

    def land(self, message: str) -> None:
        """Commit everything in the person's clone and push it to main."""
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "-m", message)
        git(self.work, "push", "-q", "origin", "HEAD:main")

    def model(self, seed: int, champion: str | None = None) -> Path:
        """A packaged model that the gate compared with ``champion``; the folder in the store."""
        found = candidate(self.folder / f"made-{seed}", seed)
        record = read_json(found.blessing / "blessing.json")
        write_json(found.blessing / "blessing.json", record | {"champion": {"digest": champion} if champion else None})
        package(**found.inputs(), package=self.folder / f"packed-{seed}", store=self.store, params=Params())
        entry = self.store / found.digest
        provenance = stores.provenance_file(entry)
        write_json(provenance, read_json(provenance) | {"git": {"revision": REVISION, "dirty": False}})
        return entry

    def merge(self, branch: str) -> str:
        """Merge a branch of the remote as a person does; the new revision of main."""
        self.pull()
        git(self.work, "fetch", "-q", "origin", branch)
        git(self.work, "merge", "-q", "--no-ff", "-m", f"Merge {branch}", "FETCH_HEAD")
        git(self.work, "push", "-q", "origin", "HEAD:main")
        return git(self.work, "rev-parse", "HEAD")

    def pull(self) -> None:
        """Bring the person's clone to the remote's main."""
        git(self.work, "fetch", "-q", "origin")
        git(self.work, "checkout", "-q", "-B", "main", "origin/main")

    def state(self, revision: str = "main") -> Rollout:
        """What a revision of the remote serves."""
        return parse(git(self.remote, "show", f"{revision}:{ROLLOUT}"))

    def evidence(self, revision: str = "main") -> dict[str, Any]:
        """``evidence.json`` of a revision of the remote."""
        found: dict[str, Any] = json.loads(git(self.remote, "show", f"{revision}:{EVIDENCE}"))
        return found

    def branches(self) -> set[str]:
        """Branches of the remote but main."""
        return set(git(self.remote, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()) - {"main"}
