"""Verification of a promotion: the honest one passes, and each way of tampering with it is named."""

import json
import os
import sys
from copy import copy
from datetime import UTC, datetime

import pytest
import yaml
from click.testing import CliRunner
from pydantic import ValidationError

from fraudline.cli.main import cli
from fraudline.core.errors import FraudlineError, PromotionRefused, UnavailableError, UsageError
from fraudline.ops.gitops.evidence import Evidence, Signed
from fraudline.ops.gitops.forge import PlainGit
from fraudline.ops.gitops.params import Environment
from fraudline.ops.gitops.proposal import standing, step, submit, with_champion
from fraudline.ops.gitops.repository import Clone, read_at
from fraudline.ops.gitops.signing import make_keys
from fraudline.ops.gitops.state import Model, Rollout, parse, render
from fraudline.ops.gitops.verify import rules_at, verify
from fraudline.steps.promote import apply_served, promote, remote_params
from tests.support.gitops import EVIDENCE, ROLLOUT, Forge, git

GOOD = {"verdict": "successful", "reason": "all is well.", "rows": 900, "minutes": 12, "checks": [], "at": ""}


def verdict(word="successful"):
    return GOOD | {"verdict": word, "at": datetime(2026, 3, 1, tzinfo=UTC).isoformat()}


class Case:
    """A forge with a champion and an open promotion of a challenger."""

    def __init__(self, folder, **rules):
        self.forge = Forge(folder, rules)
        self.first = self.forge.model(1)
        self.forge.merge(self.promote(self.first))
        self.second = self.forge.model(2, champion=self.first.name)
        self.branch = self.promote(self.second)
        git(self.forge.work, "fetch", "-q", "origin")

    def promote(self, entry):
        forge = self.forge
        result = promote(to="production", key=forge.key, params=forge.params, repo=forge.work, artifact=entry)
        return result["branch"]

    def checkout(self, branch=""):
        git(self.forge.work, "fetch", "-q", "origin")
        git(self.forge.work, "checkout", "-q", "-B", "proposal", f"origin/{branch or self.branch}")

    def verify(self, head="proposal"):
        return verify(self.forge.work, "origin/main", head)

    def edit(self, path, change):
        file = self.forge.work / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(change(file.read_text() if file.exists() else ""))
        git(self.forge.work, "add", "-A")
        git(self.forge.work, "commit", "-q", "-m", "by hand")

    def step(self, word="successful"):
        rules = self.forge.params.rollout
        with Clone.of(str(self.forge.remote), "main") as clone:
            held = standing(clone, rules.environments["production"])
            proposal = step(held, verdict(word), "production", rules, self.forge.key)
            return submit(clone, proposal, PlainGit(clone)).request.branch


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    return Case(tmp_path_factory.mktemp("begun"))


@pytest.fixture
def case(begun, tmp_path):
    made = copy(begun)
    made.forge = begun.forge.copied(tmp_path)
    made.checkout()
    return made


@pytest.fixture
def rolling(case):
    """The promotion is merged: the canary has its first traffic."""
    case.forge.merge(case.branch)
    git(case.forge.work, "fetch", "-q", "origin")
    git(case.forge.work, "checkout", "-q", "-B", "proposal", "origin/main")
    return case


def record(change):
    def edit(text):
        values = json.loads(text)
        change(values)
        return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    return edit


def sign_anew(values, key, change=lambda _: None):
    """Change the record of the canary's promotion, and sign it with a key."""
    signed = values["canary"]["promotion"]
    change(signed["record"])
    signed["signature"] = Signed.make(signed["record"], key).signature


def test_an_honest_promotion_passes_and_is_described(case):
    (result,) = case.verify()
    assert result.kind == "promote"
    assert result.said.endswith(f"{case.first.name[:12]} with {case.second.name[:12]} at 10 %")


def test_a_change_that_serves_nothing_new_is_nobodys_business(case):
    git(case.forge.work, "checkout", "-q", "-B", "proposal", "origin/main")
    case.edit("README.md", lambda _: "hello")
    assert case.verify() == []


