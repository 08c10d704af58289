"""Synthetic Codex rollouts shaped like real ones, for measuring speed where there is no folder of real sessions.

The shape is that of the rollouts Codex wrote in winter 2025/26, line by line: per model request a repeated turn
context, two token counts, reasoning (its summary as an event and as an item with encrypted text, or encrypted text
alone), a call and its output; per prompt a message and its event, a snapshot and the answer; a session_meta of 16 kB
and the project's instructions. Texts, commands and outputs differ from line to line, so that nothing is fast for being
the same. Seeded: the same bytes each time.

What a parser's speed depends on, per kilobyte, here and in a hundred real rollouts: see `make bench`, which counts it.
"""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

_TEXT = (
    "the handler reads settings from a file and the test expects one row per session while index cache returns value "
    "path module build migrate column parse lexer request response user update fix check run list"
)
_WORDS = _TEXT.split()
# What JSON escapes and what is not ASCII slows a parser down, and real text is full of it: without these words the
# baseline would be too fast.
_PROSE = (*_WORDS, '"path"', '"row"', "done.\n\nNext", "`a\tb`\n\n-", "{\n\n}", "–", "größer")
_CIPHER = string.ascii_letters + string.digits + "-_"
_COMMANDS = (
    "rg -n {} src",
    "sed -n '1,160p' src/{}.py",
    "pytest -q tests/test_{}.py",
    "git diff -- src/{}.py",
    "ls {}",
)
_REQUESTS = 6
_PROMPTS = 3


