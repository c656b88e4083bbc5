"""Promotion by pull request on a real forge: Gitea, whose branch protection holds merges back until CI has verified."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fraudline.core.errors import PromotionRefused, UnavailableError
from fraudline.ops.gitops.forge import open_forge
from fraudline.ops.gitops.repository import access
from fraudline.ops.gitops.verify import verify
from fraudline.steps.promote import promote
from tests.cluster.binaries import need_go
from tests.cluster.gitea_server import OWNER, Gitea
from tests.support.gitops import Forge, git
from tests.support.rollout import JUDGE, Case
from tests.support.until import until

CHECK = "promotion"


@pytest.fixture(scope="module")
def gitea(tmp_path_factory):
    need_go()
    with Gitea(tmp_path_factory.mktemp("gitea")) as running:
        yield running


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    forge = Forge(tmp_path_factory.mktemp("models"))
    first = forge.model(1)
    return forge.store, first, forge.model(2, champion=first.name)


class OnGitea(Forge):
    """The same house with its remote on Gitea: pushed to over HTTP, read where the server keeps it."""

    def __init__(self, gitea: Gitea, name: str, folder: Path, store: Path) -> None:
        self.gitea, self.project = gitea, f"/repos/{OWNER}/{name}"
        forge = {"kind": "gitea", "project": f"{OWNER}/{name}", "api": gitea.api, "auto_merge": True}
        super().__init__(folder, rules={"judge": JUDGE, "forge": forge})
        self.store, self.remote = store, gitea.bare(name)
        url = gitea.create(name)
        git(self.work, "remote", "set-url", "origin", url)
        _, setting, secret = access(url, gitea.token).values()
        git(self.work, "config", setting, secret)
        git(self.work, "push", "-q", "origin", "HEAD:main")
        rule = {"enable_push": False, "enable_status_check": True, "status_check_contexts": [CHECK]}
        gitea.call("POST", f"{self.project}/branch_protections", rule_name="main", **rule)

    def promote(self, entry, **more):
        given = {"to": "production", "key": self.key, "params": self.params, "repo": self.work, "artifact": entry}
        return promote(**given | {"token": self.gitea.token} | more)

    def opened(self):
        """What the steps talk to the forge by."""

        class Target:
            branch = "main"

        return open_forge(self.params.rollout.forge, self.gitea.token, Target())

    def requests(self, state="all"):
        return self.gitea.call("GET", f"{self.project}/pulls?state={state}")

    def verified(self, branch):
        """CI's part: verify what the pull request changes, and say so to the forge."""
        git(self.work, "fetch", "-q", "origin")
        assert verify(self.work, "origin/main", f"origin/{branch}")
        head = git(self.work, "rev-parse", f"origin/{branch}")
        self.gitea.call("POST", f"{self.project}/statuses/{head}", state="success", context=CHECK)
        return head

    def merge(self, branch):
        """Merge as a person does in the browser, once CI has verified it."""
        head = self.verified(branch)
        (number,) = (pull["number"] for pull in self.requests("open") if pull["head"]["ref"] == branch)
        until(
            lambda: self.gitea.click(f"{self.project}/pulls/{number}/merge", Do="merge", head_commit_id=head),
            interval=0.2,
        )
        self.pull()
        return git(self.work, "rev-parse", "HEAD")


@pytest.fixture
def house(gitea, models, tmp_path, request):
    name = "".join(sign for sign in request.node.name if sign.isalnum())[:60]
    return OnGitea(gitea, name, tmp_path / "house", models[0])


def test_a_promotion_opens_one_pull_request_with_the_evidence(house, models):
    result = house.promote(models[1])
    (request,) = house.requests()
    assert (request["html_url"], request["title"]) == (result["url"], result["title"])
    assert "| gate's rule | this model | champion, same rows | bound | result |" in request["body"]
    assert house.promote(models[1]) == result | {"pushed": False}
    assert len(house.requests()) == 1


