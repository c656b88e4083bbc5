"""GitHub and GitLab as far as promotion needs them, as their documentation describes it: one HTTP server each.

with GitHubServer("bank/fraud", token="t") as server:
    ForgeParams(kind="github", project="bank/fraud", api=server.url)
server.requests

GitHub: REST API 2022-11-28, "Pulls" and "Issues". GitLab: REST API v4, "Merge requests" and "Issues".
"""

from typing import Any

from tests.support.json_server import Answer, JsonServer


class ForgeServer(JsonServer):
    """What both have in common: pull requests by number, issues, a token; ``broken`` answers in their place."""

    def __init__(self, project: str, *, token: str) -> None:
        self.project, self.token = project, token
        self.requests: list[dict[str, Any]] = []
        self.issues: list[dict[str, Any]] = []
        self.broken: list[int] = []
        self.mergeable = True
        self.blind = False
        super().__init__()

    def reply(self, method: str, path: str, query: dict[str, str], headers: Any, body: dict[str, Any]) -> Answer:
        if self.broken:
            return self.broken.pop(0), {"message": "not today"}
        if not self.allowed(headers):
            return 401, {"message": "Bad credentials"}
        return self.answer(method, path, query, body)

    def allowed(self, headers: Any) -> bool:
        """Whether the token is the right one."""
        raise NotImplementedError

    def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> Answer:
        """Status and body of a call."""
        raise NotImplementedError


class GitHubServer(ForgeServer):
    """api.github.com."""

    def allowed(self, headers: Any) -> bool:
        return bool(headers.get("authorization") == f"Bearer {self.token}")

    def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> Answer:  # noqa: PLR0911
        repo = f"/repos/{self.project}"
        if (method, path) == ("GET", f"{repo}/pulls"):
            owner, _, head = query["head"].partition(":")
            assert owner == self.project.split("/")[0]
            found = [p for p in self.requests if p["head"]["ref"] == head and p["base"]["ref"] == query["base"]]
            return 200, [] if self.blind else found
        if (method, path) == ("POST", f"{repo}/pulls"):
            if any(p["head"]["ref"] == body["head"] and p["state"] == "open" for p in self.requests):
                said = f"A pull request already exists for {self.project.split('/')[0]}:{body['head']}."
                self.blind = False
                return 422, {"message": "Validation Failed", "errors": [{"message": said}]}
            number = len(self.requests) + 1
            url = f"{self.url}/{self.project}/pull/{number}"
            made = {"number": number, "state": "open", "merged_at": None, "html_url": url, "title": body["title"]}
            made |= {"body": body["body"], "head": {"ref": body["head"]}, "base": {"ref": body["base"]}}
            self.requests.append(made)
            return 201, made
        if method == "PUT" and path.startswith(f"{repo}/pulls/") and path.endswith("/merge"):
            if not self.mergeable:
                return 405, {"message": "Required status check is expected."}
            pull = self.requests[int(path.split("/")[-2]) - 1]
            pull |= {"state": "closed", "merged_at": "2026-01-05T06:00:00Z", "sha": body["sha"]}
            return 200, {"merged": True}
        if (method, path) == ("GET", f"{repo}/issues"):
            size, page = int(query["per_page"]), int(query["page"])
            return 200, self.issues[::-1][(page - 1) * size : page * size]
        if (method, path) == ("POST", f"{repo}/issues"):
            self.issues.append({**body, "html_url": f"{self.url}/{self.project}/issues/{len(self.issues) + 1}"})
            return 201, self.issues[-1]
        return 404, {"message": "Not Found"}


class GitLabServer(ForgeServer):
    """gitlab.com/api/v4."""

    def allowed(self, headers: Any) -> bool:
        return bool(headers.get("private-token") == self.token)

    def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> Answer:  # noqa: PLR0911
        project = f"/projects/{self.project.replace('/', '%2F')}"
        requests = f"{project}/merge_requests"
        if (method, path) == ("GET", requests):
            names = {key: query[key] for key in ("source_branch", "target_branch")}
            return 200, [] if self.blind else [m for m in self.requests if names.items() <= m.items()]
        if (method, path) == ("POST", requests):
            if any(m["source_branch"] == body["source_branch"] and m["state"] == "opened" for m in self.requests):
                self.blind = False
                return 409, {"message": ["Another open merge request already exists for this source branch: !1"]}
            number = len(self.requests) + 1
            url = f"{self.url}/{self.project}/-/merge_requests/{number}"
            self.requests.append({**body, "iid": number, "state": "opened", "web_url": url})
            return 201, self.requests[-1]
        if method == "PUT" and path.startswith(f"{requests}/"):
            if not self.mergeable:
                return 405, {"message": "405 Method Not Allowed"}
            request = self.requests[int(path.split("/")[-2]) - 1]
            request |= {"state": "merged", "sha": body["sha"]}
            return 200, request
        if (method, path) == ("GET", f"{project}/issues"):
            return 200, [issue for issue in self.issues if query["search"] in issue["title"]]
        if (method, path) == ("POST", f"{project}/issues"):
            self.issues.append({**body, "web_url": f"{self.url}/{self.project}/-/issues/{len(self.issues) + 1}"})
            return 201, self.issues[-1]
        return 404, {"message": "404 Project Not Found"}
