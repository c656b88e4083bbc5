"""`fraudline retrain` killed at random points, again and again: one run, one pull request.

    python -m tests.loop.kills --kills 100

Each trial is a data version with a Git remote, a dvc pipeline and a packaged model of its own. The command is killed
(SIGKILL to it alone, or to it and its children) after a random time, five times; then two run at once to the end.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from fraudline.core.files import write_json, write_text
from fraudline.steps.promote import promote
from fraudline.steps.retrain_journal import JOURNAL, read_journal
from tests.support.gitops import Forge, git

KILLS_A_TRIAL = 5
LONGEST_S = 300
_MD5 = "0" * 31


class Trial:
    """One cause."""

    def __init__(self, begun: Forge, model: Path, folder: Path) -> None:
        self.forge = begun.copied(folder)
        work = self.forge.work
        (work / ".dvc").mkdir()
        write_text(work / ".dvc" / "config", "[core]\n    analytics = false\n    no_scm = true\n")
        write_text(work / "data.dvc", f"outs:\n- md5: {_MD5}1.dir\n  nfiles: 1\n  path: data\n")
        stage = {
            "cmd": f"{sys.executable} train.py",
            "deps": ["prepared.json"],
            "outs": [{"build/package": {"cache": False}}],
        }
        write_text(work / "dvc.yaml", yaml.safe_dump({"stages": {"train": stage}}))
        shutil.copy(Path(__file__).with_name("kill_trainer.py"), work / "train.py")
        write_json(work / "prepared.json", {"digest": model.name, "uri": model.as_uri()})
        rules = yaml.safe_load((work / "params.yaml").read_text())
        write_text(work / "params.yaml", yaml.safe_dump({**rules, "renew": {"schedule_days": 0, "on_data": True}}))

    def start(self) -> "subprocess.Popen[bytes]":
        """The command, in a session of its own."""
        command = [sys.executable, "-m", "fraudline.cli.main", "retrain", "--if-needed", "--key", str(self.forge.key)]
        return subprocess.Popen(
            command, cwd=self.forge.work, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def killed(self, seconds: float, *, children: bool) -> bool:
        """Start it and kill it after a time; whether it was still there to be killed."""
        process = self.start()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL) if children else process.kill()
        process.communicate()
        return process.returncode == -signal.SIGKILL

    def finish(self) -> None:
        """Two at once, until one of them says that it is done or that nothing is to do."""
        begun = time.monotonic()
        while time.monotonic() - begun < LONGEST_S:
            both = [self.start(), self.start()]
            said = [process.communicate()[1].decode() for process in both]
            if any(process.returncode for process in both):
                raise AssertionError("\n".join(said))
            if self.states()[-1:] == ["proposed"]:
                return
            time.sleep(0.2)
        raise AssertionError("it did not come to an end")

    def states(self) -> list[str]:
        """Of the journal."""
        return [line["state"] for line in read_journal(self.forge.work / "renewal" / JOURNAL) if "state" in line]

    def duplicates(self, before: set[str]) -> dict[str, int]:
        """Runs, pull requests and commits that there are more than one of."""
        states, made = self.states(), self.forge.branches() - before
        commits = sum(int(git(self.forge.remote, "rev-list", "--count", f"main..{branch}")) for branch in made)
        return {
            "runs": states.count("begun") - 1,
            "requests": len(made) - 1,
            "commits": commits - 1,
            "notes": states.count("trained") + states.count("proposed") - 2,
        }


def run(kills: int, seed: int) -> dict[str, Any]:
    """Kill it so often; see the module."""
    rng = random.Random(seed)
    done: dict[str, Any] = {"kills": 0, "trials": 0, "at": {}, "duplicates": {}}
    with tempfile.TemporaryDirectory(prefix="fraudline-kills-") as name:
        folder = Path(name)
        begun = Forge(folder / "begun")
        first = begun.model(1)
        given = {"to": "production", "key": begun.key, "params": begun.params, "repo": begun.work}
        begun.merge(promote(**given, artifact=first)["branch"])
        model = begun.model(2, champion=first.name)
        before, longest = begun.branches(), 4.0
        while done["kills"] < kills:
            trial = Trial(begun, model, folder / f"trial-{done['trials']}")
            for _ in range(min(KILLS_A_TRIAL, kills - done["kills"])):
                hit = trial.killed(rng.uniform(0.3, 1.0) * longest, children=rng.random() < 0.5)
                if not hit:  # it came to its end first, or found another at work
                    longest *= 0.8
                    break
                done["kills"] += 1
                at = (trial.states() or ["before a run"])[-1]
                done["at"][at] = done["at"].get(at, 0) + 1
                longest *= 1.25 if at == "before a run" else 1.0
            trial.finish()
            for what, count in trial.duplicates(before).items():
                done["duplicates"][what] = done["duplicates"].get(what, 0) + count
            done["trials"] += 1
            shutil.rmtree(trial.forge.folder)
    return done


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    done = run(arguments.kills, arguments.seed)
    sys.stdout.write(json.dumps(done) + "\n")
    return int(any(done["duplicates"].values()))


if __name__ == "__main__":
    sys.exit(main())
