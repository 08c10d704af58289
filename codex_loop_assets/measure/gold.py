"""Reading labelled data: the planted truth of the fixtures, labels on real sessions, invented conversations.

Each loader gives a `Truth`; invented conversations also become canonical tables, so that a judge can read them. What
does
not belong here: scoring.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import polars as pl

from codex_loop_assets.measure.truth import LabelledMoment, Truth
from codex_loop_assets.settings import section
from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.tables import EVENTS, SESSIONS, SPINES, TOOL_CALLS, TURNS

Parity = Literal["even", "odd"]
# An invented conversation has no records; each of its messages gets this many places.
_RECORDS_PER_TURN = 10
_FIRST_DAY = datetime(2026, 1, 5, 9, tzinfo=UTC)


def fixture_truth(path: Path, name: str = "planted_fixtures", split: str | None = None) -> Truth:
    """The truth beside a generated Codex home (`truth.json`); `split` keeps only moments of that split ("held_out")."""
    data = json.loads(path.read_text("utf-8"))
    moments = [_fixture_moment(row) for row in data["moments"] if split in (None, row.get("split"))]
    sessions = {row["thread_id"]: (row.get("languages") or ["en"])[0] for row in data.get("sessions", ())}
    sessions |= {
        row["thread_id"]: row.get("language", "en") for row in data["moments"] if row["thread_id"] not in sessions
    }
    open_rows = [row for row in data.get("undecided", ()) if row.get("category")]
    other_split = [row for row in data["moments"] if split not in (None, row.get("split"))]
    undecided = [_fixture_moment(row) for row in (*open_rows, *other_split)]
    return Truth(name, sessions, tuple(moments), tuple(undecided))


def _fixture_moment(row: Mapping[str, Any]) -> LabelledMoment:
    seqs = (row["seq_start"], *row.get("also_seq", ()))
    known = section("categories").get(row["category"], {})
    kind = row.get("type") or known.get("type", "friction")
    observed_by = row.get("observed_by") or known.get("detector", "mechanical")
    return LabelledMoment(
        row["thread_id"], row.get("run", 0), seqs, row["category"], kind, observed_by, row.get("scope", "record"),
        severity=row.get("severity"),
    )  # fmt: skip


def real_session_truth(labels: Path, spines: pl.DataFrame, name: str = "gold_dev") -> Truth:
    """Labels by file and line on real rollouts. `spines` says which thread each file became; others are left out."""
    rows = [json.loads(line) for line in labels.read_text("utf-8").splitlines() if line.strip()]
    threads = {PurePosixPath(path).name: thread for thread, path in spines.select("thread_id", "path").iter_rows()}
    placed = [(threads.get(PurePosixPath(row["file"]).name), row) for row in rows]
    languages = {thread: "real" for thread, row in placed if thread and row.get("read")}
    moments = [
        _message_label(thread, row["line"], row) for thread, row in placed if thread in languages and "category" in row
    ]
    return Truth(name, languages, tuple(moments))


def _message_label(thread: str, seq: int, label: Mapping[str, Any]) -> LabelledMoment:
    kind = section("categories").get(label["category"], {}).get("type", "friction")
    return LabelledMoment(
        thread, 0, (seq,), label["category"], kind, "semantic", confident=label.get("confidence") == "high",
        severity=label.get("severity"),
    )  # fmt: skip


def planted_conversations(paths: Iterable[Path], parity: Parity) -> list[dict[str, Any]]:
    """Invented conversations whose id has an even number (for tuning) or an odd one (for testing only)."""
    wanted = 0 if parity == "even" else 1
    rows = [json.loads(line) for path in sorted(paths) for line in path.read_text("utf-8").splitlines() if line.strip()]
    return [row for row in rows if int(row["id"].rsplit("-", 1)[-1]) % 2 == wanted]


def planted_truth(conversations: Iterable[Mapping[str, Any]], parity: Parity) -> Truth:
    """The labels of invented conversations, placed on the records that `planted_canon` gives them."""
    moments = []
    languages = {}
    for conversation in conversations:
        languages[conversation["id"]] = conversation["lang"]
        for index, turn in enumerate(conversation["turns"]):
            moments += [_message_label(conversation["id"], _seq(index), label) for label in turn["labels"]]
    return Truth(f"gold_planted_{parity}", languages, tuple(moments))


def planted_canon(conversations: Iterable[Mapping[str, Any]]) -> CanonTables:
    """Invented conversations as sessions: turns with words, failing tool calls, aborts, rollbacks, compactions."""
    sessions, turns, calls, events = [], [], [], []
    for number, conversation in enumerate(conversations):
        started = _FIRST_DAY + timedelta(hours=number)
        sessions.append(_session(conversation, started))
        for index, turn in enumerate(conversation["turns"]):
            at = started + timedelta(minutes=5 * index)
            turns.append(_turn(conversation["id"], index, turn, at))
            calls += [_failed_call(conversation["id"], index, which, at) for which in range(turn["failed_tools"])]
            events += _mark_event(conversation["id"], index, turn["mark"], at)
    events = [{**row, "ordinal": number} for number, row in enumerate(events)]
    return CanonTables(
        SPINES.empty(), EVENTS.frame(events), SESSIONS.frame(sessions), TURNS.frame(turns), TOOL_CALLS.frame(calls)
    )


def _seq(index: int) -> int:
    return 1 + index * _RECORDS_PER_TURN


def _session(conversation: Mapping[str, Any], started: datetime) -> dict[str, Any]:
    turns = conversation["turns"]
    failed = sum(turn["failed_tools"] for turn in turns)
    return {
        "thread_id": conversation["id"], "source": "spine", "home": "invented", "originator": "codex_cli_rs",
        "session_source": "cli", "started_at": started, "ended_at": started + timedelta(minutes=5 * len(turns)),
        "repository": conversation.get("domain"), "turn_count": len(turns), "human_turn_count": len(turns),
        "tool_call_count": failed, "failed_tool_call_count": failed, "run_count": 1,
        "compaction_count": sum(turn["mark"] == "compacted" for turn in turns), "error_count": 0,
        "approvals_observable": False, "human": True, "excluded": False, "is_eval": False, "outcome": "unknown",
        "outcome_reason": "an invented conversation",
    }  # fmt: skip


def _turn(thread: str, index: int, turn: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    aborted = turn["mark"] == "aborted"
    return {
        "thread_id": thread, "run": 0, "turn_id": str(index), "seq_start": _seq(index), "source": "spine",
        "seq_end": _seq(index) + _RECORDS_PER_TURN - 1, "occurred_at": at, "ended_at": at + timedelta(minutes=2),
        "turn_index": index, "user_message": turn["user"], "final_message": turn["agent"], "human": True,
        "end_state": "aborted" if aborted else "completed", "abort_reason": "interrupted" if aborted else None,
        "rolled_back": turn["mark"] == "rolled_back", "interrupted": aborted, "undone": False, "kind": "prompt",
        "compaction_count": int(turn["mark"] == "compacted"), "tool_call_count": turn["failed_tools"],
        "failed_tool_call_count": turn["failed_tools"],
    }  # fmt: skip


def _failed_call(thread: str, index: int, which: int, at: datetime) -> dict[str, Any]:
    seq = _seq(index) + 1 + min(which, _RECORDS_PER_TURN - 3)
    return {
        "thread_id": thread, "run": 0, "turn_id": str(index), "call_id": f"call-{index}-{which}", "seq_start": seq,
        "seq_end": seq, "occurred_at": at, "name": "shell", "exit_code": 1, "success": False, "status": "failed",
        "approval_requests": 0, "ambiguous_approval": False, "actor": "agent", "source": "spine",
    }  # fmt: skip


def _mark_event(thread: str, index: int, mark: str | None, at: datetime) -> list[dict[str, Any]]:
    kinds = {"aborted": "turn_aborted", "rolled_back": "thread_rolled_back", "compacted": "compaction_boundary"}
    if mark not in kinds:
        return []
    seq = _seq(index) + _RECORDS_PER_TURN - 1
    return [
        {
            "thread_id": thread,
            "source": "spine",
            "run": 0,
            "seq": seq,
            "part": 0,
            "ts": at,
            "kind": kinds[mark],
            "turn_id": str(index),
            "payload_bytes": 0,
            "file": thread,
            "offset": seq,
            "detail": None,
        }
    ]
