"""The three canonical tables of a day at once, which costs half of building them one by one."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from codex_loop_assets.canon import sessions, tool_calls, turns
from codex_loop_assets.canon.settings import CanonSettings, canon_settings
from codex_loop_assets.canon.timeline import timeline
from codex_loop_assets.tables import SESSIONS, TOOL_CALLS, TURNS


class Canonical(NamedTuple):
    """The day's frames of the tables of these names."""

    turns: pl.DataFrame
    tool_calls: pl.DataFrame
    sessions: pl.DataFrame


def build(events: pl.DataFrame, spines: pl.DataFrame, settings: CanonSettings | None = None) -> Canonical:
    """The same tables as the `build` of turns, tool_calls and sessions."""
    if events.is_empty():
        return Canonical(TURNS.empty(), TOOL_CALLS.empty(), SESSIONS.empty())
    settings = settings or canon_settings()
    line = timeline(events, settings)
    # Where the caller keeps it no longer, what the timeline leaves out goes before the tables are built.
    del events
    calls = tool_calls.joined(line)
    turn_rows, call_rows = turns.from_timeline(line, calls), tool_calls.from_joined(calls)
    return Canonical(turn_rows, call_rows, sessions.from_timeline(line, spines, turn_rows, call_rows))
