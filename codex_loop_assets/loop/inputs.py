"""What pages are made from: the lake's tables and the observability of categories, with the views that pages share.

What belongs here: selecting rows for a day or a thread. What does not: wording and layout (`sections`, `report`,
`site`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from codex_loop_assets.measure.alerts import Alert
from codex_loop_assets.settings import section
from codex_loop_assets.tables import TABLES

PARTS = ("sessions", "turns", "tool_calls")
EXPOSURE = {"thread_id": pl.String, "category": pl.String}


@dataclass(frozen=True)
class ReportInputs:
    """`frames` maps table names to rows (any set of days that holds the ones shown; a missing table counts as empty).

    `exposure` has a row (thread_id, category) for each category that a session could show at all; `types` says which
    categories are friction and which delight. `ticket_texts` maps ticket ids to their Markdown. `ledger` has the dollars
    that the ledger of model calls holds, by what they were for. `read_parts` gives the
    sessions, turns and tool_calls a day at a time, since all of them together need not fit into memory; without it they
    are taken from `frames`.
    """

    frames: Mapping[str, pl.DataFrame]
    exposure: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=EXPOSURE))
    types: Mapping[str, str] = field(default_factory=dict)
    ticket_texts: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping = field(default_factory=lambda: section("report"))
    minimum_signals: int = field(default_factory=lambda: section("discovery")["clusters"]["minimum_signals"])
    alerts: Sequence[Alert] = ()
    local_categories: Mapping = field(default_factory=lambda: section("local_categories"))
    held_out: Mapping = field(default_factory=lambda: section("held_out"))
    ledger: Mapping[str, float] = field(default_factory=dict)
    read_parts: Callable[[], Iterator[Mapping[str, pl.DataFrame]]] | None = None

    def parts(self) -> Iterator[Mapping[str, pl.DataFrame]]:
        """sessions, turns and tool_calls, in pieces that hold whole sessions."""
        if self.read_parts:
            yield from self.read_parts()
        else:
            yield {name: self.table(name) for name in PARTS}

    def table(self, name: str) -> pl.DataFrame:
        """All given rows of a table."""
        return self.frames[name] if name in self.frames else TABLES[name].empty()

    def started_on(self, name: str, day: date) -> pl.DataFrame:
        """Rows of `spines` or `sessions` of the sessions that started on `day`."""
        return self.table(name).filter(pl.col("started_at").dt.date() == day)

    def of_sessions(self, name: str, sessions: pl.DataFrame) -> pl.DataFrame:
        """Rows of a table that belong to the given sessions."""
        return self.table(name).join(sessions.select("thread_id").unique(), on="thread_id", how="semi")

    def state_on(self, name: str, day: date) -> pl.DataFrame:
        """Rows of a table of daily states (clusters, proposals, members) on the newest day up to `day`."""
        rows = self.table(name).filter(pl.col("dt") <= day)
        return rows.filter(pl.col("dt") == rows["dt"].max()) if rows.height else rows

    def type_of(self, category: str) -> str:
        """friction or delight: as the schema says, else as the signals of that category have it."""
        if category in self.types:
            return self.types[category]
        known = self.table("signals").filter(pl.col("category") == category)["type"]
        return known[0] if len(known) else "friction"
