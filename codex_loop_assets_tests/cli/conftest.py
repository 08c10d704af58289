"""A home whose lake holds the small planted world of the loop's tests, with its ticket opened: what the commands about
tickets work on, without running the graph first."""

from __future__ import annotations

import polars as pl
import pytest

from codex_loop_assets import clock
from codex_loop_assets.loop import ticket_log, tickets
from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.homes import VARIABLE, Home
from codex_loop_assets.tables import TABLES
from codex_loop_assets_tests.loop import world


@pytest.fixture
def planted(tmp_path, monkeypatch) -> Home:
    """The home on world.TODAY; `ticket_of(home)` is its ticket."""
    home = Home(tmp_path / "home")
    home.initialise()
    monkeypatch.setenv(VARIABLE, str(home.root))
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster_home))
    monkeypatch.setenv(clock.VARIABLE, world.TODAY.isoformat())
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    frames = world.frames()
    days = frames["sessions"].select("thread_id", day=pl.col("started_at").dt.date().cast(pl.String))
    for table, frame in frames.items():
        for key, rows in partitions(table, frame, days):
            home.lake.write(table, key, rows)
    ticket = tickets.build(world.CLUSTER, frames, [], world.TODAY)
    ticket_log.append(home.root / "tickets" / "log.jsonl", ticket.events)
    home.lake.write("tickets", world.CLUSTER, ticket.frame)
    write_text(home.root / ticket.row["path"], ticket.markdown)
    return home


def partitions(table: str, frame: pl.DataFrame, days: pl.DataFrame) -> list[tuple[str | None, pl.DataFrame]]:
    """(partition key, rows) of a frame over all partitions; what belongs to no session of the world is left out."""
    partitioning = TABLES[table].partitioning
    if partitioning == "none":
        return [(None, frame)]
    if partitioning == "cluster":
        keyed = frame.with_columns(key=pl.col("cluster_id"))
    elif "dt" in frame.columns:
        keyed = frame.with_columns(key=pl.col("dt").cast(pl.String))
    else:
        keyed = frame.join(days.rename({"day": "key"}), on="thread_id")
    return [(key, rows.drop("key")) for (key,), rows in keyed.group_by("key")]


def ticket_of(home: Home) -> str:
    return home.lake.read("tickets")["ticket_id"].item()
