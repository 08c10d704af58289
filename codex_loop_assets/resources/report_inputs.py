"""Everything that pages are made from, read from a home."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from codex_loop_assets.loop.inputs import EXPOSURE, PARTS, ReportInputs
from codex_loop_assets.measure.alerts import Alert
from codex_loop_assets.resources.canonical_tables import canon_tables
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.judges import open_governor
from codex_loop_assets.resources.schema import current_schema
from codex_loop_assets.signals.observability import looked_for, session_observability
from codex_loop_assets.signals.schema import SignalSchema

_OF_DAYS = ("spines", "sessions", "detections", "judge_coverage")
# Signals of every day: a cluster's page shows its most telling members, whichever day they are from.
_WHOLE = (
    "signals",
    "clusters", "cluster_members", "cluster_events", "schema_proposals", "proposals_waiting", "daily_report", "cluster_registry", "harbor_datasets", "task_validations", "eval_runs", "regressions", "tickets", "scorecard", "reliability", "trends",
)  # fmt: skip


def exposure(home: Home, days: list[str], schema: SignalSchema) -> pl.DataFrame:
    """(thread_id, category) for each category that a session of these days could show at all and that a rule or its judge
    looks for."""
    parts = [session_observability(canon_tables(home, day), schema) for day in days]
    seen = pl.concat(parts).filter(pl.col("observable")).select("thread_id", "category").unique(maintain_order=True)
    return looked_for(seen, home.lake.read("judge_coverage", days))


def report_inputs(home: Home, days: list[str] | None = None, alerts: Sequence[Alert] = ()) -> ReportInputs:
    """The frames of the given days (all when None) and the tables over all days; turns and calls are read a day at a time
    when they are asked for."""
    lake, schema = home.lake, current_schema(home)
    chosen = lake.keys("sessions") if days is None else [day for day in days if lake.has("sessions", day)]
    frames = {table: lake.read(table, chosen) for table in _OF_DAYS}
    frames |= {table: lake.read(table) for table in _WHOLE}
    texts = {
        row["ticket_id"]: path.read_text("utf-8")
        for row in frames["tickets"].iter_rows(named=True)
        if row["path"] and (path := home.root / row["path"]).is_file()
    }

    def read_parts() -> Iterator[dict[str, pl.DataFrame]]:
        for day in chosen:
            yield {table: lake.read(table, day) for table in PARTS}

    return ReportInputs(
        frames=frames,
        exposure=exposure(home, chosen, schema) if chosen else pl.DataFrame(schema=EXPOSURE),
        types={name: category.type for name, category in schema.categories.items()},
        ticket_texts=texts,
        settings=home.section("report"),
        minimum_signals=home.section("discovery")["clusters"]["minimum_signals"],
        alerts=alerts,
        local_categories=home.section("local_categories"),
        ledger=open_governor(home).by_purpose(),
        read_parts=read_parts,
    )
