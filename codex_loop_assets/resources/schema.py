"""The signal schema as a home has it: built-in categories and the people's decisions, at the version a day was made with."""

from __future__ import annotations

from codex_loop_assets.discovery.governance import read_decisions
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.signals.schema import SignalSchema, load_schema


def current_schema(home: Home) -> SignalSchema:
    """Built-in categories and every decision so far."""
    return load_schema(read_decisions(home.decisions_path))


def schema_for(home: Home, day: str, *, reschema: bool) -> SignalSchema:
    """The schema to detect a day with: the version it was made with before, so that re-running a day changes nothing, or
    the current one for a new day, with `reschema`, and where the recorded version can no longer be rebuilt (the built-in
    categories have changed since)."""
    decisions = read_decisions(home.decisions_path)
    recorded = set(home.lake.read("judge_coverage", day)["schema_version"].to_list())
    if recorded and not reschema:
        for length in range(len(decisions), -1, -1):
            schema = load_schema(decisions[:length])
            if schema.version in recorded:
                return schema
    return load_schema(decisions)
