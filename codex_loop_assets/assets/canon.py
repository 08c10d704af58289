"""sessions, turns and tool_calls: what people asked, what the agent did, and how it ended."""

import dagster as dg
import polars as pl

from codex_loop_assets.assets.guard import guarded
from codex_loop_assets.assets.policy import DAILY, store, table_of, table_spec
from codex_loop_assets.canon import everything
from codex_loop_assets.canon.timeline import STORAGE
from codex_loop_assets.resources.freshness import inputs
from codex_loop_assets.resources.homes import Home, HomeResource


@dg.multi_asset(
    name="canon",
    specs=[
        table_spec("turns", "sessions", ["events", "spines"]),
        table_spec("tool_calls", "sessions", ["events", "spines"]),
        table_spec("sessions", "sessions", ["events", "spines", "turns", "tool_calls"]),
    ],
    **DAILY,
)
@guarded
def canonical_tables(context: dg.AssetExecutionContext, home: HomeResource):
    """Join the events of each session into its turns and tool calls, and sum the session up."""
    codex = home.home
    for day in context.partition_keys:
        # Before reading: where another run replaces an input meanwhile, the result counts as stale, never as fresh.
        made_from = inputs(codex.lake, "turns", day)
        built = everything.build(_events(codex, day), codex.lake.read("spines", day))
        store(context, codex, "turns", day, built.turns, made_from)
        store(context, codex, "tool_calls", day, built.tool_calls, made_from, tools=table_of(_tools(built.tool_calls)))
        store(
            context,
            codex,
            "sessions",
            day,
            built.sessions,
            inputs(codex.lake, "sessions", day) | made_from,
            human_sessions=int(built.sessions["human"].sum()),
            outcomes=table_of(built.sessions.group_by("outcome").agg(sessions=pl.len()).sort("outcome")),
        )


def _events(codex: Home, day: str) -> pl.DataFrame:
    """What the canonical tables are built from, in one chunk: a large day is then not copied for its order."""
    return codex.lake.scan("events", day).drop(STORAGE).collect().rechunk()


def _tools(calls: pl.DataFrame) -> pl.DataFrame:
    """Calls and known failures by tool, the most used first."""
    counted = calls.group_by("tool").agg(calls=pl.len(), failed=(pl.col("success").not_()).sum())
    return counted.sort(["calls", "tool"], descending=[True, False])
