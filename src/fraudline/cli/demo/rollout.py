"""The rollout on a laptop: a bare Git repository as the forge, predictors behind Envoy with the weights it commits.

Three models are served: a champion, a good challenger and a bad one. They are copies of one packaged artifact with
other thresholds, so that nothing is trained: the good one's differ by a hair, the bad one alerts twice as often.
Their blessings are the gate's, given for the champion's figures.
"""

import itertools
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fraudline.core.clock import now
from fraudline.core.files import read_json, write_json, write_text
from fraudline.model.artifact import load_artifact, write_manifest
from fraudline.model.golden import read_golden
from fraudline.model.thresholds import Thresholds
from fraudline.ops import gate as rules
from fraudline.ops import store as stores
from fraudline.ops.gitops.forge import PlainGit
from fraudline.ops.gitops.forge_api import PullRequest
from fraudline.ops.gitops.proposal import standing
from fraudline.ops.gitops.repository import Clone, git
from fraudline.ops.gitops.signing import make_keys
from fraudline.ops.gitops.state import Rollout
from fraudline.ops.gitops.verify import Verified, verify
from fraudline.ops.local.envoy import LocalEnvoy
from fraudline.ops.local.predictor import LocalPredictor
from fraudline.ops.local.prometheus import Scraping, local_prometheus
from fraudline.ops.params import RegistryParams
from fraudline.steps.params import Params
from fraudline.steps.promote import promote
from fraudline.steps.rollout import Sources, step_rollout
from fraudline.stream import v2

ROLES = ("champion", "good", "bad")
RULES: dict[str, Any] = {
    "require_clean_code": False,
    "steps": [10, 25, 50],
    "judge": {
        "stratum_s": 2,
        "min_rows": 300,
        "min_minutes": 0.1,
        "checks": {
            "errors": {"margin": 2.0, "floor": 0.02},
            "latency": {"margin": 6.0, "role": "watch"},
            "alerts": {"margin": 2.0, "both_sides": True},
        },
    },
}
"""A compressed clock: strata of two seconds, six seconds a step at least; wide margins, because seconds are few.

Latency decides nothing: all share two cores, and a canary of one request in ten has colder caches than its champion.
"""

_PERSON = ["-c", "user.name=a person", "-c", "user.email=person@localhost", "-c", "commit.gpgsign=false"]
_ROWS = 4
Say = Callable[[str], None]


@dataclass
class Stage:
    """Everything that runs: predictors, Envoy, Prometheus, traffic, and the remote that says what is served."""

    folder: Path
    models: dict[str, Path]
    envoy: LocalEnvoy
    prometheus: Scraping
    key: Path
    weights: list[dict[str, int]] = field(default_factory=list)

    @property
    def remote(self) -> Path:
        """The forge."""
        return self.folder / "remote.git"

    @property
    def params(self) -> Params:
        """What the repository says, without a registry."""
        params = Params.load(self.folder / "work" / "params.yaml")
        return params.model_copy(update={"registry": RegistryParams(tracking_uri="")})

    def follow(self) -> Rollout:
        """What a cluster's GitOps controller does: read the branch, and make it so."""
        with Clone.of(str(self.remote), "main") as clone:
            state = standing(clone, self.params.rollout.environments["production"]).rollout
        shares = state.weights()
        weights = {role: shares.get(entry.name, 0) for role, entry in self.models.items()}
        if weights != self.envoy.weights:
            self.envoy.set_weights(weights)
        self.weights.append(weights)
        return state

    def merge(self, branch: str, revision: str) -> list[Verified]:
        """What CI and a person do: verify the proposal, then merge it."""
        with Clone.of(str(self.remote), "main") as clone:
            clone.remote_branch(branch)
            found = verify(clone.folder, "origin/main", revision, models=self.folder / "store")
            PlainGit(clone).merge(PullRequest(branch), revision)
        return found

    def history(self) -> list[str]:
        """The story so far: the first line of every change of main, newest last."""
        said = git(self.remote, "log", "--reverse", "--first-parent", "--format=%b", "main")
        return [line for line in said.splitlines() if line]


def tell(stage: Stage, say: Say) -> None:
    """Champion, then a good canary to the end, then a bad one and back.

    Args:
        stage: what runs.
        say: takes each line of the story.
    """
    _promote(stage, "champion", say)
    for role in ("good", "bad"):
        _promote(stage, role, say)
        while True:
            result = _step(stage)
            if result["action"] == "none":
                break
            if "branch" not in result:
                time.sleep(1)
                continue
            verdict = result["verdict"]
            say(f"{verdict['verdict']} after {verdict['rows']:,} rows: {verdict['reason']}")
            _land(stage, result, say)


def _promote(stage: Stage, role: str, say: Say) -> None:
    entry = stage.models[role]
    say(f"\nthe {role} model {entry.name[:12]}")
    result = promote(to="production", key=stage.key, params=stage.params, repo=stage.folder / "work", artifact=entry)
    _land(stage, result, say)


def _step(stage: Stage) -> dict[str, Any]:
    return step_rollout(
        to="production",
        key=stage.key,
        params=stage.params,
        repo=stage.folder / "work",
        sources=Sources(stage.prometheus.url),
        now=now(),
    )


