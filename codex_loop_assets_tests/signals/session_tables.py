"""Canonical tables for tests: of one invented session, written step by step, and of a whole Codex home."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from codex_loop_assets.canon import everything
from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.tables import EVENTS, SESSIONS, SPINES, TOOL_CALLS, TURNS
from codex_loop_assets.traces.day import build_day
from codex_loop_assets.traces.discover import discover
from codex_loop_assets.traces.homes import CodexHome

START = datetime(2026, 2, 10, 9, tzinfo=UTC)


def canon_of(home: Path) -> CanonTables:
    """The canonical tables of all sessions of a Codex home."""
    traces = build_day(date(2026, 3, 1), discover([CodexHome("planted", home, "here")]))
    built = everything.build(traces.events, traces.spines)
    return CanonTables(traces.spines, traces.events, built.sessions, built.turns, built.tool_calls)


class SessionTables:
    """Collects rows; every method appends records in order and returns the session, so that calls chain."""

    def __init__(self, thread_id: str = "t1", **session: Any) -> None:
        self.thread_id = thread_id
        self._session = session
        self._seq = 0
        self._at = START
        self._turns: list[dict] = []
        self._calls: list[dict] = []
        self._events: list[dict] = []

    def ask(self, words: str = "do it", *, kind: str = "prompt", **changes: Any) -> SessionTables:
        seq = self._next()
        turn = {
            **self._place(), "seq_start": seq, "seq_end": seq, "occurred_at": self._at, "turn_index": len(self._turns),
            "user_message": words, "end_state": "completed", "source": "spine", "kind": kind, "human": True,
            "rolled_back": False, "interrupted": False, "undone": False, "compaction_count": 0, "tool_call_count": 0,
            "failed_tool_call_count": 0, "turn_id": str(len(self._turns) + 1),
        }  # fmt: skip
        self._turns.append({**turn, **changes})
        return self

    def run(self, command: str, exit_code: int | None = 0, output: str = "", **changes: Any) -> SessionTables:
        status = "completed" if exit_code == 0 else "failed"
        values = {"command": command, "exit_code": exit_code, "output": output, "status": status}
        return self._call("shell", **{**values, "success": exit_code == 0, **changes})

    def patch(self, path: str, removed: str = "", added: str = "x = 1", **changes: Any) -> SessionTables:
        lines = [f"-{line}" for line in removed.splitlines()] + [f"+{line}" for line in added.splitlines()]
        change = {
            path: {"type": "update", "unified_diff": "@@ -1 +1 @@\n" + "\n".join(lines) + "\n", "move_path": None}
        }
        values = {"paths": [path], "changes": json.dumps(change), "success": True, "status": "completed"}
        return self._call("apply_patch", **{**values, **changes})

    def plan(self, *steps: tuple[str, str]) -> SessionTables:
        plan = [{"step": step, "status": status} for step, status in steps]
        return self._call("update_plan", arguments=json.dumps({"plan": plan}), success=True, status="completed")

    def say(self, text: str) -> SessionTables:
        return self.event("agent_message", text=text, role="assistant")

    def event(self, kind: str, *, wait: timedelta = timedelta(seconds=1), detail: dict | None = None, **fields: Any):
        seq = self._next(wait)
        self._events.append(
            {
                **self._place(),
                "source": "spine",
                "seq": seq,
                "part": 0,
                "ordinal": seq,
                "ts": self._at,
                "kind": kind,
                "payload_bytes": 10,
                "file": "segment-000.jsonl",
                "offset": seq,
                "detail": json.dumps(detail) if detail else None,
                **fields,
            }
        )
        return self

    def tables(self) -> CanonTables:
        spine = {
            "thread_id": self.thread_id, "source": "spine", "home": "h", "path": self.thread_id, "status": "ingested",
            "bytes": 1, "lines": 1, "records": 1, "fingerprint": "f", "lines_read": 1, "lines_skipped": 0,
            "lines_torn": 0, "skipped": "{}", "unknown_kinds": "{}", "notes": "[]", "era": "spine_v1",
            "started_from": "metadata", "files": "[]", "started_at": START,
        }  # fmt: skip
        session = {
            "thread_id": self.thread_id, "source": "spine", "home": "h", "session_source": "cli", "started_at": START,
            "turn_count": len(self._turns), "human_turn_count": sum(turn["human"] for turn in self._turns),
            "tool_call_count": len(self._calls), "failed_tool_call_count": 0, "run_count": 1, "compaction_count": 0,
            "error_count": 0, "approvals_observable": True, "human": True, "excluded": False, "is_eval": False,
            "outcome": "completed", "outcome_reason": "the last turn ended", **self._session,
        }  # fmt: skip
        return CanonTables(
            SPINES.frame([spine]),
            EVENTS.frame(self._events),
            SESSIONS.frame([session]),
            TURNS.frame(self._turns),
            TOOL_CALLS.frame(self._calls),
        )

    def _call(self, name: str, **fields: Any) -> SessionTables:
        seq = self._next()
        self._seq += 1
        call = {
            **self._place(), "call_id": f"call-{seq}", "seq_start": seq, "seq_end": self._seq, "occurred_at": self._at,
            "name": name, "approval_requests": 0, "ambiguous_approval": False, "actor": "agent", "source": "spine",
        }  # fmt: skip
        self._calls.append({**call, **fields})
        if self._turns:
            self._turns[-1]["seq_end"] = self._seq
        return self

    def _next(self, wait: timedelta = timedelta(seconds=1)) -> int:
        self._seq += 1
        self._at += wait
        if self._turns:
            self._turns[-1]["seq_end"] = self._seq
        return self._seq

    def _place(self) -> dict:
        return {"thread_id": self.thread_id, "run": 0, "turn_id": str(len(self._turns)) if self._turns else None}


def together(*sessions: SessionTables) -> CanonTables:
    """Several sessions as the tables of one day."""
    tables = [session.tables() for session in sessions]
    names = ("spines", "events", "sessions", "turns", "tool_calls")
    return CanonTables(*(pl.concat([getattr(one, name) for one in tables]) for name in names))