def write_home(home: Path, megabytes: int, sessions_a_day: int = 400) -> None:
    """Sessions of some 20 model requests each, a full day before the next day begins, until the size is reached."""
    random_ = random.Random(20260105)
    written, number = 0, 0
    while written < megabytes * 1_000_000:
        thread = _thread(random_)
        start = datetime(2026, 1, 1 + number // sessions_a_day, 9, tzinfo=UTC) + timedelta(minutes=number % 60)
        data = b"".join(session(thread, start, random_))
        name = f"rollout-{start:%Y-%m-%dT%H-%M-%S}-{thread}.jsonl"
        target = home / "sessions" / f"{start:%Y}" / f"{start:%m}" / f"{start:%d}" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        written, number = written + len(data), number + 1


def write_one_session(home: Path, megabytes: int) -> None:
    """One thread of that size: prompts go on and on. Its turns repeat after the first 200, with new call ids."""
    random_ = random.Random(20260105)
    thread, start = _thread(random_), datetime(2026, 1, 5, 9, tzinfo=UTC)
    target = home / "sessions" / "2026" / "01" / "05" / f"rollout-{start:%Y-%m-%dT%H-%M-%S}-{thread}.jsonl"
    target.parent.mkdir(parents=True)
    lines = session(thread, start, random_, prompts=200)
    head, body = next(lines), b"".join(lines)
    with target.open("wb") as file:
        file.write(head)
        copy = 0
        while file.tell() < megabytes * 1_000_000:
            file.write(body.replace(b':"call_', b':"call_%d_' % copy))
            copy += 1


def session(
    thread: str, start: datetime, random_: random.Random, prompts: int = _PROMPTS, requests: int = _REQUESTS
) -> Iterator[bytes]:
    """The lines of one rollout."""
    clock = _Clock(start)
    meta = {"id": thread, "timestamp": clock.text(), "cwd": "/home/ann/app", "originator": "codex_cli_rs"}
    meta |= {"cli_version": "0.98.0", "source": "cli", "model_provider": "openai"}
    yield clock.line("session_meta", {**meta, "instructions": _prose(random_, 15_000)})
    context = {"cwd": "/home/ann/app", "approval_policy": "on-request", "sandbox_policy": {"type": "workspace-write"}}
    context |= {"model": "gpt-5.2-codex", "effort": "high", "user_instructions": _prose(random_, 2_000)}
    rules = "# AGENTS.md instructions for /home/ann/app\n\n" + _prose(random_, 12_000)
    yield clock.line("response_item", _message("user", rules))
    total = 0
    for _ in range(prompts):
        asked = _prose(random_, 4_000)
        yield clock.line("response_item", _message("user", asked))
        yield clock.line("event_msg", {"type": "user_message", "message": asked, "images": []})
        files = [f"src/{_code(random_, 30).replace(' ', '/')}.py" for _ in range(120)]
        commit = {"id": f"{random_.getrandbits(160):040x}", "parent": None, "preexisting_untracked_files": files}
        yield clock.line("response_item", {"type": "ghost_snapshot", "ghost_commit": commit})
        for _ in range(requests):
            yield clock.line("turn_context", context)
            total += random_.randrange(500, 20_000)
            yield from _request(clock, random_, total)
        answer = _prose(random_, 3_000)
        yield clock.line("event_msg", {"type": "agent_message", "message": answer})
        yield clock.line("response_item", _message("assistant", answer))


def _message(role: str, text: str) -> dict:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def _request(clock: _Clock, random_: random.Random, total: int) -> Iterator[bytes]:
    """One model request: reasoning, its token count (written twice), a call, its output."""
    summary = []
    if random_.random() < 0.7:
        text = f"**{_prose(random_, 60)}**\n\n{_prose(random_, 150)}"
        summary = [{"type": "summary_text", "text": text}]
        yield clock.line("event_msg", {"type": "agent_reasoning", "text": text})
    cipher = "gAAAAAB" + "".join(random_.choices(_CIPHER, k=random_.randrange(1_000, 4_500)))
    item = {"type": "reasoning", "summary": summary, "content": None, "encrypted_content": cipher}
    yield clock.line("response_item", item)
    usage = {"input_tokens": total, "cached_input_tokens": total // 2, "output_tokens": 400}
    usage |= {"reasoning_output_tokens": 200, "total_tokens": total + 400}
    info = {"total_token_usage": usage, "last_token_usage": usage, "model_context_window": 258_400}
    limit = {"used_percent": 12.0, "window_minutes": 300, "resets_at": 1_767_600_000}
    count = {"type": "token_count", "info": info, "rate_limits": {"primary": limit, "secondary": limit}}
    yield clock.line("event_msg", count)
    yield clock.line("event_msg", count)
    call = f"call_{random_.getrandbits(96):024x}"
    patched = random_.random() < 0.15
    yield clock.line("response_item", _patch(random_, call) if patched else _shell(random_, call))
    kind = "custom_tool_call_output" if patched else "function_call_output"
    code = 0 if patched or random_.random() < 0.9 else 1
    size = 200 if patched else random_.choice((200, 600, 1_600, 6_000))
    output = f"Exit code: {code}\nWall time: 0.4 seconds\nOutput:\n" + _listing(random_, size)
    if code:
        output += f"\nerror: {_prose(random_, 60)} not found"
    yield clock.line("response_item", {"type": kind, "call_id": call, "output": output})


def _shell(random_: random.Random, call: str) -> dict:
    command = random_.choice(_COMMANDS).format(random_.choice(_WORDS))
    arguments = json.dumps({"command": command, "workdir": "/home/ann/app"})
    return {"type": "function_call", "name": "shell_command", "arguments": arguments, "call_id": call}


def _patch(random_: random.Random, call: str) -> dict:
    hunks = "\n".join(f"{random_.choice('-+ ')}    {_code(random_, 60)}" for _ in range(30))
    patch = f"*** Begin Patch\n*** Update File: src/{random_.choice(_WORDS)}.py\n@@\n{hunks}\n*** End Patch"
    return {"type": "custom_tool_call", "status": "completed", "call_id": call, "name": "apply_patch", "input": patch}


def _prose(random_: random.Random, length: int) -> str:
    return " ".join(random_.choices(_PROSE, k=max(1, length // 6)))


def _code(random_: random.Random, length: int) -> str:
    return " ".join(random_.choices(_WORDS, k=max(1, length // 6)))


def _listing(random_: random.Random, length: int) -> str:
    return "\n".join(f"src/{random_.choice(_WORDS)}.py:{n}: {_prose(random_, 60)}" for n in range(max(1, length // 80)))


def _thread(random_: random.Random) -> str:
    digits = f"{random_.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-7{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


class _Clock:
    """Gives each line the next time, a second and a half later than the last."""

    def __init__(self, start: datetime):
        self._now = start

    def text(self) -> str:
        self._now += timedelta(milliseconds=1_500)
        return self._now.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def line(self, kind: str, payload: dict) -> bytes:
        record = {"timestamp": self.text(), "type": kind, "payload": payload}
        return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
