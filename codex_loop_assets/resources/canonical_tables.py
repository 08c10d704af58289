"""The canonical tables of a home, together: what rules, judges and observability read.

What belongs here: which tables those are, and reading them. What does not: what they mean (`signals.model.CanonTables`).
"""

from __future__ import annotations

from codex_loop_assets.resources.homes import Home
from codex_loop_assets.signals.model import CanonTables

CANON = ("spines", "events", "sessions", "turns", "tool_calls")


def canon_tables(home: Home, day: str | None = None) -> CanonTables:
    """The canonical tables of one day, or of all days."""
    return CanonTables(**{table: home.lake.read(table, day) for table in CANON})