def test_promotions_at_once_end_in_one_pull_request(house):
    """The server looks for another one before it makes one: of those that look at once each is made."""
    branch = "promote/production/0f3c"
    git(house.work, "commit", "-q", "--allow-empty", "-m", "something to merge")
    git(house.work, "push", "-q", "origin", f"HEAD:{branch}")
    together, found = threading.Barrier(6), []

    def ensure():
        forge = house.opened()
        together.wait()
        found.append(forge.ensure(branch, "title", "text").url)

    callers = [threading.Thread(target=ensure) for _ in range(together.parties)]
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    (request,) = house.requests("open")
    assert found == [request["html_url"]] * len(callers)
    assert house.opened().ensure(branch, "title", "text").url == request["html_url"]


def test_what_a_person_closed_is_not_opened_again_until_its_branch_is_deleted(house, models):
    branch = house.promote(models[1])["branch"]
    house.gitea.call("PATCH", f"{house.project}/pulls/1", state="closed")
    with pytest.raises(PromotionRefused, match="closed without a merge"):
        house.promote(models[1])
    assert [request["state"] for request in house.requests()] == ["closed"]
    git(house.work, "push", "-q", "origin", f":{branch}")
    house.gitea.settle()
    again = house.promote(models[1])
    assert (again["state"], again["pushed"], len(house.requests())) == ("open", True, 2)
    assert house.promote(models[1]) == again | {"pushed": False}


def test_a_merge_waits_for_the_check_and_is_bound_to_the_revision(house, models):
    branch = house.promote(models[1])["branch"]
    forge = house.opened()
    request = forge.ensure(branch, "title", "text")
    git(house.work, "fetch", "-q", "origin")
    head, other = (git(house.work, "rev-parse", f"origin/{name}") for name in (branch, "main"))
    assert forge.merge(request, head) is False, "nobody has verified it"
    assert house.verified(branch) == head
    until(lambda: house.gitea.call("GET", f"{house.project}/pulls/{request.number}")["mergeable"])
    assert forge.merge(request, other) is False, "it was asked for another revision"
    until(lambda: forge.merge(request, head))  # after such a call it says for a moment to try again later
    assert forge.ensure(branch, "title", "text").state == "merged"
    assert house.state().weights() == {models[1].name: 100}


def test_a_person_is_asked_once_for_each_title_behind_many_other_issues(house):
    forge = house.opened()
    first = forge.ask("Rollout waits", "why")
    for number in range(55):
        house.gitea.call("POST", f"{house.project}/issues", title=f"another {number}")
    assert forge.ask("Rollout waits", "why, again") == first
    assert house.gitea.call("GET", f"{house.project}")["open_issues_count"] == 56


def test_what_the_token_or_the_project_lacks_is_named(house, models):
    with pytest.raises(UnavailableError, match="git clone failed"):
        house.promote(models[1], token="x")  # noqa: S106
    wrong = house.params.rollout.forge.model_copy(update={"project": f"{OWNER}/nothing"})
    rules = house.params.rollout.model_copy(update={"forge": wrong})
    with pytest.raises(UnavailableError, match="404") as said:
        house.promote(models[1], params=house.params.model_copy(update={"rollout": rules}))
    assert "rollout.forge.project" in said.value.action


def test_a_canary_goes_step_by_step_to_champion_and_each_merge_waits_for_the_check(house, models):
    first, second = models[1:]
    for entry in (first, second):
        house.merge(house.promote(entry)["branch"])
    case = Case(house, first, second)
    seen = []
    for _ in range(3):
        case.minutes(60)
        proposed = case.step(token=house.gitea.token)
        house.verified(proposed["branch"])
        until(lambda: case.step(token=house.gitea.token)["action"] == "merged")
        seen.append((proposed["branch"].split("-")[1], proposed["state"]))
        case.now = max(case.now, datetime.now(UTC).timestamp())
        house.pull()
    assert seen == [(what, "open") for what in ("25", "50", "promoted")]
    assert house.state().weights() == {second.name: 100}
    assert {request["merged"] for request in house.requests()} == {True}