@pytest.mark.parametrize("overlay", ["manifests/overlays/köln", "./manifests/overlays/standard", "manifests//prod/"])
def test_a_change_is_looked_at_however_its_folder_is_written(tmp_path, overlay):
    forge = Forge(tmp_path, {"environments": {"production": {"overlay": overlay}}})
    entry = forge.model(1)
    branch = promote(to="production", key=forge.key, params=forge.params, repo=forge.work, artifact=entry)["branch"]
    git(forge.work, "fetch", "-q", "origin")
    (result,) = verify(forge.work, "origin/main", f"origin/{branch}")
    assert result.kind == "promote"


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "- a\n- list\n", "rollout: 2026-02-30\n", "rollout: [1\n"],
    ids=["deep", "list", "date", "cut"],
)
def test_a_file_that_is_no_such_file_is_named_and_no_traceback(tmp_path, text):
    forge = Forge(tmp_path)
    (forge.work / "params.yaml").write_text(text)
    forge.land("broken")
    with pytest.raises(UsageError, match=r"params\.yaml"):
        rules_at(forge.work, "main")
    with pytest.raises(UsageError, match=r"params\.yaml"):
        remote_params(str(forge.remote))
    with pytest.raises(UsageError, match=r"rollout\.yaml"):
        parse(text)
    with pytest.raises(PromotionRefused, match=r"evidence\.json"):
        Evidence.parse(text)


def test_a_file_that_git_cannot_read_is_no_missing_one(tmp_path):
    forge = Forge(tmp_path)
    assert read_at(forge.work, "main", "nowhere/params.yaml") == ""
    with pytest.raises(UnavailableError, match="ls-tree"):
        rules_at(forge.work, "no-such-revision")
    blob = git(forge.work, "rev-parse", "main:params.yaml")
    (forge.work / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(UnavailableError, match="show"):
        rules_at(forge.work, "main")  # not the rules of a repository without environments, which let all pass


def test_a_proposal_leaves_every_other_byte_of_the_parameters(tmp_path):
    forge = Forge(tmp_path)
    parameters = forge.work / "params.yaml"
    parameters.write_bytes(parameters.read_bytes().replace(b"\n", b"\r\n"))
    forge.land("from another editor")
    with Clone.of(str(forge.remote), "main") as clone:
        text = clone.read("params.yaml")
    assert text.encode() == parameters.read_bytes()
    assert with_champion(text, "file:///m") == text.replace('champion: ""', 'champion: "file:///m"')


@pytest.mark.parametrize("overlay", ["/srv/overlays", "../overlays", ""])
def test_a_folder_that_is_not_in_the_repository_is_refused(overlay):
    with pytest.raises(ValidationError, match="a path in the repository"):
        Environment(overlay=overlay)


@pytest.mark.parametrize(
    ("path", "change", "said"),
    [
        (ROLLOUT, lambda t: t.replace("trafficPercent: 10", "trafficPercent: 50"), "begins at 10 %, not at 50 %"),
        (ROLLOUT, lambda t: t.replace("protocolVersion: v2", "protocolVersion: v1"), "more than the change of models"),
        (ROLLOUT, lambda t: t.replace("runtime: fraudline", "runtime: other"), "more than the change of models"),
        (ROLLOUT, lambda t: t + "# a comment\n", "more than the change of models"),
        (EVIDENCE, record(lambda v: v["canary"]["promotion"]["record"]["metrics"].update(ap=0.99)), "signature"),
        (EVIDENCE, record(lambda v: v["canary"]["promotion"]["record"]["blessing"].update(failed=0)), "signature"),
        (EVIDENCE, record(lambda v: v.update(canary=None)), "disagree on whether there is a canary"),
        (EVIDENCE, record(lambda v: v.update(stable=None)), "champion's evidence was changed"),
        (EVIDENCE, lambda _: "{}", "cannot be read"),
        ("params.yaml", lambda t: t.replace("steps:\n  - 10", "steps:\n  - 5"), "also changes params.yaml"),
        ("manifests/promotion.pub", lambda t: t + "\n", "also changes manifests/promotion.pub"),
        ("src/evil.py", lambda _: "import os", "also changes src/evil.py"),
    ],
)
def test_a_hand_edited_promotion_is_refused_and_says_where(case, path, change, said):
    case.edit(path, change)
    with pytest.raises(PromotionRefused, match=said):
        case.verify()


def test_a_key_of_ones_own_does_not_help_even_when_the_pull_request_brings_it(case, tmp_path):
    make_keys(tmp_path / "other.key", case.forge.work / "manifests" / "promotion.pub")
    case.edit(EVIDENCE, record(lambda v: sign_anew(v, tmp_path / "other.key")))
    with pytest.raises(PromotionRefused, match="also changes manifests"):
        case.verify()
    git(case.forge.work, "checkout", "-q", "origin/main", "--", "manifests/promotion.pub")
    case.edit("manifests/promotion.pub", lambda t: t)
    with pytest.raises(PromotionRefused, match="signature"):
        case.verify()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r["blessing"].update(model={"digest": "cd" * 32}), "no blessing of its own"),
        (lambda r: r["infra"].update(digest="cd" * 32), "real server did not prove"),
        (lambda r: (r.update(replaces=None), r["blessing"].update(champion=None)), "replacing another champion"),
        (lambda r: r["model"].update(manifest_sha256="cd" * 32), "manifest or data"),
        (lambda r: r.update(data_md5="cd" * 16), "manifest or data"),
    ],
    ids=["blessing", "infra", "replaces", "manifest", "data"],
)
def test_a_record_that_is_signed_and_not_about_this_model_and_champion_is_refused(case, change, said):
    case.edit(EVIDENCE, record(lambda v: sign_anew(v, case.forge.key, change)))
    with pytest.raises(PromotionRefused, match=said):
        case.verify()