def _land(stage: Stage, result: dict[str, Any], say: Say) -> None:
    (found,) = stage.merge(result["branch"], result["revision"])
    state = stage.follow()
    shares = ", ".join(f"{digest[:12]} {share} %" for digest, share in state.weights().items())
    say(f"  {result['title']}\n  verified ({found.kind}), merged; Envoy: {shares}")


@contextmanager
def staged(source: Path, folder: Path, service: Path) -> Iterator[Stage]:
    """Start everything; stop everything at the end, also after an error or Ctrl-C.

    Args:
        source: a packaged artifact.
        folder: everything that the demo leaves; replaced.
        service: the InferenceService of this repository.
    """
    shutil.rmtree(folder, ignore_errors=True)
    models = _models(source, folder)
    key = folder / "promotion.key"
    make_repository(folder, service, key, RULES)
    with ExitStack() as stack:
        predictors = {
            role: LocalPredictor(entry, label=role, expected_digest=entry.name, log_path=folder / f"{role}.log")
            for role, entry in models.items()
        }
        for predictor in predictors.values():  # they come up together
            stack.callback(predictor.stop)
            predictor.start()
        for predictor in predictors.values():
            predictor.wait_ready()
        ports = {role: predictor.http_port for role, predictor in predictors.items()}
        weights = {"champion": 100, "good": 0, "bad": 0}
        envoy = stack.enter_context(LocalEnvoy([(role, ports[role], weights[role]) for role in ROLES]))
        scraping = stack.enter_context(local_prometheus(ports, folder / "prometheus"))
        stack.enter_context(_traffic(envoy.url, models["champion"]))
        yield Stage(folder, models, envoy, scraping, key)


def _models(source: Path, folder: Path) -> dict[str, Path]:
    """Copies of one artifact with other thresholds, in a store with what a promotion asks for."""
    artifact = load_artifact(source)
    scores = read_golden(artifact.table("golden.parquet"), artifact.spec.names)[1].score
    review = float(np.quantile(scores, 0.8))
    thresholds = {"champion": review, "good": review * (1 + 1e-6), "bad": float(np.quantile(scores, 0.55))}
    found: dict[str, Path] = {}
    for role in ROLES:
        made = folder / "made" / role
        shutil.copytree(source, made, copy_function=shutil.copyfile)
        meta = read_json(made / "model.json")
        chosen = Thresholds.of(thresholds[role], float(scores.max()) + 1, {"name": "fixed"})
        meta["thresholds"] = chosen.model_dump(mode="json")
        write_json(made / "model.json", meta)
        write_manifest(made)
        entry = stores.put(made, folder / "store")
        replaces = {"champion": None, "good": found.get("champion"), "bad": found.get("good")}[role]
        write_json(stores.provenance_file(entry), _provenance(entry.name, replaces.name if replaces else None))
        found[role] = entry
    return found


def _provenance(digest: str, champion: str | None) -> dict[str, Any]:
    metrics = {"ap": 0.61, "roc_auc": 0.93, "recall_at_0.5pct": 0.52}
    results = rules.judge(metrics, rules.GateParams(rules=rules.DEFAULT_RULES[:3]))
    return {
        "git": {"revision": "0" * 40, "dirty": False},
        "packaged_at": now().replace(microsecond=0).isoformat(),
        "metrics": metrics,
        "blessing": rules.blessing(results, digest=digest, champion=champion, evaluation_sha256="0" * 64),
        "infra": {"digest": digest, "ok": True, "rows": 64, "tolerance": 1e-5, "differences": {"v2": 0.0}},
        "registration": None,
    }


def make_repository(folder: Path, service: Path, key: Path, rules: Mapping[str, Any]) -> None:
    """A bare remote with the rules, the key and the InferenceService, and a person's clone of it.

    Args:
        folder: gets ``remote.git`` and ``work``.
        service: the InferenceService.
        key: where the private key goes.
        rules: the section ``rollout``.
    """
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "--bare", "-b", "main", "remote.git")
    git(work, "init", "-q", "-b", "main")
    make_keys(key, work / "manifests" / "promotion.pub")
    write_text(work / "kserve" / "inferenceservice.yaml", service.read_text(encoding="utf-8"))
    write_text(work / "params.yaml", 'champion: ""\n' + yaml.safe_dump({"rollout": dict(rules)}))
    git(work, "remote", "add", "origin", str((folder / "remote.git").resolve()))
    git(work, "add", "-A")
    git(work, *_PERSON, "commit", "-q", "-m", "rules, key and service")
    git(work, "push", "-q", "origin", "HEAD:main")


@contextmanager
def _traffic(url: str, model: Path) -> Iterator[None]:
    """Requests with rows of the golden set, drawn anew, until the end of the block."""
    import httpx

    artifact = load_artifact(model)
    features = read_golden(artifact.table("golden.parquet"), artifact.spec.names)[0]
    rng = np.random.default_rng(7)
    draws = rng.integers(0, len(features), (2_000, _ROWS))
    bodies = [v2.request(features[rows], binary=True) for rows in draws]
    stop = threading.Event()

    def send() -> None:
        with httpx.Client(base_url=url, timeout=10) as client:
            for headers, body in itertools.cycle(bodies):
                if stop.is_set():
                    return
                try:
                    client.post("/v2/models/fraud/infer", content=body, headers=headers)
                except httpx.HTTPError:
                    time.sleep(0.1)  # the proxy is being stopped, or a predictor answers late

    thread = threading.Thread(target=send, name="traffic", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
