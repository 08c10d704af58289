"""sessions, turns and tool_calls: what people asked, what the agent did, and how it ended."""

import dagster as dg

from codex_loop_assets import canon
from codex_loop_assets.assets.policy import DAILY, store, table_spec
from codex_loop_assets.resources.freshness import inputs
from codex_loop_assets.resources.homes import HomeResource


@dg.multi_asset(
    name="canon",
    specs=[
        table_spec("turns", "sessions", ["events", "spines"]),
        table_spec("tool_calls", "sessions", ["events", "spines"]),
        table_spec("sessions", "sessions", ["events", "spines", "turns", "tool_calls"]),
    ],
    **DAILY,
)
def canonical_tables(context: dg.AssetExecutionContext, home: HomeResource):
    """Join the events of each session into its turns and tool calls, and sum the session up."""
    codex = home.home
    for day in context.partition_keys:
        spines, events = codex.lake.read("spines", day), codex.lake.read("events", day)
        turns = canon.turns.build(events, spines)
        tool_calls = canon.tool_calls.build(events, spines)
        sessions = canon.sessions.build(events, spines, turns, tool_calls)
        store(context, codex, "turns", day, turns, inputs(codex.lake, "turns", day))
        store(context, codex, "tool_calls", day, tool_calls, inputs(codex.lake, "tool_calls", day))
        store(
            context, codex, "sessions", day, sessions, inputs(codex.lake, "sessions", day),
            human_sessions=int(sessions["human"].sum()),
            outcomes=dict(sessions.group_by("outcome").len().sort("outcome").iter_rows()),
        )