def test_an_artifact_that_was_changed_in_the_store_is_found(tmp_path):
    case = Case(tmp_path)
    case.checkout()
    file = case.second / "model.onnx"
    file.chmod(0o644)
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(PromotionRefused, match=r"model\.onnx"):
        case.verify()


def test_another_address_for_the_same_digest_is_refused(case):
    case.edit(ROLLOUT, lambda t: t.replace(case.second.as_uri(), f"s3://elsewhere/{case.second.name}"))
    with pytest.raises(PromotionRefused, match="another model or address"):
        case.verify()


def test_the_artifact_may_lie_in_a_folder_that_ci_fetched(tmp_path):
    case = Case(tmp_path)
    case.checkout()
    moved = tmp_path / "fetched"
    case.forge.store.rename(moved)
    with pytest.raises(PromotionRefused, match="not what the evidence says"):
        case.verify()
    assert verify(case.forge.work, "origin/main", "proposal", models=moved)[0].kind == "promote"


def test_an_artifact_is_fetched_from_the_bucket_that_serves_it_by_a_command(tmp_path):
    case = Case(tmp_path, models_at="s3://bucket/models")
    case.checkout()
    copy = "import shutil, sys; shutil.copytree(sys.argv[2] + '/' + sys.argv[1].rpartition('/')[2], sys.argv[3])"
    moved = tmp_path / "bucket"
    case.forge.store.rename(moved)

    def fetched(*words):
        command = [sys.executable, "-c", copy, *words]
        return verify(case.forge.work, "origin/main", "proposal", fetch=command)[0].kind

    assert fetched("{uri}", str(moved), "{folder}") == "promote"
    with pytest.raises(UnavailableError, match="was not fetched"):
        fetched("{uri}", str(tmp_path / "nowhere"), "{folder}")
    with pytest.raises(UsageError, match="lacks"):
        fetched("{uri}")
    (moved / case.second.name / "model.onnx").chmod(0o644)
    (moved / case.second.name / "model.onnx").write_bytes(b"another model")
    with pytest.raises(PromotionRefused, match=r"model\.onnx"):
        fetched("{uri}", str(moved), "{folder}")


def test_a_command_that_fetches_nothing_is_told_of_without_its_words_which_may_hold_a_token(tmp_path, capfd):
    case = Case(tmp_path, models_at="s3://bucket/models")
    case.checkout()
    for code, said in (("print('no such bucket'); sys.exit(7)", "ended with 7"), ("", "not what the evidence says")):
        command = [sys.executable, "-c", f"import sys; {code}", "Authorization: Bearer hush", "{uri}", "{folder}"]
        with pytest.raises(FraudlineError, match=said) as raised:
            verify(case.forge.work, "origin/main", "proposal", fetch=command)
        assert "hush" not in str(raised.value)
    printed = capfd.readouterr()
    assert "no such bucket" in printed.err
    assert "no such bucket" not in printed.out, "what a command prints there may be JSON"
    with pytest.raises(UnavailableError, match="nowhere-to-be-found does not run: No such file"):
        verify(case.forge.work, "origin/main", "proposal", fetch=["nowhere-to-be-found", "{uri}", "{folder}"])


def test_a_proposal_that_the_target_branch_has_overtaken_is_made_again(case):
    case.forge.merge(case.branch)
    git(case.forge.work, "fetch", "-q", "origin")
    case.forge.pull()
    git(case.forge.work, "checkout", "-q", "-B", "stale", "HEAD~1")
    case.edit(ROLLOUT, lambda t: t + "# x\n")
    with pytest.raises(PromotionRefused, match="moved on"):
        case.verify("stale")


