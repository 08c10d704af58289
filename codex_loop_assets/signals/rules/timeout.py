"""timeout: a command ran into Codex's time limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from codex_loop_assets.signals.command_line import family
from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.patterns import any_of
from codex_loop_assets.signals.quoting import show_command
from codex_loop_assets.signals.reading import duration
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="timeout",
    version="1",
    looks_for="Tool calls that Codex stopped at its time limit; repeated time-outs of the same program and "
    "subcommand within a turn are one moment.",
    evidence="Every call that ran into the limit.",
    near_misses=(
        "a limit that the agent set on purpose in the command itself (timeout 5 …)",
        "a server, watcher or other program that does not end by itself, started to see it run",
        "a process that keeps running in the background",
        "a program that reports a time-out of its own",
    ),
    needs=("exit_codes",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    endless = any_of(thresholds["endless"])
    stopped = canon.tool_calls.filter(
        (pl.col("status") == "timed_out") & (pl.col("exit_code") != 0).fill_null(True) & (pl.col("actor") != "user")
    )
    episodes: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for call in stopped.sort("thread_id", "run", "seq_start").to_dicts():
        command = call["command"] or call["name"]
        if not endless.search(command):
            key = (call["thread_id"], call["run"], call["turn_id"], family(command))
            episodes.setdefault(key, []).append(call)
    return [_moment(calls) for calls in episodes.values()]


def _moment(calls: list[dict[str, Any]]) -> Moment:
    first, last = calls[0], calls[-1]
    times = f" {len(calls)} times" if len(calls) > 1 else ""
    command = show_command(last["command"] or last["name"], last["thread_id"])
    limit = duration(last["duration_ms"])
    return Moment(
        thread_id=first["thread_id"],
        run=first["run"],
        turn_id=first["turn_id"],
        call_id=first["call_id"],
        seq_start=first["seq_start"],
        seq_end=max(call["seq_end"] for call in calls),
        occurred_at=first["occurred_at"],
        severity=2 if len(calls) > 1 else 1,
        confidence=0.85,
        description=f"Command `{command}` was stopped at the time limit{times}"
        + (f" (after {limit})" if limit else ""),
        evidence=tuple(Evidence(call["seq_end"], call["call_id"]) for call in calls),
    )
