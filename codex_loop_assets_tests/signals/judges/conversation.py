"""Small invented conversations as transcripts and as canonical tables, for the tests of the judges."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from codex_loop_assets.signals.judges.base import Transcript, TranscriptTurn
from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.tables import EVENTS, SESSIONS, SPINES, TOOL_CALLS, TURNS

STARTED = datetime(2026, 2, 10, 9, tzinfo=UTC)
Pairs = Sequence[tuple[str, str]]


def transcript(pairs: Pairs, thread_id: str = "thread", **marks: object) -> Transcript:
    """User and agent messages in turn; `marks` hold for every turn."""
    turns = (
        TranscriptTurn(thread_id, 0, 10 * index + 1, 10 * index + 9, user, agent, f"t{index}", **marks)
        for index, (user, agent) in enumerate(pairs)
    )
    return Transcript(thread_id, tuple(turns))


def canon(sessions: dict[str, Pairs], **changes: dict[str, object]) -> CanonTables:
    """Sessions by thread id; `changes` overrides columns of the session row of the thread of that name."""
    rows, turns = [], []
    for thread_id, pairs in sessions.items():
        rows.append(_session(thread_id, len(pairs)) | changes.get(thread_id, {}))
        human = bool(rows[-1]["human"])
        turns += [_turn(thread_id, index, user, agent, human) for index, (user, agent) in enumerate(pairs)]
    return CanonTables(SPINES.empty(), EVENTS.empty(), SESSIONS.frame(rows), TURNS.frame(turns), TOOL_CALLS.empty())


def _session(thread_id: str, turns: int) -> dict[str, object]:
    return {
        "thread_id": thread_id, "source": "rollout", "home": "home", "started_at": STARTED,
        "ended_at": STARTED + timedelta(hours=1), "turn_count": turns, "human_turn_count": turns, "tool_call_count": 0,
        "failed_tool_call_count": 0, "run_count": 1, "compaction_count": 0, "error_count": 0,
        "approvals_observable": False, "human": True, "excluded": False, "is_eval": False, "outcome": "unknown",
        "outcome_reason": "invented",
    }  # fmt: skip


def _turn(thread_id: str, index: int, user: str, agent: str, human: bool) -> dict[str, object]:
    return {
        "thread_id": thread_id, "run": 0, "turn_id": f"t{index}", "seq_start": 10 * index + 1,
        "seq_end": 10 * index + 9, "occurred_at": STARTED + timedelta(minutes=index), "turn_index": index,
        "user_message": user, "final_message": agent, "end_state": "completed", "source": "rollout", "kind": "prompt",
        "human": human, "rolled_back": False, "interrupted": False, "undone": False, "compaction_count": 0,
        "tool_call_count": 0, "failed_tool_call_count": 0,
    }  # fmt: skip