def test_without_a_key_on_the_target_branch_nothing_is_verified(case):
    git(case.forge.work, "checkout", "-q", "-B", "main", "origin/main")
    git(case.forge.work, "rm", "-q", "manifests/promotion.pub")
    case.forge.land("no key")
    git(case.forge.work, "fetch", "-q", "origin")
    with pytest.raises(UsageError, match="keygen"):
        case.verify()


def test_steps_follow_one_another_to_the_champion_and_each_is_verified(rolling):
    kinds = []
    for percent in (25, 50, 0):
        branch = rolling.step()
        rolling.checkout(branch)
        kinds.append(rolling.verify()[0].kind)
        rolling.forge.merge(branch)
        assert rolling.forge.state().percent == percent
    assert kinds == ["advance", "advance", "finish"]
    assert rolling.forge.state().weights() == {rolling.second.name: 100}
    assert f'champion: "{rolling.second.as_uri()}"' in git(rolling.forge.remote, "show", "main:params.yaml")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.replace("trafficPercent: 10", "trafficPercent: 50"), "cannot become"),
        (lambda t: t.replace("trafficPercent: 10", "trafficPercent: 11"), "cannot become"),
        (lambda t: t.replace("trafficPercent: 10", "trafficPercent: 25"), "no verdict"),
    ],
)
def test_a_weight_that_was_raised_by_hand_has_no_verdict(rolling, change, said):
    rolling.edit(ROLLOUT, change)
    with pytest.raises(PromotionRefused, match=said):
        rolling.verify()


def test_a_signed_verdict_cannot_be_used_for_another_step(rolling):
    branch = rolling.step()
    rolling.forge.merge(branch)
    rolling.checkout("main")
    rolling.edit(ROLLOUT, lambda t: t.replace("trafficPercent: 25", "trafficPercent: 50"))

    def twice(values):
        values["canary"]["steps"].append(values["canary"]["steps"][0])

    rolling.edit(EVIDENCE, record(twice))
    with pytest.raises(PromotionRefused, match="not about the step from 25 % to 50 %"):
        rolling.verify()


def test_a_step_cannot_change_what_the_promotion_said_even_when_it_is_signed(rolling):
    rolling.checkout(rolling.step())
    assert rolling.verify()[0].kind == "advance"
    rolling.edit(EVIDENCE, record(lambda v: sign_anew(v, rolling.forge.key, lambda r: r["metrics"].update(ap=0.99))))
    with pytest.raises(PromotionRefused, match="changes earlier evidence"):
        rolling.verify()


def test_a_verdict_of_failed_reverts_and_the_revert_is_free(rolling):
    branch = rolling.step("failed")
    rolling.checkout(branch)
    assert rolling.verify()[0].kind == "revert"
    rolling.forge.merge(branch)
    assert rolling.forge.state().weights() == {rolling.first.name: 100}
    assert "all is well" in git(rolling.forge.remote, "log", "-1", "--format=%b", f"{branch}")


def test_a_persons_revert_of_any_merge_is_a_rollback(rolling):
    merged = [git(rolling.forge.work, "rev-parse", "origin/main")]
    for _ in range(3):
        merged.append(rolling.forge.merge(rolling.step()))
    for revision in reversed(merged):
        rolling.forge.pull()
        git(rolling.forge.work, "checkout", "-q", "-B", "proposal")
        git(rolling.forge.work, "revert", "-m", "1", "--no-edit", revision)
        assert rolling.verify()[0].kind == "revert"
        git(rolling.forge.work, "push", "-q", "origin", "HEAD:main")
    assert rolling.forge.state().weights() == {rolling.first.name: 100}


def test_a_revert_that_smuggles_another_file_is_refused(rolling):
    branch = rolling.step("failed")
    rolling.checkout(branch)
    rolling.edit("src/evil.py", lambda _: "import os")
    with pytest.raises(PromotionRefused, match="also changes src/evil.py"):
        rolling.verify()


def test_a_model_that_was_never_served_cannot_come_back_by_a_revert(rolling):
    rolling.forge.merge(rolling.step("failed"))
    rolling.checkout("main")
    third = rolling.forge.model(3, champion=rolling.first.name)

    def swap(text):
        document = yaml.safe_load(text)
        assert document
        return text.replace(rolling.first.name, third.name).replace(f"m{rolling.first.name[:9]}", f"m{third.name[:9]}")

    rolling.edit(ROLLOUT, swap)
    with pytest.raises(PromotionRefused, match="through fraudline promote only"):
        rolling.verify()
    rolling.edit(EVIDENCE, record(lambda v: v.update(stable=None)))
    with pytest.raises(PromotionRefused, match="through fraudline promote only"):
        rolling.verify()


