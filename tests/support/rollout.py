"""A canary at the first step, and metrics that a test writes minute by minute, beside a bare Git remote."""

from datetime import UTC, datetime

import numpy as np

from fraudline.ops.gitops.verify import verify
from fraudline.ops.local.scraper import LocalScraper, Samples
from fraudline.steps.rollout import Sources, judge_rollout, step_rollout
from tests.support.gitops import git

JUDGE = {"min_rows": 400, "min_minutes": 5, "inconclusive_minutes": 600}
EDGES = ("0.001", "0.0025", "0.005", "0.01", "+Inf")


class Case:
    """A canary at the first step, and metrics that a test writes minute by minute."""

    def __init__(self, forge, first, second):
        self.forge, self.first, self.second = forge, first, second
        self.samples = Samples()
        self.rng = np.random.default_rng(5)
        self.counters = {}
        self.labels = {}
        self.now = float(git(forge.remote, "log", "-1", "--format=%ct", "main"))  # when the canary was merged

    def minutes(self, count, *, errors=0.0, alerts=0.02, slow=1.0, constant=False, blocks=0.0, dead=False):
        """Traffic of some minutes; the canary's share follows the state on main, and a dead one answers nothing."""
        weights = self.forge.state().weights()
        for _ in range(count):
            self.now += 60
            for entry, bad in ((self.first, False), (self.second, True)):
                if bad and dead:
                    continue
                n = round(20 * weights.get(entry.name, 0))
                given = (errors, alerts, slow, constant, blocks) if bad else (0.0, 0.02, 1.0, False, 0.0)
                self._minute(entry.name[:12], n, *given)

    def _minute(self, version, n, errors, alerts, slow, constant, blocks):
        failed = self.rng.binomial(n, errors)
        seconds = self.rng.lognormal(np.log(0.002 * slow), 0.4, n)
        bands = np.bincount(self.rng.choice(4, n, p=[0, 1, 0, 0] if constant else [0.5, 0.4, 0.09, 0.01]), minlength=4)
        grown = {("score_seconds_count", ""): n, ("failed_total", ""): failed, ("rows_total", ""): n - failed}
        grown |= {("reviews_total", ""): self.rng.binomial(n, alerts)}
        grown |= {("blocks_total", ""): self.rng.binomial(n, blocks)}
        grown |= {("score_seconds_bucket", e): int((seconds <= float(e)).sum()) for e in EDGES}
        grown |= {("score_band_total", str(band)): int(count) for band, count in enumerate(bands)}
        for (name, label), value in grown.items():
            key = (version, name, label)
            self.counters[key] = self.counters.get(key, 0) + value
            kind = "le" if name.endswith("bucket") else "band"
            labels = {"version": version, "model": "fraud", **self.labels} | ({kind: label} if label else {})
            self.samples.add(self.now, f"fraudline_predictor_{name}", labels, self.counters[key])

    def call(self, function, scraper, **more):
        """Judge or step at the present of the story."""
        given = {"to": "production", "params": self.forge.params, "repo": self.forge.work}
        given |= {"sources": Sources(scraper.url), "now": datetime.fromtimestamp(self.now + 1, UTC)}
        return function(**given | more)

    def judge(self, **more):
        with LocalScraper({}, samples=self.samples) as scraper:
            return self.call(judge_rollout, scraper, **more)

    def step(self, **more):
        with LocalScraper({}, samples=self.samples) as scraper:
            return self.call(step_rollout, scraper, **{"key": self.forge.key} | more)

    def merge(self, branch):
        """Merge as a person does at the present of the story; CI has verified it."""
        git(self.forge.work, "fetch", "-q", "origin")
        assert verify(self.forge.work, "origin/main", f"origin/{branch}")
        self.forge.merge(branch)
