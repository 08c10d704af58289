"""spines and events: Codex's files become the coverage ledger and the one normal form, in one pass over the bytes."""

from datetime import date

import dagster as dg

from codex_loop_assets import clock
from codex_loop_assets.assets.guard import guarded
from codex_loop_assets.assets.policy import DAILY, describe, store, table_spec
from codex_loop_assets.resources.homes import HomeResource
from codex_loop_assets.resources.sources import scan
from codex_loop_assets.traces.day import build_day


@dg.multi_asset(
    name="traces",
    specs=[
        table_spec("spines", "ingest", ["codex_sessions"]),
        table_spec("events", "ingest", ["codex_sessions"]),
    ],
    **DAILY,
)
@guarded
def traces(context: dg.AssetExecutionContext, home: HomeResource):
    """Read the sessions that started on the day; only new and grown ones are opened."""
    codex = home.home
    lake = codex.lake
    by_day = scan(codex).by_day
    for day in context.partition_keys:
        with lake.locked("traces", day):
            result = build_day(
                date.fromisoformat(day),
                by_day.get(day, []),
                lake.read("spines", day),
                lake.scan("events", day),
                now=clock.now(),
            )
            # `spines` holds the fingerprints that say "nothing to read again", so it is the commit mark and goes last.
            digest = lake.write_parts("events", day, result.event_parts())
            describe(context, "events", day, {"sha256": digest[:16], "rows": result.rows.height})
            store(
                context,
                codex,
                "spines",
                day,
                result.spines,
                sources_opened=len(result.opened),
                lines=int(result.spines["lines"].sum()),
                lines_torn=int(result.spines["lines_torn"].sum()),
                statuses=dict(result.spines.group_by("status").len().sort("status").iter_rows()),
            )