def test_a_revert_of_the_last_step_goes_back_to_shares_that_were_served_and_no_others(rolling):
    for _ in range(2):
        rolling.forge.merge(rolling.step())
    served = git(rolling.forge.remote, "rev-parse", "main")
    rolling.forge.merge(rolling.step())
    rolling.checkout("main")
    git(rolling.forge.work, "checkout", "-q", served, "--", ROLLOUT, EVIDENCE)
    rolling.edit(ROLLOUT, lambda t: t)
    assert rolling.verify()[0].kind == "revert"
    rolling.edit(ROLLOUT, lambda t: t.replace("trafficPercent: 50", "trafficPercent: 99"))
    with pytest.raises(PromotionRefused, match="through fraudline promote only"):
        rolling.verify()


def applied(case, monkeypatch, tmp_path, **changes):
    """Apply with a kubectl that writes down what it is asked and which state it is given."""
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    program = tools / "kubectl"
    program.write_text(f'#!/bin/sh\necho "$@" > "{tmp_path}/asked"\nfor last; do :; done\ncat "$last/rollout.yaml"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    return apply_served(to="production", params=case.forge.params, repo=case.forge.work, **changes)


def test_a_cluster_without_a_controller_gets_what_the_branch_serves(rolling, monkeypatch, tmp_path):
    result = applied(rolling, monkeypatch, tmp_path, dry_run=True, context="bank")
    assert result["weights"] == {rolling.first.name: 90, rolling.second.name: 10}
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("--context bank apply --server-side --field-manager=fraudline --dry-run=server -k ")
    assert any("trafficPercent: 10" in line for line in result["applied"])


def test_a_model_that_nobody_signed_is_not_applied(rolling, monkeypatch, tmp_path):
    rolling.edit(EVIDENCE, record(lambda v: v["canary"]["promotion"]["record"]["git"].update(revision="cd" * 20)))
    git(rolling.forge.work, "push", "-q", "origin", "HEAD:main")
    with pytest.raises(PromotionRefused, match="signature"):
        applied(rolling, monkeypatch, tmp_path)
    assert not (tmp_path / "asked").exists()


def test_in_a_hook_the_users_repository_stays_on_its_branch(rolling, monkeypatch, tmp_path):
    work = rolling.forge.work
    before = git(work, "status", "-sb")
    monkeypatch.setenv("GIT_DIR", str(work / ".git"))
    result = applied(rolling, monkeypatch, tmp_path)
    monkeypatch.delenv("GIT_DIR")
    assert result["weights"] == {rolling.first.name: 90, rolling.second.name: 10}
    assert git(work, "status", "-sb") == before


def test_a_verdict_of_an_earlier_rollout_of_the_same_models_is_of_no_use(rolling):
    rolling.forge.merge(rolling.step())
    old = rolling.forge.evidence()["canary"]["steps"]
    rolling.forge.merge(rolling.step("failed"))
    forge = rolling.forge
    given = {"to": "production", "key": forge.key, "params": forge.params, "repo": forge.work}
    forge.merge(promote(**given, artifact=rolling.second, again=1)["branch"])
    rolling.checkout("main")
    rolling.edit(ROLLOUT, lambda t: t.replace("trafficPercent: 10", "trafficPercent: 25"))
    rolling.edit(EVIDENCE, record(lambda v: v["canary"].update(steps=old)))
    with pytest.raises(PromotionRefused, match="not about the step from 10 % to 25 %"):
        rolling.verify()


def test_what_touches_no_rollout_passes_and_the_command_says_that_it_looked_at_nothing_else(case):
    git(case.forge.work, "checkout", "-q", "-B", "proposal", "origin/main")
    case.edit("manifests/overlays/standard/kustomization.yaml", lambda _: "patches: [{path: another-model.yaml}]\n")
    command = ["promotion", "verify", "--repo", str(case.forge.work), "--head", "proposal"]
    assert json.loads(CliRunner().invoke(cli, [*command, "--json"]).stdout) == {"verified": []}
    done = CliRunner().invoke(cli, command)
    assert (done.exit_code, done.output) == (
        0,
        "verified  no rollout.yaml or evidence.json is changed: this looks at nothing else\n",
    )


def reverted(case, revision):
    """A person's revert of a merge, as a proposal."""
    case.forge.pull()
    git(case.forge.work, "checkout", "-q", "-B", "proposal")
    git(case.forge.work, "revert", "-m", "1", "--no-edit", revision)
    return case.verify()[0].kind


def test_a_revert_that_drops_the_champions_evidence_cannot_change_parameters_behind_it(rolling):
    rolling.checkout(rolling.step("failed"))
    rolling.edit("params.yaml", lambda t: t.replace("require_clean_code: false", "require_clean_code: true"))
    with pytest.raises(PromotionRefused, match="more than the champion"):
        rolling.verify()
    rolling.edit(EVIDENCE, record(lambda v: v.update(stable=None)))
    with pytest.raises(PromotionRefused, match="evidence"):
        rolling.verify()


def test_a_revert_brings_back_the_champion_as_a_person_had_written_it(case):
    case.forge.pull()
    parameters = case.forge.work / "params.yaml"
    written = f"champion: artifacts/{case.first.name}"
    parameters.write_text(with_champion(parameters.read_text(), "X").replace('champion: "X"', written))
    case.forge.land("the champion, by hand")
    case.forge.merge(case.branch)
    for _ in range(3):
        merged = case.forge.merge(case.step())
    assert reverted(case, merged) == "revert"
    assert written in parameters.read_text()
    case.edit("params.yaml", lambda t: t.replace(written, "champion: artifacts/another"))
    with pytest.raises(PromotionRefused, match="champion"):
        case.verify()


def test_a_step_is_verified_though_the_target_branch_has_other_parameters_since(rolling):
    for _ in range(2):
        rolling.forge.merge(rolling.step())
    branch = rolling.step()
    rolling.forge.pull()
    rolling.edit("params.yaml", lambda t: t.replace("seed: 1", "seed: 2"))
    git(rolling.forge.work, "push", "-q", "origin", "HEAD:main")
    rolling.checkout(branch)
    assert rolling.verify()[0].kind == "finish"


def test_a_state_that_stood_in_a_branch_alone_cannot_come_back_by_a_revert(case):
    third = case.forge.model(3, champion=case.first.name)

    def swap(text):
        return text.replace(case.first.name, third.name).replace(f"m{case.first.name[:9]}", f"m{third.name[:9]}")

    case.edit(ROLLOUT, swap)
    git(case.forge.work, "revert", "--no-edit", "HEAD")
    assert case.verify()[0].kind == "promote"
    git(case.forge.work, "push", "-q", "origin", f"HEAD:{case.branch}")
    case.forge.merge(case.branch)
    case.forge.merge(case.step("failed"))
    case.checkout("main")
    case.edit(ROLLOUT, swap)
    case.edit(EVIDENCE, record(lambda v: v.update(stable=None)))
    with pytest.raises(PromotionRefused, match="through fraudline promote only"):
        case.verify()


def test_after_a_new_key_the_one_before_still_verifies_what_it_signed_until_it_is_taken_out(rolling, tmp_path):
    rolling.forge.pull()
    public = rolling.forge.work / "manifests" / "promotion.pub"
    make_keys(tmp_path / "new.key", public)
    rolling.forge.land("a new key")
    rolling.forge.key = tmp_path / "new.key"
    rolling.checkout(rolling.step())
    assert rolling.verify()[0].kind == "advance"
    rolling.checkout(rolling.step("failed"))
    assert rolling.verify()[0].kind == "revert"


def test_a_champion_that_was_written_by_hand_comes_back_by_a_revert_as_it_was_written(tmp_path):
    case = Case.__new__(Case)
    case.forge = forge = Forge(tmp_path)
    case.first = forge.model(1)
    file = forge.work / ROLLOUT
    file.parent.mkdir(parents=True)
    service = (forge.work / "kserve" / "inferenceservice.yaml").read_text()
    file.write_text("# by hand\n" + render(Rollout(Model(case.first.name, case.first.as_uri())), service))
    forge.land("a champion without evidence")
    case.second = forge.model(2, champion=case.first.name)
    merged = [forge.merge(case.promote(case.second)), *(forge.merge(case.step()) for _ in range(3))]
    for revision in reversed(merged):
        assert reverted(case, revision) == "revert"
        git(forge.work, "push", "-q", "origin", "HEAD:main")
    assert file.read_text().startswith("# by hand\n")
    assert forge.state().weights() == {case.first.name: 100}
