"""Promotion against a real bare Git remote: one branch, one commit, the evidence in it."""

import errno
import json
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner

from fraudline.cli.main import cli
from fraudline.core.errors import DigestMismatch, PromotionRefused, UsageError
from fraudline.core.files import read_json, write_json
from fraudline.ops import store as stores
from fraudline.ops.gitops.repository import Clone, access
from fraudline.ops.gitops.signing import make_keys
from fraudline.ops.registry import CHAMPION, Registry, give_alias
from fraudline.steps import component
from fraudline.steps.promote import promote, remote_params
from tests.support.gitops import EVIDENCE, ROLLOUT, Forge, git


@pytest.fixture
def forge(begun, tmp_path):
    return begun[0].copied(tmp_path)


def run(forge, artifact, **changes):
    given = {"to": "production", "key": forge.key, "params": forge.params, "repo": forge.work, "artifact": artifact}
    return promote(**given | changes)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A forge whose first model is champion, and that model."""
    made = Forge(tmp_path_factory.mktemp("begun"))
    first = made.model(1)
    made.merge(run(made, first)["branch"])
    return made, first


@pytest.fixture
def served(begun):
    """The champion of ``forge``."""
    return begun[1]


@pytest.fixture
def empty(tmp_path):
    """A forge that has promoted nothing yet."""
    return Forge(tmp_path)


def test_the_first_model_is_proposed_as_champion_at_once_because_there_is_nothing_to_compare_with(empty):
    entry = empty.model(1)
    result = run(empty, entry)
    assert (result["percent"], result["pushed"], result["state"]) == (100, True, "open")
    state = empty.state(result["branch"])
    assert (state.stable.digest, state.canary) == (entry.name, None)
    assert empty.branches() == {f"promote/production/{entry.name[:12]}"}


def test_a_challenger_begins_as_canary_at_the_first_step_beside_the_champion(forge, served):
    entry = forge.model(2, champion=served.name)
    result = run(forge, entry)
    forge.merge(result["branch"])
    state = forge.state()
    assert state.weights() == {served.name: 90, entry.name: 10}
    document = yaml.safe_load(git(forge.remote, "show", f"main:{ROLLOUT}"))
    (canary,) = document["spec"]["canary"]
    assert canary["predictor"]["model"]["storageUri"] == entry.as_uri()
    assert canary["predictor"]["model"]["runtime"] == "fraudline"
    of_each = [predictor["annotations"] for predictor in (document["spec"]["predictor"], canary["predictor"])]
    assert of_each == [{"fraudline/artifact-digest": name} for name in (served.name, entry.name)]


def test_the_commit_changes_what_is_served_and_its_evidence_and_nothing_else(forge, served):
    result = run(forge, forge.model(2, champion=served.name))
    changed = git(forge.remote, "diff", "--name-only", "main", result["branch"]).split()
    assert changed == [EVIDENCE, ROLLOUT]
    assert git(forge.remote, "rev-list", "--count", f"main..{result['branch']}") == "1"


def test_the_first_champion_also_becomes_what_challengers_are_compared_with(forge, served):
    text = git(forge.remote, "show", "main:params.yaml")
    assert f'champion: "{served.as_uri()}"   # the deployed one' in text
    assert "seed: 1   # a comment" in text


def test_evidence_and_text_say_what_a_reviewer_asks(forge, served):
    entry = forge.model(2, champion=served.name)
    result = run(forge, entry)
    canary = forge.evidence(result["branch"])["canary"]["promotion"]["record"]
    assert canary["blessing"]["blessed"] is True
    assert canary["infra"]["ok"] is True
    assert canary["data_md5"] == "0" * 32
    assert canary["replaces"] == served.name
    for shown in (entry.name, "ab" * 20, "0" * 32, "| average precision (`ap`) | 0.61 |", served.name[:12]):
        assert shown in result["body"]
    assert "| `ap` |" not in result["body"]  # both tables call a figure by the same words


def test_the_figures_are_drawn_with_the_champions_as_a_line_over_them(forge, served):
    drawn = run(forge, forge.model(2, champion=served.name))["body"].partition("```mermaid\n")[2].partition("```")[0]
    assert drawn.startswith("xychart-beta\n")
    bars, line = (re.search(rf"^ +{what} \[(.*)\]$", drawn, re.MULTILINE)[1] for what in ("bar", "line"))
    axis = re.search(r"x-axis \[(.*)\]", drawn)[1].split(", ")
    assert dict(zip(axis, bars.split(", "), strict=True))['"ap"'] == "0.61"
    assert len(line.split(", ")) == len(axis)


def test_the_first_model_is_drawn_alone(empty):
    drawn = run(empty, empty.model(1))["body"].partition("```mermaid\n")[2].partition("```")[0]
    assert "bar [" in drawn
    assert "line [" not in drawn


def test_a_dry_run_shows_the_commit_that_the_promotion_then_makes_and_pushes_nothing(forge, served):
    entry = forge.model(2, champion=served.name)
    before = forge.branches()
    shown = run(forge, entry, dry_run=True)
    assert (shown["state"], shown["pushed"], forge.branches()) == ("planned", False, before)
    done = run(forge, entry)
    assert {**shown, "state": "open", "pushed": True} == {**done, "diff": shown["diff"]}
    assert shown["diff"].strip() == git(forge.remote, "diff", "main", done["branch"]).strip()
    assert run(forge, entry, dry_run=True) == {**shown, "state": "open"}


def test_a_dry_run_needs_no_token_and_refuses_what_a_promotion_refuses(forge, served):
    rules = forge.params.rollout
    hub = rules.model_copy(update={"forge": rules.forge.model_copy(update={"kind": "github", "project": "a/b"})})
    params = forge.params.model_copy(update={"rollout": hub})
    assert run(forge, forge.model(2, champion=served.name), params=params, dry_run=True)["state"] == "planned"
    forge.merge(run(forge, forge.model(2, champion=served.name))["branch"])
    with pytest.raises(PromotionRefused, match="10 %"):
        run(forge, forge.model(3, champion=served.name), dry_run=True)


def test_the_command_shows_a_dry_run_as_text_and_as_json(forge, served):
    entry, before = forge.model(2, champion=served.name), forge.branches()
    given = ("promote", "--dry-run", "--artifact", entry, "--key", forge.key, "--repo", forge.work)
    given = [str(each) for each in (*given, "--params", forge.work / "params.yaml")]
    text, document = (CliRunner().invoke(cli, [*given, *more], catch_exceptions=False) for more in ([], ["--json"]))
    shown = json.loads(document.stdout)
    assert shown["diff"] in text.stdout
    assert entry.name in shown["diff"]
    assert forge.branches() == before


def test_promoting_twice_makes_one_branch_and_says_the_same(forge, served):
    entry = forge.model(2, champion=served.name)
    first, second = run(forge, entry), run(forge, entry)
    assert second == first | {"pushed": False}
    assert len(forge.branches()) == 2


def test_two_promotions_with_one_start_give_the_same_commit(forge, served, tmp_path):
    entry = forge.model(2, champion=served.name)
    first = run(forge, entry)
    git(forge.remote, "branch", "-D", first["branch"])
    assert run(forge, entry)["revision"] == first["revision"]


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen signs")
def test_commits_are_signed_as_git_is_set_up_where_the_rules_ask_for_it(tmp_path, monkeypatch):
    who = {"name": "promotions", "email": "promotions@bank.example", "sign": True}
    forge = Forge(tmp_path, {"forge": {"commits": who}})
    entry, key = forge.model(1), tmp_path / "signing"
    with pytest.raises(UsageError, match=r"could not be signed.* user\.signingkey"):
        run(forge, entry)
    assert forge.branches() == set()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    settings = {"gpg.format": "ssh", "user.signingkey": str(key)}
    monkeypatch.setenv("GIT_CONFIG_COUNT", str(len(settings)))
    for number, (name, value) in enumerate(settings.items()):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", name)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", value)
    branch = run(forge, entry)["branch"]
    (tmp_path / "signers").write_text(f"{who['email']} {key.with_suffix('.pub').read_text()}")
    git(forge.remote, "-c", f"gpg.ssh.allowedSignersFile={tmp_path / 'signers'}", "verify-commit", branch)
    assert git(forge.remote, "log", "-1", "--format=%an <%ae> %cn", branch) == f"promotions <{who['email']}> promotions"
    assert run(forge, entry)["pushed"] is False


def test_a_model_that_is_served_is_not_promoted_again(forge, served):
    result = run(forge, served)
    assert (result["state"], result["pushed"], result["branch"]) == ("merged", False, "")


def test_the_users_tree_is_untouched(forge, served):
    (forge.work / "draft.txt").write_text("mine")
    before = git(forge.work, "status", "--porcelain"), git(forge.work, "rev-parse", "HEAD")
    run(forge, forge.model(2, champion=served.name))
    assert (git(forge.work, "status", "--porcelain"), git(forge.work, "rev-parse", "HEAD")) == before


def test_in_a_hook_the_users_repository_is_untouched_too(forge, served, monkeypatch):
    entry = forge.model(2, champion=served.name)
    asked = ("for-each-ref",), ("rev-parse", "HEAD"), ("status", "--porcelain"), ("config", "--list", "--local")
    before = [git(forge.work, *question) for question in asked]
    monkeypatch.setenv("GIT_DIR", str(forge.work / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(forge.work / ".git" / "index"))
    result = run(forge, entry)
    monkeypatch.undo()
    assert [git(forge.work, *question) for question in asked] == before
    assert forge.state(result["branch"]).weights() == {served.name: 90, entry.name: 10}


def test_a_second_rollout_waits_for_the_first(forge, served):
    forge.merge(run(forge, forge.model(2, champion=served.name))["branch"])
    with pytest.raises(PromotionRefused, match="10 %"):
        run(forge, forge.model(3, champion=served.name))


def test_a_blessing_against_another_champion_is_refused_by_name(forge, served):
    with pytest.raises(PromotionRefused, match=f"nothing, but {served.name[:12]} is served"):
        run(forge, forge.model(2))


def test_a_model_of_uncommitted_code_is_refused_where_the_rules_say_so(tmp_path):
    forge = Forge(tmp_path, rules={"require_clean_code": True})
    entry = forge.model(1)
    run(forge, entry)
    provenance = stores.provenance_file(entry)
    for unknown in ({"revision": "ab" * 20, "dirty": True}, {"revision": "unknown", "dirty": False}, {}):
        write_json(provenance, read_json(provenance) | {"git": unknown})
        with pytest.raises(PromotionRefused, match="no commit holds"):
            run(forge, entry)


def test_a_changed_artifact_is_not_promoted(empty):
    entry = empty.model(1)
    (entry / "card.md").chmod(0o644)
    (entry / "card.md").write_text("changed")
    with pytest.raises(DigestMismatch):
        run(empty, entry)
    assert empty.branches() == set()


def test_a_model_that_was_taken_back_needs_a_word(forge, served):
    entry = forge.model(2, champion=served.name)
    merged = forge.merge(run(forge, entry)["branch"])
    git(forge.work, "revert", "-m", "1", "--no-edit", merged)
    git(forge.work, "push", "-q", "origin", "HEAD:main")
    with pytest.raises(PromotionRefused, match="taken back"):
        run(forge, entry)
    again = run(forge, entry, again=1)
    assert again["branch"].endswith("-2")
    forge.merge(again["branch"])
    assert forge.state().percent == 10


def test_a_number_that_was_used_names_the_next_one(forge, served):
    entry = forge.model(2, champion=served.name)
    for again in (0, 1):
        merged = forge.merge(run(forge, entry, again=again)["branch"])
        git(forge.work, "revert", "-m", "1", "--no-edit", merged)
        git(forge.work, "push", "-q", "origin", "HEAD:main")
    with pytest.raises(PromotionRefused, match="--again 1 was used") as caught:
        run(forge, entry, again=1)
    assert "--again 2" in caught.value.action
    forge.merge(run(forge, entry, again=2)["branch"])
    assert forge.state().percent == 10


def test_after_the_key_changed_an_open_promotion_is_not_taken_for_the_new_one(forge, served, tmp_path):
    entry = forge.model(2, champion=served.name)
    branch = run(forge, entry)["branch"]
    new = tmp_path / "new.key"
    make_keys(new, tmp_path / "new.pub")
    with pytest.raises(PromotionRefused, match="holds another change") as caught:
        run(forge, entry, key=new)
    assert caught.value.action.endswith(f"git push origin :{branch}")
    git(forge.work, "push", "-q", "origin", f":{branch}")
    assert run(forge, entry, key=new)["pushed"]


def test_a_branch_that_holds_something_else_is_not_overwritten(forge, served):
    entry = forge.model(2, champion=served.name)
    git(forge.work, "push", "-q", "origin", f"HEAD:refs/heads/promote/production/{entry.name[:12]}")
    with pytest.raises(PromotionRefused, match="holds another change"):
        run(forge, entry)


def test_an_unknown_environment_names_the_known_ones(empty):
    with pytest.raises(UsageError, match="production"):
        run(empty, empty.model(1), to="staging")


def test_the_challenger_of_the_registry_is_promoted(empty, tracker):
    entry = empty.model(1)
    registry = Registry(tracker)
    give_alias(registry, registry.register(entry.name, entry.as_uri(), tags={}))
    params = empty.params.model_copy(update={"registry": tracker})
    assert run(empty, None, params=params)["digest"] == entry.name
    empty.merge(f"promote/production/{entry.name[:12]}")
    second = empty.model(2, champion=entry.name)
    give_alias(registry, registry.register(second.name, second.as_uri(), tags={}))
    assert run(empty, None, params=params)["digest"] == second.name


def test_a_champion_that_came_by_promotion_is_no_challenger(forge, served, tracker):
    registry = Registry(tracker)
    registry.point(CHAMPION, registry.register(served.name, served.as_uri(), tags={}))
    with pytest.raises(UsageError, match="no challenger"):
        run(forge, None, params=forge.params.model_copy(update={"registry": tracker}))


@pytest.mark.parametrize(("command", "moment"), [("clone", "after"), ("push", "before"), ("push", "after")])
def test_killed_anywhere_and_run_again_it_makes_one_branch(forge, served, command, moment):
    """The process ends without warning before or after one command of git."""
    entry = forge.model(2, champion=served.name)
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from fraudline.ops.gitops import repository\nfrom fraudline.steps.params import Params\n"
        "from fraudline.steps.promote import promote\n"
        "real = repository.git\n"
        "def dying(folder, *arguments, **k):\n"
        "    if arguments[0] != sys.argv[1]:\n        return real(folder, *arguments, **k)\n"
        "    if sys.argv[2] == 'after':\n        real(folder, *arguments, **k)\n"
        "    os._exit(9)\n"
        "repository.git = dying\n"
        "params = Params.load(Path(sys.argv[3]) / 'params.yaml')\n"
        "promote(to='production', key=Path(sys.argv[4]), params=params, repo=Path(sys.argv[3]),"
        " artifact=Path(sys.argv[5]))\n"
    )
    arguments = [command, moment, str(forge.work), str(forge.key), str(entry)]
    ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, check=False)
    assert ended.returncode == 9, ended.stderr.decode()
    run(forge, entry)
    assert forge.branches() == {f"promote/production/{e.name[:12]}" for e in (served, entry)}
    assert git(forge.remote, "rev-list", "--count", f"main..promote/production/{entry.name[:12]}") == "1"


def test_the_component_proposes_what_was_packaged_and_shows_the_text(forge, served, tmp_path):
    entry = forge.model(2, champion=served.name)
    rules = forge.params.rollout
    rules = rules.model_copy(update={"forge": rules.forge.model_copy(update={"remote": str(forge.remote)})})
    params = forge.params.model_copy(update={"rollout": rules})
    write_json(tmp_path / "package" / "package.json", {"digest": entry.name, "uri": entry.as_uri()})
    page = tmp_path / "page.md"
    given = {"to": "production", "key": str(forge.key), "page": str(page)}
    branch = component.promote(params, {}, tmp_path / "package", **given)
    assert branch in forge.branches()
    assert f"# Promote model {entry.name[:12]} to production at 10 %" in page.read_text()


def test_a_token_reaches_git_over_http_and_no_list_of_arguments(monkeypatch):
    from base64 import b64decode

    monkeypatch.delenv("GIT_CONFIG_COUNT", raising=False)
    settings = access("https://forge.invalid/bank/fraud.git", "secret")
    assert settings["GIT_CONFIG_KEY_0"] == "http.https://forge.invalid/bank/fraud.git.extraHeader"
    assert b64decode(settings["GIT_CONFIG_VALUE_0"].split()[-1]) == b"x-access-token:secret"
    assert access("/srv/remote.git", "secret") == access("https://forge.invalid/x.git", "") == {}


def test_a_token_leaves_the_settings_of_git_that_the_environment_hands_over(forge, monkeypatch):
    address = "https://forge.invalid/bank/fraud.git"
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{forge.remote}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", address)
    with Clone.of(address, "main", "secret") as clone:
        assert clone.base == git(forge.remote, "rev-parse", "main")
        assert clone.run("config", f"http.{address}.extraHeader").startswith("Authorization: Basic ")


def test_where_there_is_no_repository_the_parameters_are_the_remotes(forge):
    params = remote_params(str(forge.remote))
    assert params.seed == 1
    assert params.rollout.forge.remote == str(forge.remote)
    git(forge.work, "checkout", "-q", "main")
    (forge.work / "params.yaml").write_text("rollout: {steps: [0]}")
    forge.land("wrong")
    with pytest.raises(UsageError, match=r"params\.yaml of main"):
        remote_params(str(forge.remote))


def test_a_remote_named_by_a_relative_path_is_found_from_any_folder(forge, served, tmp_path, monkeypatch):
    params, entry = forge.params, forge.model(2, champion=served.name)
    git(forge.work, "remote", "set-url", "origin", "../remote.git")
    (tmp_path / "some" / "where").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "some" / "where")
    assert run(forge, entry, params=params)["pushed"]


def test_a_pair_of_keys_that_was_not_finished_can_be_made_again(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("fraudline.ops.gitops.signing.write_text", full)
        with pytest.raises(OSError, match="No space"):
            make_keys(tmp_path / "key", tmp_path / "key.pub")
    assert make_keys(tmp_path / "key", tmp_path / "key.pub")
