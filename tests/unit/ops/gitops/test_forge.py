"""Pull requests: one a branch, whatever happens between the calls."""

from http.server import BaseHTTPRequestHandler

import pytest

from fraudline.core.errors import PromotionRefused, UnavailableError, UsageError
from fraudline.ops.gitops.forge import GitHub, open_forge
from fraudline.ops.gitops.observe import Prometheus
from fraudline.ops.gitops.params import ForgeParams
from fraudline.steps.promote import promote
from tests.support.forges import GitHubServer, GitLabServer
from tests.support.gitops import Forge, git
from tests.support.json_server import JsonServer
from tests.support.loopback import LoopbackServer

TOKEN = "secret"  # noqa: S105 - of a server of ours
KINDS = {"github": GitHubServer, "gitlab": GitLabServer}


@pytest.fixture(params=sorted(KINDS))
def server(request):
    with KINDS[request.param]("bank/fraud", token=TOKEN) as running:
        running.kind = request.param
        yield running


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    made = Forge(tmp_path_factory.mktemp("begun"))
    return made, made.model(1)


@pytest.fixture
def run(begun, server, tmp_path):
    forge, entry = begun[0].copied(tmp_path), begun[1]
    settings = ForgeParams(kind=server.kind, project="bank/fraud", api=server.url)
    rules = forge.params.rollout.model_copy(update={"forge": settings})
    params = forge.params.model_copy(update={"rollout": rules})

    def call(token=TOKEN):
        return promote(to="production", key=forge.key, params=params, repo=forge.work, artifact=entry, token=token)

    call.forge = forge
    return call


def test_a_promotion_opens_one_pull_request_with_the_evidence_as_tables(server, run):
    result = run()
    (request,) = server.requests
    assert result["url"] == request.get("html_url", request.get("web_url"))
    text = request.get("body") or request["description"]
    assert "| gate's rule | this model | champion, same rows | bound | result |" in text
    assert request["title"] == result["title"]


def test_run_twice_it_finds_the_first(server, run):
    first = run()
    assert run() == first | {"pushed": False}
    assert len(server.requests) == 1


def test_a_failure_between_the_push_and_the_request_is_made_good_by_the_next_run(server, run):
    server.broken = [503]
    with pytest.raises(UnavailableError, match="503"):
        run()
    assert len(run.forge.branches()) == 1
    assert not server.requests
    result = run()
    assert (result["pushed"], len(server.requests)) == (False, 1)


def test_a_request_that_another_process_made_meanwhile_is_the_one(server, run):
    run()
    server.blind = True  # the search does not see it yet, the forge refuses a second one
    assert run()["url"]
    assert len(server.requests) == 1


def test_a_request_that_a_person_closed_is_not_opened_again(server, run):
    run()
    server.requests[0]["state"] = "closed"
    with pytest.raises(PromotionRefused, match="closed without a merge"):
        run()
    assert len(server.requests) == 1


def test_a_request_that_a_person_closed_is_followed_by_another_once_its_branch_is_deleted(server, run):
    branch = run()["branch"]
    server.requests[0]["state"] = "closed"
    with pytest.raises(PromotionRefused, match="closed without a merge") as caught:
        run()
    assert caught.value.action.endswith(f"git push origin :{branch}")
    git(run.forge.work, "push", "-q", "origin", f":{branch}")
    again = run()
    assert (again["state"], again["pushed"], len(server.requests)) == ("open", True, 2)
    assert run() == again | {"pushed": False}
    assert len(server.requests) == 2


def test_a_wrong_token_says_what_it_must_be_able_to_do(run):
    with pytest.raises(UnavailableError, match="FRAUDLINE_FORGE_TOKEN"):
        run(token="x")  # noqa: S106
    with pytest.raises(UsageError, match="FRAUDLINE_FORGE_TOKEN"):
        run(token="")


class Target:
    branch = "main"


def opened(server):
    return open_forge(ForgeParams(kind=server.kind, project="bank/fraud", api=server.url), TOKEN, Target())


def test_a_merge_waits_for_checks_and_is_bound_to_the_revision(server):
    forge = opened(server)
    request = forge.ensure("rollout/production/x-25", "title", "text")
    server.mergeable = False
    assert forge.merge(request, "ab" * 20) is False
    server.mergeable = True
    assert forge.merge(request, "ab" * 20) is True
    assert server.requests[0]["sha"] == "ab" * 20
    assert forge.ensure("rollout/production/x-25", "title", "text").state == "merged"


def test_a_person_is_asked_once_for_each_title(server):
    forge = opened(server)
    first = forge.ask("Rollout waits", "why")
    assert forge.ask("Rollout waits", "why, again") == first
    assert len(server.issues) == 1
    assert forge.ask("Rollout waits for data", "why") != first
    assert len(server.issues) == 2


def test_a_question_is_found_behind_many_newer_issues():
    with GitHubServer("bank/fraud", token=TOKEN) as server:
        server.kind = "github"
        forge = opened(server)
        first = forge.ask("Rollout waits", "why")
        server.issues += [{"title": f"another {i}", "html_url": f"{server.url}/{i}"} for i in range(100)]
        assert forge.ask("Rollout waits", "why, again") == first


def test_gitea_needs_an_address():
    with pytest.raises(ValueError, match="api is needed for gitea"):
        ForgeParams(kind="gitea", project="bank/fraud")


class Page(JsonServer):
    """Answers every request with the same, as a login page or another service does."""

    def __init__(self, said):
        super().__init__()
        self.said = said

    def reply(self, method, path, query, headers, body):
        return 200, self.said


@pytest.mark.parametrize("said", [[], 5, {"status": "success"}, {"status": "success", "data": {"result": None}}])
def test_what_is_no_prometheus_is_named(said):
    with Page(said) as server, pytest.raises(UnavailableError, match="is no Prometheus") as caught:
        Prometheus(server.url).labels("up")
    assert "--prometheus" in caught.value.action


def test_an_address_that_is_none_does_not_answer():
    with pytest.raises(UnavailableError, match=r"Prometheus at http://\[::1 does not answer"):
        Prometheus("http://[::1").labels("up")


def test_a_page_instead_of_the_forges_api_says_what_to_correct():
    class Login(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html>Sign in")

        def log_message(self, *_):
            pass

    with LoopbackServer(Login) as server, pytest.raises(UnavailableError, match="answers a page") as caught:
        GitHub(ForgeParams(kind="github", project="a/b", api=server.url), "token", "main").ensure("x", "t", "b")
    assert "rollout.forge.api" in caught.value.action


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("answer", [{"message": "moved"}, [{"id": 1}], [5], "up", None])
def test_an_api_of_something_else_is_named_with_what_was_expected(kind, answer):
    with Page(answer) as server:
        server.kind = kind
        forge = opened(server)
        for call in (forge.ensure, lambda *_: forge.ask("title", "text")):
            with pytest.raises(UnavailableError, match=rf"GET {server.url}/\S+ answers .*([Ee]xpect|missing)") as said:
                call("branch", "title", "text")
            assert "rollout.forge.api" in said.value.action
