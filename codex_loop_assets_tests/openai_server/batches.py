"""Files and batches: a small store with the life cycle of the real one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

from codex_loop_assets_tests.openai_server.responses import BadRequest


class Batches:
    """Uploaded files and batches of POST /v1/responses. A batch waits until `run` or `expire`, or runs at once."""

    def __init__(self, answer: Callable[[dict], tuple[int, dict]]):
        self._answer = answer
        self._lock = threading.RLock()
        self.files: dict[str, tuple[dict, bytes]] = {}
        self.batches: dict[str, dict] = {}
        self.at_once = False
        self.ascii = True

    def upload(self, name: str, purpose: str, content: bytes) -> dict:
        with self._lock:
            number = f"file-{len(self.files) + len(self.batches) + 1:06d}-{time.monotonic_ns()}"
            entry = {
                "id": number,
                "object": "file",
                "bytes": len(content),
                "created_at": int(time.time()),
                "filename": name,
                "purpose": purpose,
                "status": "processed",
            }
            self.files[number] = (entry, content)
            return entry

    def create(self, body: dict) -> dict:
        """A new batch, oldest state `validating`. Raises BadRequest."""
        with self._lock:
            if body.get("endpoint") != "/v1/responses" or body.get("completion_window") != "24h":
                raise BadRequest("Invalid 'endpoint' or 'completion_window'.")
            if body.get("input_file_id") not in self.files:
                raise BadRequest("Invalid 'input_file_id'.")
            metadata = body.get("metadata") or {}
            if len(metadata) > 16 or any(len(key) > 64 or len(value) > 512 for key, value in metadata.items()):
                raise BadRequest("Invalid 'metadata'.")
            batch = {
                "id": f"batch_{len(self.batches) + 1:06d}",
                "object": "batch",
                "endpoint": body["endpoint"],
                "errors": None,
                "input_file_id": body["input_file_id"],
                "completion_window": "24h",
                "status": "validating",
                "output_file_id": None,
                "error_file_id": None,
                "created_at": int(time.time()),
                "metadata": metadata,
                "request_counts": {"total": 0, "completed": 0, "failed": 0},
            }
            self.batches[batch["id"]] = batch
        if self.at_once:
            self.run()
        return batch

    def listing(self, limit: int, after: str | None) -> dict:
        """Newest first, as the real listing, page by page."""
        with self._lock:
            ids = list(reversed(self.batches))
            start = ids.index(after) + 1 if after else 0
            page = ids[start : start + limit]
            return {
                "object": "list",
                "data": [self.batches[name] for name in page],
                "first_id": page[0] if page else None,
                "last_id": page[-1] if page else None,
                "has_more": start + limit < len(ids),
            }

    def run(self) -> None:
        """Bring every waiting batch to its end."""
        for batch in self._waiting():
            self._finish(batch, "completed", None)

    def expire(self, keep: int = 0) -> None:
        """Let every waiting batch expire after its first `keep` requests were answered."""
        for batch in self._waiting():
            self._finish(batch, "expired", keep)

    def fail(self, message: str) -> None:
        """Let every waiting batch fail its validation."""
        for batch in self._waiting():
            batch["errors"] = {"object": "list", "data": [{"code": "invalid", "message": message, "line": 1}]}
            batch["status"] = "failed"

    def _waiting(self) -> list[dict]:
        with self._lock:
            return [batch for batch in self.batches.values() if batch["status"] == "validating"]

    def _finish(self, batch: dict, status: str, keep: int | None) -> None:
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]][1].splitlines()]
        outputs, errors = [], []
        for number, line in enumerate(lines):
            entry = {"id": f"batch_req_{number}", "custom_id": line["custom_id"], "response": None, "error": None}
            if keep is not None and number >= keep:
                entry["error"] = {"code": "batch_expired", "message": "This request could not be executed in time."}
                errors.append(entry)
                continue
            code, body = self._answer(line["body"])
            entry["response"] = {"status_code": code, "request_id": f"req_{number}", "body": body}
            (outputs if code == 200 else errors).append(entry)
        batch["output_file_id"] = self._result_file(outputs)
        batch["error_file_id"] = self._result_file(errors)
        batch["request_counts"] = {"total": len(lines), "completed": len(outputs), "failed": len(errors)}
        batch["status"] = status

    def _result_file(self, entries: list[dict]) -> str | None:
        if not entries:
            return None
        # The real output is in no particular order.
        text = "\n".join(json.dumps(entry, ensure_ascii=self.ascii) for entry in reversed(entries))
        return self.upload("result.jsonl", "batch_output", text.encode())["id"]
