"""Small Codex homes made by tests, written the way Codex writes them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from codex_loop_assets.traces.day import DayTraces, build_day
from codex_loop_assets.traces.discover import discover
from codex_loop_assets.traces.homes import CodexHome

THREAD = "019c1b2e-7c1a-7d31-9a54-0f6f2b1c9d10"
OTHER = "019c1b3f-0d22-7b10-8d01-5a5d1f2e3c4b"
START = datetime(2026, 2, 1, 18, 2, 11, tzinfo=UTC)
DAY = date(2026, 2, 1)


def moment(seconds: float) -> str:
    """Codex's time text, some seconds after START."""
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def dumps(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def meta(thread: str = THREAD, **more: object) -> dict:
    base = {"id": thread, "timestamp": moment(0), "cwd": "/home/ann/app", "originator": "codex_cli_rs"}
    return {**base, "cli_version": "0.97.0", "source": "cli", "model_provider": "openai", **more}


def line(seconds: float, kind: str, payload: object, **more: object) -> dict:
    """A rollout line (September 2025 on)."""
    return {"timestamp": moment(seconds), **more, "type": kind, "payload": payload}


def said(role: str, text: str) -> dict:
    part = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": part, "text": text}]}


def prompt(seconds: float, text: str) -> list[dict]:
    """A prompt as builds since September 2025 write it: the item, then the event."""
    return [
        line(seconds, "response_item", said("user", text)),
        line(seconds, "event_msg", {"type": "user_message", "message": text, "images": []}),
    ]


def answer(seconds: float, text: str) -> list[dict]:
    return [
        line(seconds, "event_msg", {"type": "agent_message", "message": text}),
        line(seconds, "response_item", said("assistant", text)),
    ]


def call(seconds: float, call_id: str, command: str, output: str) -> list[dict]:
    arguments = json.dumps({"command": command, "workdir": "/home/ann/app"})
    request = {"type": "function_call", "name": "shell_command", "arguments": arguments, "call_id": call_id}
    result = {"type": "function_call_output", "call_id": call_id, "output": output}
    return [line(seconds, "response_item", request), line(seconds + 1, "response_item", result)]


def exited(code: int, text: str = "") -> str:
    return f"Exit code: {code}\nWall time: 0.4 seconds\nOutput:\n{text}"


def tokens(seconds: float, total: int, last: int | None = None) -> dict:
    def usage(sum_: int) -> dict:
        parts = {"input_tokens": sum_ - 10, "cached_input_tokens": 5, "output_tokens": 10, "reasoning_output_tokens": 2}
        return {**parts, "total_tokens": sum_}

    info = {"total_token_usage": usage(total), "last_token_usage": usage(total if last is None else last)}
    info["model_context_window"] = 258400
    return line(seconds, "event_msg", {"type": "token_count", "info": info, "rate_limits": None})


def rollout_path(home: Path, thread: str = THREAD, suffix: str = ".jsonl", folder: str = "sessions/2026/02/01") -> Path:
    return home / folder / f"rollout-2026-02-01T18-02-11-{thread}{suffix}"


def write_rollout(path: Path, lines: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(dumps(entry) + b"\n" for entry in lines))
    return path


class Spine:
    """Composes the records of a trace spine, numbering them as the recorder does."""

    def __init__(self, thread: str = THREAD):
        self.thread = thread
        self.records: list[dict] = []
        self.seq = 0

    def add(self, kind: str, payload: object, seconds: float | None = None) -> Spine:
        self.seq += 1
        self.records.append(
            {
                "schema_version": "codex_trace_spine_v1",
                "thread_id": self.thread,
                "seq": self.seq,
                "timestamp": moment(self.seq if seconds is None else seconds),
                "type": kind,
                "payload": payload,
            }
        )
        return self

    def meta(self, **more: object) -> Spine:
        return self.add("session_meta", meta(self.thread, **more))

    def event(self, turn: str, kind: str, **fields: object) -> Spine:
        return self.add("event", {"id": turn, "msg": {"type": kind, **fields}})

    def item(self, turn: str, **fields: object) -> Spine:
        return self.event(turn, "raw_response_item", item=fields)

    def submit(self, submission: str, kind: str, **fields: object) -> Spine:
        return self.add("submission", {"id": submission, "op": {"type": kind, **fields}})

    def prompt(self, turn: str, text: str, kind: str = "user_turn") -> Spine:
        """A prompt with all the records that repeat it."""
        content = [{"type": "text", "text": text, "text_elements": []}]
        policies = {"approval_policy": "on-request", "sandbox_policy": {"type": "workspace-write"}, "model": "gpt-5.2"}
        self.submit(turn, kind, items=content, cwd="/home/ann/app", **policies)
        self.event(turn, "task_started", model_context_window=258400)
        self.event(turn, "raw_response_item", item=said("user", text))
        message = {"type": "UserMessage", "id": "m", "content": content}
        self.event(turn, "item_completed", thread_id=self.thread, turn_id=turn, item=message)
        return self.event(turn, "user_message", message=text, images=[])

    def shell(self, turn: str, call_id: str, command: str, code: int, stdout: str = "") -> Spine:
        arguments = json.dumps({"command": command})
        self.item(turn, type="function_call", name="shell_command", arguments=arguments, call_id=call_id)
        argv = ["bash", "-lc", command]
        self.event(turn, "exec_command_begin", call_id=call_id, turn_id=turn, command=argv, cwd="/home/ann/app")
        return self.shell_end(turn, call_id, command, code, stdout)

    def shell_end(self, turn: str, call_id: str, command: str, code: int, stdout: str = "", stderr: str = "") -> Spine:
        self.event(
            turn, "exec_command_end", call_id=call_id, turn_id=turn, command=["bash", "-lc", command], cwd="/home/ann/app",
            parsed_cmd=[{"type": "unknown", "cmd": command}], source="agent", stdout=stdout, stderr=stderr,
            aggregated_output=stdout + stderr, exit_code=code, duration={"secs": 1, "nanos": 500_000_000},
        )  # fmt: skip
        return self.item(turn, type="function_call_output", call_id=call_id, output=exited(code, stdout + stderr))

    def done(self, turn: str, text: str | None = "Done.") -> Spine:
        if text:
            self.event(turn, "agent_message", message=text)
        return self.event(turn, "task_complete", last_agent_message=text)

    def write(self, home: Path, segments: list[int] | None = None, closed: bool = True) -> Path:
        """Write the records; `segments`: how many records each segment takes (all in one by default)."""
        folder = home / "trace_spine" / self.thread
        (folder / "artifacts").mkdir(parents=True, exist_ok=True)
        left = list(self.records)
        for index, count in enumerate(segments or [len(left)]):
            part, left = left[:count], left[count:]
            data = b"".join(dumps(record) + b"\n" for record in part)
            (folder / f"segment-{index:03d}.jsonl").write_bytes(data)
            if closed and part:
                about = {"schema_version": "codex_trace_spine_v1", "thread_id": self.thread, "segment_index": index}
                about |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "record_count": len(part)}
                (folder / f"segment-{index:03d}.meta.json").write_text(json.dumps(about, indent=2))
        return folder


def ingest(home: Path, previous: DayTraces | None = None, **options: object) -> DayTraces:
    """Everything in the home as one day, with reconciled numbers checked."""
    spines, events = (previous.spines, previous.events) if previous else (None, None)
    found = build_day(DAY, discover([CodexHome("ann", home, "laptop")]), spines, events, **options)
    for row in found.spines.iter_rows(named=True):
        assert row["lines"] == row["lines_read"] + row["lines_skipped"] + row["lines_torn"], row
        assert sum(json.loads(row["skipped"]).values()) == row["lines_skipped"], row
    return found
