"""A session as a page: its turns and tool calls in order, with the signals marked where they happened.

What belongs here: arranging the rows of one thread for reading. What does not: which sessions get a page (`site`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from codex_loop_assets.loop.evidence import quotations
from codex_loop_assets.loop.excerpt import excerpt, passage


def session_values(
    session: Mapping[str, Any], turns: pl.DataFrame, calls: pl.DataFrame, signals: pl.DataFrame, settings: Mapping
) -> dict[str, Any]:
    """What the transcript template shows. `settings` is the section `site`; what is cut is counted, never dropped in
    silence.

    A signal stands in the last turn that begins at or before it; one before the first turn stands at the top.
    """
    ordered = turns.sort("run", "seq_start").to_dicts()
    shown = ordered[: settings["turns"]]
    views = [_turn(turn, session["thread_id"], settings) for turn in shown]
    starts = [(turn["run"], turn["seq_start"]) for turn in shown]
    early = []
    anchors: set[int] = set()
    for signal in signals.sort("run", "seq_start", "signal_id").to_dicts():
        view = _signal(signal, anchors)
        at = _position(starts, signal)
        (early if at is None else views[at]["signals"]).append(view)
    for call in calls.sort("run", "seq_start").to_dicts():
        at = _position(starts, call)
        if at is not None:
            views[at]["calls"].append(call)
    for view in views:
        view["hidden_calls"] = max(0, len(view["calls"]) - settings["calls_per_turn"])
        view["calls"] = [_call(call, settings) for call in view["calls"][: settings["calls_per_turn"]]]
        kinds = {signal["kind"] for signal in view["signals"]}
        view["mark"] = "" if not kinds else "marked" if "friction" in kinds else "marked only-delight"
    return {
        "session": _head(session),
        "turns": views,
        "early": early,
        "hidden_turns": len(ordered) - len(shown),
        "signals": signals.height,
    }


def _position(starts: list[tuple[int, int]], row: Mapping) -> int | None:
    before = [index for index, start in enumerate(starts) if start <= (row["run"], row["seq_start"])]
    return before[-1] if before else None


def _head(session: Mapping) -> dict:
    names = ("cli_version", "model", "originator", "machine", "repository", "branch")
    thread = session["thread_id"]
    return {
        "thread_id": thread,
        "started_at": session["started_at"],
        "ended_at": session["ended_at"],
        "outcome": session["outcome"],
        "outcome_reason": excerpt(session["outcome_reason"], thread, 160),
        "excluded": session["exclusion_reason"] or ("excluded" if session["excluded"] else None),
        "facts": [(name.replace("_", " "), excerpt(session[name], thread, 80)) for name in names if session[name]],
        "turn_count": session["turn_count"],
        "tool_call_count": session["tool_call_count"],
        "failed": session["failed_tool_call_count"],
        "tokens": session["total_tokens"],
    }


def _turn(turn: Mapping, thread_id: str, settings: Mapping) -> dict:
    limit = settings["message_characters"]
    flags = [name.replace("_", " ") for name in ("interrupted", "rolled_back", "undone") if turn[name]]
    return {
        "index": turn["turn_index"],
        "kind": turn["kind"],
        "human": turn["human"],
        "at": turn["occurred_at"],
        "seq": turn["seq_start"],
        "end_state": turn["end_state"],
        "flags": flags,
        "said": passage(turn["user_message"], thread_id, lines=80, limit=limit),
        "answer": passage(turn["final_message"], thread_id, lines=80, limit=limit),
        "signals": [],
        "calls": [],
    }


def _call(call: Mapping, settings: Mapping) -> dict:
    return {
        "seq": call["seq_start"],
        "name": call["name"],
        "command": excerpt(call["command"] or call["tool"] or call["name"], call["thread_id"], 300),
        "exit_code": call["exit_code"],
        "failed": call["success"] is False or bool(call["exit_code"]),
        "approval": call["approval"],
        "duration_ms": call["duration_ms"],
        "output": passage(call["output"], call["thread_id"], lines=16, limit=settings["output_characters"]),
    }


def _signal(signal: Mapping, anchors: set[int]) -> dict:
    anchor = signal["seq_start"] not in anchors
    anchors.add(signal["seq_start"])
    return {
        "seq": signal["seq_start"],
        "anchor": anchor,
        "kind": signal["type"],
        "category": signal["category"],
        "severity": signal["severity"],
        "confidence": signal["confidence"],
        "detectors": list(signal["detectors"]),
        "signal_id": signal["signal_id"],
        "text": excerpt(signal["description"], signal["thread_id"], 400),
        "quotes": [record["quote"] for record in quotations(signal, 240) if record["quote"]][:2],
    }
