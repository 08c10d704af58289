"""The HTTP side: routes, authentication, recording, faults. Listens on the loopback address only."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from codex_loop_assets_tests.openai_server.batches import Batches
from codex_loop_assets_tests.openai_server.faults import Fault, Faults
from codex_loop_assets_tests.openai_server.model import Model, phrase_model
from codex_loop_assets_tests.openai_server.responses import BadRequest, embed, respond


class OpenAiServer:
    """`with OpenAiServer(model) as server:` then point the SDK at `server.url` with any key."""

    def __init__(self, model: Model | None = None):
        self.model = model or phrase_model({})
        self.faults = Faults()
        self.batches = Batches(self._answer_line)
        self.requests: list[dict] = []
        self.calls: list[tuple[str, str]] = []
        self.received: list[bytes] = []
        """Bodies as they came, of every route."""
        self.holding = False
        """Whether a slow fault has begun to hold somebody."""
        self.running = 0
        self.most_running = 0
        self._lock = threading.Lock()
        self._http: ThreadingHTTPServer | None = None

    def __enter__(self) -> OpenAiServer:
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that point the SDK here."""
        return dict(zip(("OPENAI_API_KEY", "OPENAI_BASE_URL"), ("any", self.url), strict=True))

    def count(self, method: str, path: str) -> int:
        """How often a route was called."""
        return self.calls.count((method, path))

    def answer(self, body: Mapping, fault: Fault | None) -> dict:
        with self._lock:
            self.requests.append(dict(body))
        return respond(body, self.model, fault)

    def _answer_line(self, body: dict) -> tuple[int, dict]:
        """One line of a batch."""
        fault = self.faults.take("POST", "batch", body)
        if fault is not None and fault.kind == "status":
            return fault.status, error_body("The request failed.", fault.code)
        try:
            return 200, self.answer(body, fault)
        except BadRequest as error:
            return 400, error_body(str(error), "invalid_request_error")


class _Handler(BaseHTTPRequestHandler):
    owner: OpenAiServer
    protocol_version = "HTTP/1.1"
    # Headers and body go out as two writes; without this, the client's delayed acknowledgement costs 40 ms a call.
    disable_nagle_algorithm = True

    def log_message(self, *arguments: object) -> None:
        """Tests read the records, not a log."""

    def do_GET(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def do_DELETE(self) -> None:
        self._handle("DELETE")

    def _handle(self, method: str) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        owner = self.owner
        with owner._lock:
            owner.calls.append((method, path))
            owner.received.append(raw)
            owner.running += 1
            owner.most_running = max(owner.most_running, owner.running)
        try:
            self._route(method, path, raw)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with owner._lock:
                owner.running -= 1

    def _route(self, method: str, path: str, raw: bytes) -> None:
        if not (self.headers.get("Authorization") or "").startswith("Bearer "):
            self._send(401, error_body("Incorrect API key provided.", "invalid_api_key"))
            return
        multipart = (self.headers.get("Content-Type") or "").startswith("multipart/")
        body = json.loads(raw) if raw and not multipart else {}
        fault = self.owner.faults.take(method, path, body)
        if fault is not None and self._fails(fault):
            return
        try:
            status, answer = self._answer(method, path, body, raw, fault)
        except BadRequest as error:
            status, answer = 400, error_body(str(error), None)
        if fault is not None and fault.kind == "slow_after":
            self._hold(fault)
        if fault is not None and fault.kind == "drop_after":
            self._drop()
        elif fault is not None and fault.kind == "not_json":
            self._send_bytes(200, b"<html>upstream error</html>", {})
        elif isinstance(answer, bytes):
            self._send_bytes(status, answer, {"Content-Type": "application/octet-stream"})
        else:
            self._send(status, answer)

    def _fails(self, fault: Fault) -> bool:
        if fault.kind == "status":
            self._send(fault.status, error_body("The server failed on demand.", fault.code), fault.headers)
        elif fault.kind == "drop":
            self._drop()
        elif fault.kind == "slow":
            self._hold(fault)
            return False
        return fault.kind in ("status", "drop")

    def _hold(self, fault: Fault) -> None:
        self.owner.holding = True
        time.sleep(fault.seconds)

    def _answer(self, method: str, path: str, body: dict, raw: bytes, fault: Fault | None) -> tuple[int, object]:
        batches = self.owner.batches
        parts = path.removeprefix("/v1/").split("/")
        match (method, *parts):
            case ("POST", "responses"):
                return 200, self.owner.answer(body, fault)
            case ("POST", "embeddings"):
                return 200, embed(body, fault)
            case ("POST", "files"):
                return 200, batches.upload(*self._multipart(raw))
            case ("POST", "batches"):
                return 200, batches.create(body)
            case ("GET", "batches"):
                query = parse_qs(urlsplit(self.path).query)
                return 200, batches.listing(int(query.get("limit", ["20"])[0]), query.get("after", [None])[0])
            case ("GET", "batches", name) if name in batches.batches:
                return 200, batches.batches[name]
            case ("POST", "batches", name, "cancel") if name in batches.batches:
                batches.batches[name]["status"] = "cancelled"
                return 200, batches.batches[name]
            case ("GET", "files", name) if name in batches.files:
                return 200, batches.files[name][0]
            case ("GET", "files", name, "content") if name in batches.files:
                return 200, batches.files[name][1]
            case ("DELETE", "files", name) if name in batches.files:
                del batches.files[name]
                return 200, {"id": name, "object": "file", "deleted": True}
        return 404, error_body(f"No such route or object: {method} {path}", "not_found")

    def _multipart(self, raw: bytes) -> tuple[str, str, bytes]:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        fields: dict[str, tuple[str, bytes]] = {}
        for part in message_from_bytes(head + raw, policy=HTTP).iter_parts():
            name = part.get_param("name", header="content-disposition")
            fields[name] = (part.get_filename() or "", part.get_payload(decode=True))
        if set(fields) != {"file", "purpose"}:
            raise BadRequest("'file' and 'purpose' are required.")
        return fields["file"][0], fields["purpose"][1].decode(), fields["file"][1]

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.close()

    def _send(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        self._send_bytes(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send_bytes(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def error_body(message: str, code: str | None) -> dict:
    """An error in OpenAI's form."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
