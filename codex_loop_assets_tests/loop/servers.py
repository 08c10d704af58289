"""Local servers that keep to the protocols of GitHub's issues API and of Slack's incoming webhooks, for tests of
sinks."""

from __future__ import annotations

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

REPOSITORY = "acme/shop"
PAGE = 2  # Small pages, so that paging is exercised.


class GitHubHandler(BaseHTTPRequestHandler):
    """GET /repos/o/r, GET and POST /repos/o/r/issues, PATCH /repos/o/r/issues/n, with tokens, pages and validation."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._handle(None)

    def do_POST(self):
        self._handle(self._body())

    def do_PATCH(self):
        self._handle(self._body())

    def _body(self):
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _handle(self, body):
        hub = self.server.state
        hub["requests"].append((self.command, self.path))
        if self.headers.get("Authorization") != f"token {hub['token']}":
            return self._answer(401, {"message": "Bad credentials"})
        url = urlsplit(self.path)
        if url.path == f"/repos/{REPOSITORY}" and body is None:
            return self._answer(200, {"full_name": REPOSITORY, "name": "shop", "url": self._url(url.path)})
        if url.path == f"/repos/{REPOSITORY}/issues":
            return self._list(parse_qs(url.query)) if body is None else self._create(body)
        match = re.fullmatch(rf"/repos/{REPOSITORY}/issues/(\d+)", url.path)
        if match and int(match[1]) in hub["issues"]:
            return self._edit(hub["issues"][int(match[1])], body)
        return self._answer(404, {"message": "Not Found"})

    def _list(self, query):
        hub = self.server.state
        labels = set(query.get("labels", [""])[0].split(",")) - {""}
        state = query.get("state", ["open"])[0]
        chosen = [
            issue
            for issue in hub["issues"].values()
            if labels <= {label["name"] for label in issue["labels"]} and state in ("all", issue["state"])
        ]
        page = int(query.get("page", ["1"])[0])
        headers = {}
        if len(chosen) > page * PAGE:
            query = self.path.split("?")[1].replace(f"&page={page}", "")
            headers["Link"] = f'<{self._url(f"/repos/{REPOSITORY}/issues")}?{query}&page={page + 1}>; rel="next"'
        return self._answer(200, chosen[(page - 1) * PAGE : page * PAGE], headers)

    def _create(self, body):
        hub = self.server.state
        if not body.get("title") or len(body.get("body", "")) > 65_536:
            return self._answer(422, {"message": "Validation Failed"})
        number = len(hub["issues"]) + 1
        hub["issues"][number] = {
            "number": number, "title": body["title"], "body": body["body"], "state": "open", "state_reason": None,
            "labels": [{"name": name} for name in body.get("labels", [])],
            "url": self._url(f"/repos/{REPOSITORY}/issues/{number}"),
        }  # fmt: skip
        return self._answer(201, hub["issues"][number])

    def _edit(self, issue, body):
        if body is not None:
            if "labels" in body:
                issue["labels"] = [{"name": name} for name in body.pop("labels")]
            issue.update(body)
        return self._answer(200, issue)

    def _url(self, path):
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def _answer(self, status, value, headers=None):
        content = json.dumps(value).encode()
        self.send_response(status)
        for name, text in (
            {"Content-Type": "application/json", "Content-Length": str(len(content))} | (headers or {})
        ).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(content)


class SlackHandler(BaseHTTPRequestHandler):
    """POST with a JSON message of `text` and `blocks`: 200 `ok`, or 400 `invalid_payload`, `invalid_blocks`, 404
    `no_service`."""

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, answer = self._judge(body)
        if status == 200:
            self.server.state["messages"].append(json.loads(body))
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _judge(self, body):
        if not self.path.startswith("/services/"):
            return 404, b"no_service"
        try:
            message = json.loads(body)
        except ValueError:
            return 400, b"invalid_payload"
        blocks = message.get("blocks", [])
        fits = len(blocks) <= 50 and all(0 < len(block["text"]["text"]) <= 3000 for block in blocks)
        return (200, b"ok") if message.get("text") and fits else (400, b"invalid_blocks")


@contextmanager
def serving(handler, **state):
    """Run a handler on a free loopback port; yields (base url, its state)."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.state = state
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", state
    finally:
        server.shutdown()
        server.server_close()
