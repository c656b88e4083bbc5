"""A year day by day: traffic is scored, labels arrive, a look a week, rollouts judged daily, each by the real code."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from fraudline.cli.demo.rollout import make_repository
from fraudline.cli.simulate.world import Change, World
from fraudline.core.clock import DAY_US, clock_at, from_us, now
from fraudline.core.digest import sha256_bytes
from fraudline.core.errors import FraudlineError, GateFailed
from fraudline.core.files import local_path, write_json
from fraudline.data.store import write_dataset
from fraudline.decide.policy import DECISIONS, decide
from fraudline.features.spec import FeatureSpec
from fraudline.model.artifact import load_artifact
from fraudline.model.scorer import Scorer
from fraudline.monitor.renewal import Signs
from fraudline.ops.gitops.forge import PlainGit
from fraudline.ops.gitops.forge_api import PullRequest
from fraudline.ops.gitops.proposal import standing
from fraudline.ops.gitops.repository import Clone, git
from fraudline.ops.gitops.verify import verify
from fraudline.ops.local.scraper import LocalScraper, Samples
from fraudline.steps.drift import drift
from fraudline.steps.evaluate import evaluate
from fraudline.steps.featurize import features_table
from fraudline.steps.gate import gate
from fraudline.steps.package import package
from fraudline.steps.params import Params
from fraudline.steps.promote import promote
from fraudline.steps.retrain import retrain
from fraudline.steps.retrain_journal import JOURNAL, read_journal
from fraudline.steps.rollout import Sources, step_rollout
from fraudline.steps.screen import screened
from fraudline.steps.train import train


@dataclass
class Noted:
    """Something that happened, for the picture and the document."""

    day: int
    what: str
    text: str


@dataclass
class Models:
    """Scorers by digest, loaded once."""

    store: Path
    _known: dict[str, Scorer] = field(default_factory=dict)

    def __getitem__(self, digest: str) -> Scorer:
        if digest not in self._known:
            self._known[digest] = Scorer(load_artifact(self.store / digest, digest))
        return self._known[digest]


class Year:
    """The loop.

    Args:
        world: the traffic.
        changes: what happens to it.
        params: of every step.
        spec: the features.
        folder: everything that it leaves.
        service: the InferenceService of this repository.
        tell: takes each event as it happens.
    """

    def __init__(
        self,
        world: World,
        changes: tuple[Change, ...],
        params: Params,
        spec: FeatureSpec,
        folder: Path,
        service: Path,
        tell: Callable[[Noted], object] = lambda _: None,
    ) -> None:
        self.world, self.changes, self.spec, self.folder, self._tell = world, changes, spec, folder, tell
        self.models = Models(folder / "store")
        self.key = folder / "promotion.key"
        self.notes: list[Noted] = []
        self.champion = self.canary = ""
        self.percent = 0
        self._params = params
        self._samples = Samples()
        self._counters: dict[tuple[str, str, str], float] = {}
        self._scraper = LocalScraper({}, samples=self._samples)
        self._excluded = np.zeros(len(world.times), bool)
        self._trained_until = 0
        self._evaluation: Path | None = None
        self._champion_score = np.full(len(world.times), np.nan, np.float32)
        self._decided_by = np.full(len(world.times), "", object)
        self._arrived = self._labels()
        self._careless = False
        make_repository(folder, service, self.key, params.rollout.model_dump(mode="json", exclude_defaults=True))

    @property
    def params(self) -> Params:
        """What the repository's branch says, with the champion that it names."""
        text = git(self.folder / "remote.git", "show", "main:params.yaml")
        return self._params.model_copy(update={"champion": str(yaml.safe_load(text)["champion"])})

    def run(self, days: int) -> None:
        """All days; the first model is there on the first morning."""
        with self._scraper:
            with clock_at(self._moment(0)):
                self._look(-1, "the first model")
            first = self.champion
            for day in range(days):
                with clock_at(self._moment(day + 1)):
                    self._traffic(day)
                    if self.canary:
                        self._judge(day)
                    self._announce(day)
                    if (day + 1) % 7 == 0:
                        self._look(day)
            self.first = first

    def weekly_recall(self, rate: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Frauds among the share ``rate`` of each day that scores highest, by week: with renewal and without."""
        own = self._found(self._champion_score, rate)
        inside = self.world.days >= 0
        static = np.full(len(own), np.nan, np.float32)
        static[inside] = self.models[self.first].only_scores(self.world.features[inside])
        return self._by_week(own), self._by_week(self._found(static, rate))

    def _found(self, scores: NDArray[np.float32], rate: float) -> NDArray[np.bool_]:
        """(n,) whether a row is among the highest of its day."""
        found = np.zeros(len(scores), bool)
        for day in range(int(self.world.days.max()) + 1):
            rows = np.flatnonzero(self.world.days == day)
            top = int(np.ceil(rate * len(rows)))
            found[rows[np.argsort(-scores[rows], kind="stable")[:top]]] = True
        return found

    def _by_week(self, found: NDArray[np.bool_]) -> NDArray[np.float64]:
        asked = self.world.fraud & ~self.world.poison & (self.world.days >= 0)
        week = self.world.days[asked] // 7
        return np.bincount(week, found[asked]) / np.maximum(np.bincount(week), 1)

    def _moment(self, day: int) -> datetime:
        return from_us(self.world.start_us) + timedelta(days=day)

    def _note(self, day: int, what: str, text: str) -> None:
        self.notes.append(Noted(day, what, text))
        self._tell(self.notes[-1])

    def _announce(self, day: int) -> None:
        for change in self.changes:
            if change.day == day:
                self._note(day, change.kind, change.name)

    def _traffic(self, day: int) -> None:
        """A day's rows go to the champion, a share of them to the canary; counters count."""
        rows = np.flatnonzero(self.world.days == day)
        features = self.world.features[rows]
        self._champion_score[rows] = scores = self.models[self.champion].only_scores(features)
        self._decided_by[rows] = self.champion[:12]
        if not self.canary:
            return
        ids = self.world.transactions["transaction_id"].take(pa.array(rows)).to_pylist()
        there = np.array([int(sha256_bytes(each.encode())[:8], 16) % 100 < self.percent for each in ids])
        self._decided_by[rows[there]] = self.canary[:12]
        self._count(self.champion, scores[~there])
        self._count(self.canary, self.models[self.canary].only_scores(features[there]))

    def _count(self, digest: str, scores: NDArray[np.float32]) -> None:
        """What the predictor of a model would say on /metrics at midnight."""
        decision = decide(scores, self.models[digest].artifact.thresholds)
        figures = {"rows_total": len(scores), "score_seconds_count": len(scores), "failed_total": 0}
        figures |= {"reviews_total": int((decision == 1).sum()), "blocks_total": int((decision == 2).sum())}
        for name, value in figures.items():
            key = (digest[:12], name, "")
            self._counters[key] = self._counters.get(key, 0.0) + value
            self._samples.add(
                now().timestamp(), f"fraudline_predictor_{name}", {"version": digest[:12]}, self._counters[key]
            )

    def _judge(self, day: int) -> None:
        """The judge looks; what it proposes is verified and merged."""
        result = step_rollout(
            to="production",
            key=self.key,
            params=self.params,
            repo=self.folder / "work",
            sources=Sources(self._scraper.url),
            now=now(),
        )
        if "branch" not in result:
            return
        self._merge(result["branch"], result["revision"])
        verdict, canary = result["verdict"], self.canary
        self._follow()
        if verdict["verdict"] == "failed":
            self._note(day, "rollback", f"{canary[:8]} taken back: {verdict['reason']}")
        elif not self.canary:
            self._evaluation = self.folder / "runs" / canary / "evaluation" / "metrics.json"
            self._note(day, "champion", f"{canary[:8]} is champion")

    def _look(self, day: int, asked: str = "") -> None:
        """Drift, matured labels, triggers; a run where they ask for it."""
        careless = [c.name for c in self.changes if c.kind == "candidate" and c.day <= day < c.day + 7]
        if careless:
            asked, self._careless = careless[0], True
        signs = self._signs(day + 1)
        result = retrain(
            folder=self.folder,
            signs=signs,
            params=self.params.renew,
            now=now(),
            trainer=self,
            propose=self._propose,
            asked=asked,
        )
        self._careless = False
        if result["action"] == "refused":
            self._note(day, "refused", f"{result['reason']}: {result['problem']}")
        elif result["action"] == "proposed" and day >= 0:
            self._note(day, "retrained", f"{result['reason']}")

    def _signs(self, day: int) -> Signs:
        """What is known on the morning of a day."""
        until = self._until(day)
        data = sha256_bytes(f"{until} {int(self._excluded.sum())}".encode())
        careless = "careless" if self._careless else ""
        if not self.champion:
            return Signs(data=data)
        report = self.folder / "drift"
        window = self._window(day)
        result = drift(
            decisions=window,
            model=self.models.store / self.champion,
            report=report,
            params=self.params,
            days=7,
            labels=self.folder / "window",
            evaluation=self._evaluation,
        )
        return Signs(
            data=data,
            params=careless,
            champion=self.champion[:12],
            drifted=tuple(result["drifted"]),
            worse=tuple(result["worse"]),
        )

    def _window(self, day: int) -> Path:
        """The champion's decisions of four weeks, and their data set with the labels that arrived."""
        mine = (self.world.days >= day - 28) & (self.world.days < day) & (self._decided_by == self.champion[:12])
        rows = np.flatnonzero(mine)
        transactions = self.world.transactions.take(pa.array(rows))
        ids = transactions["transaction_id"]
        labels = self._arrived.filter(pc.is_in(self._arrived["transaction_id"], ids.combine_chunks()))
        labels = labels.filter(pc.less(labels["label_time"], pa.scalar(self._moment(day), labels["label_time"].type)))
        write_dataset(self.folder / "window", transactions, labels, {"name": "window"})
        features = {name: self.world.features[rows, k] for k, name in enumerate(self.spec.names)}
        scores = self._champion_score[rows]
        outcome = decide(scores, self.models[self.champion].artifact.thresholds)
        table = pa.table(
            {
                "transaction_id": ids,
                "event_time": self.world.times[rows],
                "score": scores,
                "decision": pa.array([DECISIONS[index] for index in outcome.tolist()]),
                "model_version": [self.champion[:12]] * len(rows),
                **features,
            }
        )
        path = self.folder / "decisions.parquet"
        pq.write_table(table, path)
        return path

    def _until(self, day: int) -> int:
        """The first day whose labels have not matured."""
        return day - self._params.label_delay_days

    def _labels(self) -> pa.Table:
        return self.world.labels

    def holds(self, run: str) -> bool:
        """Never: a training ends within its day."""
        return False

    def train(self, run: str, lock: int) -> Mapping[str, Any]:
        """Collect, screen, train, evaluate, gate, package: see :class:`fraudline.steps.retrain.Trainer`."""
        day = (now() - self._moment(0)).days
        until, weeks = self._until(day), self._params.renew.window_weeks
        inside = (self.world.days >= until - 7 * weeks) & (self.world.days < until) & ~self._excluded
        rows = np.flatnonzero(inside)
        transactions = self.world.transactions.take(pa.array(rows))
        moment = pa.scalar(now(), self._arrived["label_time"].type)
        labels = self._arrived.filter(pc.less(self._arrived["label_time"], moment))
        table = features_table(transactions, self.world.features[rows], self.spec, labels)
        place = self.folder / "made"
        shutil.rmtree(place, ignore_errors=True)
        self._screen(rows, table)
        (place / "features").mkdir(parents=True)
        pq.write_table(table, place / "features" / "features.parquet")
        write_json(place / "dataset" / "fetch.json", {"md5": sha256_bytes(f"{until}".encode())[:32]})
        params = self.params
        if self._careless:
            policy = params.threshold.model_copy(update={"review_rate": 0.16, "block_rate": 0.04})
            params = params.model_copy(update={"threshold": policy})
        train(features=place / "features", dataset=place / "dataset", model=place / "model", params=params)
        given = {"model": place / "model", "evaluation": place / "evaluation"}
        evaluate(features=place / "features", dataset=place / "dataset", **given, params=params)
        gate(**given, blessing=place / "blessing", params=params)
        digest = load_artifact(place / "model").digest
        write_json(place / "infra" / "infra.json", {"digest": digest, "ok": True, "rows": 0, "tolerance": 0.0,
                                                    "differences": {}})  # fmt: skip
        packed = package(
            **given, blessing=place / "blessing", infra=place / "infra", package=place / "package",
            store=self.models.store, params=params,
        )  # fmt: skip
        shutil.copytree(place / "evaluation", self.folder / "runs" / digest / "evaluation", dirs_exist_ok=True)
        self._trained_until = until
        return {"state": "trained", "digest": packed["digest"], "uri": packed["uri"]}

    def _screen(self, rows: NDArray[np.int64], table: pa.Table) -> None:
        """The poisoning gate; what it refuses is left out from then on."""
        if not self.champion:
            return
        days = self.world.times[rows] // DAY_US
        since = self.world.start_us // DAY_US + self._trained_until
        cards = table["card_id"].to_numpy(zero_copy_only=False)
        frauds = table["is_fraud"].to_numpy(zero_copy_only=False)
        try:
            screened(self.world.features[rows], frauds, cards, days, days >= since, self._params)
        except GateFailed as refused:
            named = [word for word in refused.problem.replace(",", " ").split() if word.startswith("c0")]
            self._excluded[rows[(days >= since) & np.isin(cards, named)]] = True
            raise

    def _propose(self, noted: Mapping[str, Any]) -> Mapping[str, Any]:
        """The pull request, merged by a person after verification."""
        entry = local_path(noted["uri"])
        result = promote(to="production", key=self.key, params=self.params, repo=self.folder / "work", artifact=entry)
        if result["branch"]:
            self._merge(result["branch"], result["revision"])
            self._follow()
        return result

    def _merge(self, branch: str, revision: str) -> None:
        with Clone.of(str(self.folder / "remote.git"), "main") as clone:
            clone.remote_branch(branch)
            verify(clone.folder, "origin/main", revision, models=self.models.store)
            if not PlainGit(clone).merge(PullRequest(branch), revision):
                raise FraudlineError(f"{branch} does not merge.")

    def _follow(self) -> None:
        """What a GitOps controller does: serve what the branch says."""
        with Clone.of(str(self.folder / "remote.git"), "main") as clone:
            state = standing(clone, self._params.rollout.environments["production"]).rollout
        self.champion = state.stable.digest if state.stable else ""
        self.canary = state.canary.digest if state.canary else ""
        self.percent = state.percent
        if self._evaluation is None:
            self._evaluation = self.folder / "runs" / self.champion / "evaluation" / "metrics.json"

    def duplicates(self) -> int:
        """Runs that began twice, and merges that were made twice."""
        begun = [line["run"] for line in read_journal(self.folder / JOURNAL) if line.get("state") == "begun"]
        merged = git(self.folder / "remote.git", "log", "--first-parent", "--format=%s", "main").splitlines()
        return len(begun) - len(set(begun)) + len(merged) - len(set(merged))
