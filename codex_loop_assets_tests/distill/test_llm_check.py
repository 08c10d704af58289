"""Laws of checks that a model writes: only with a key, paid for once, marked, and never taken on trust."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from codex_loop_assets.distill.distil import distil_cluster
from codex_loop_assets.settings import section
from codex_loop_assets_tests.distill.worlds import CALC_FILES, NOW, Session, canon, git, members, repository


@pytest.fixture
def model(monkeypatch):
    """A server that speaks the Responses API: `answers` holds the script it gives, `asked` what it was sent."""

    class Server(ThreadingHTTPServer):
        script = "grep -q '^# the' README.md"
        asked: list[dict] = []  # noqa: RUF012

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.server.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            text = json.dumps({"script": self.server.script, "reason": "a matter of taste"})
            message = {
                "type": "message",
                "id": "m",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": text, "annotations": []}],
            }
            body = {
                "id": "r",
                "object": "response",
                "created_at": 0,
                "model": "m",
                "status": "completed",
                "output": [message],
            }
            body |= {"parallel_tool_calls": False, "tool_choice": "auto", "tools": []}
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments):
            pass

    server = Server(("127.0.0.1", 0), Handler)
    Server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OPENAI_API_KEY", "k" * 8)
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_address[1]}/v1")
    yield server
    server.shutdown()
    server.server_close()


def free_wording(tmp_path) -> dict:
    if not (tmp_path / "calc").exists():
        repository(tmp_path / "calc", CALC_FILES)
    commit = git(tmp_path / "calc", "rev-parse", "HEAD")
    session = Session("t1", commit).ask("find a nicer heading for the README")
    session.patch({"README.md": ("# calc\n", "# the calculator of champions\n")}).signal("fast_completion", "delight")
    repositories = {"https://example.org/ann/calc.git": tmp_path / "calc"}
    (row,) = distil_cluster(
        "c",
        members(session),
        canon(session),
        repositories,
        tmp_path / "home",
        section("distill"),
        NOW,
        redact=lambda text, thread: text,
    ).to_dicts()
    return row


def test_a_written_check_is_marked_and_paid_for_once(tmp_path, model):
    row = free_wording(tmp_path)
    assert (row["stage"], row["verifier_kind"], row["reason"]) == ("built", "llm", "")
    task = tmp_path / "home" / row["task_dir"]
    assert (task / "tests" / "check.sh").read_text() == model.script + "\n"
    assert 'verifier_model = "gpt-5-mini"' in (task / "task.toml").read_text()
    assert free_wording(tmp_path) == row
    assert len(model.asked) == 1


@pytest.mark.parametrize("script", ["", "if", "cat /solution/solution.patch", "x" * 9000])
def test_what_is_no_honest_check_leaves_the_task_for_review(tmp_path, model, script):
    model.script = script
    row = free_wording(tmp_path)
    assert row["verifier_kind"] == "none" and "/needs_review/" in row["task_dir"]


def test_without_a_key_nothing_is_asked(tmp_path, model, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert free_wording(tmp_path)["verifier_kind"] == "none"
    assert model.asked == []
