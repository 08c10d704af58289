"""Laws of trends: shares of sessions that could show it, on the day it happened, with honest intervals and
settledness."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_loop_assets.measure import trends
from codex_loop_assets.tables import TABLES
from codex_loop_assets_tests.loop import world

DAY = world.FIRST


def exposure(sessions, *categories):
    return sessions.select("thread_id").join(pl.DataFrame({"category": list(categories)}), how="cross")


def compute(frames, seen=None):
    seen = exposure(frames["sessions"], "exec_failure", "interrupt") if seen is None else seen
    return trends.compute(
        frames["signals"], frames["sessions"], frames["turns"], seen, frames["spines"], frames["judge_coverage"],
        frames["cluster_members"],
    )  # fmt: skip


def one(frame, day=DAY, name="exec_failure", kind="category", version="all", model="all"):
    rows = frame.filter(
        (pl.col("dt") == day) & (pl.col("name") == name) & (pl.col("kind") == kind)
        & (pl.col("cli_version") == version) & (pl.col("model") == model)
    )  # fmt: skip
    return rows.to_dicts()[0] if rows.height else None


def test_a_rate_is_the_share_of_sessions_that_could_show_it():
    row = one(compute(world.frames()))
    assert (row["sessions_with"], row["exposed_sessions"], row["signals"]) == (1, 3, 1)
    assert row["rate"] == pytest.approx(1 / 3) and row["rate_low"] == pytest.approx(0.0615, abs=1e-3)


def test_ten_signals_in_one_session_are_one_session():
    frames = world.frames()
    many = [world.signal(1, DAY) | {"signal_id": f"sig_{n}", "seq_start": n} for n in range(10)]
    frames["signals"] = TABLES["signals"].frame(many)
    row = one(compute(frames))
    assert row["signals"] == 10 and row["sessions_with"] == 1 and row["rate"] <= 1


def test_a_session_that_cannot_show_a_category_is_in_neither_part_of_the_fraction():
    frames = world.frames()
    seen = exposure(frames["sessions"].filter(pl.col("thread_id") != world.thread(15)), "exec_failure")
    assert one(compute(frames, seen))["exposed_sessions"] == 2
    assert one(compute(frames, seen), name="interrupt") is None


def test_no_sighting_over_exposed_sessions_is_a_zero_with_its_interval():
    row = one(compute(world.frames()), name="interrupt")
    assert row["rate"] == 0 and row["rate_low"] == 0 and row["rate_high"] > 0.5


def test_excluded_sessions_count_nowhere():
    frames = world.frames()
    frames["sessions"] = frames["sessions"].with_columns(excluded=pl.col("thread_id") == world.thread(1))
    row = one(compute(frames))
    assert row["sessions_with"] == 0 and row["exposed_sessions"] == 2


def test_a_moment_counts_on_the_day_it_occurred_not_on_the_day_its_session_started():
    frames = world.frames()
    later = DAY + timedelta(days=5)
    frames["signals"] = frames["signals"].with_columns(
        occurred_at=pl.when(pl.col("thread_id") == world.thread(1)).then(world.at(later)).otherwise("occurred_at")
    )
    frames["turns"] = pl.concat(
        [frames["turns"], TABLES["turns"].frame([world.turn(1, later, True) | {"seq_start": 20, "seq_end": 30}])]
    )
    table = compute(frames)
    assert one(table)["sessions_with"] == 0 and one(table, later)["sessions_with"] == 2


def test_a_moment_after_midnight_belongs_to_the_turn_that_began_before():
    frames = world.frames()
    frames["signals"] = frames["signals"].with_columns(occurred_at=pl.col("occurred_at") + timedelta(hours=16))
    table = compute(frames)
    assert one(table)["sessions_with"] == 1 and table["signals"].sum() == compute(world.frames())["signals"].sum()


def test_versions_and_models_add_up_to_all():
    table = compute(world.frames())
    versions = table.filter(
        (pl.col("kind") == "category") & (pl.col("cli_version") != "all") & (pl.col("model") == "all")
    )
    summed = versions.group_by("dt", "name").agg(pl.col("exposed_sessions", "sessions_with", "signals").sum())
    total = table.filter((pl.col("kind") == "category") & (pl.col("cli_version") == "all") & (pl.col("model") == "all"))
    assert summed.sort("dt", "name").equals(total.select(summed.columns).sort("dt", "name"))


def test_clusters_and_types_have_rates_too():
    table = compute(world.frames())
    assert one(table, name=world.CLUSTER, kind="cluster")["sessions_with"] == 1
    assert one(table, name="friction", kind="type")["exposed_sessions"] == 3


@pytest.mark.parametrize("status", ["active", "pending_batch", "deferred", "failed"])
def test_a_day_that_awaits_a_judge_is_not_settled(status):
    frames = world.frames()
    third = DAY + timedelta(days=2)
    frames["judge_coverage"] = frames["judge_coverage"].with_columns(
        status=pl.when(pl.col("thread_id") == world.thread(3)).then(pl.lit(status)).otherwise("status")
    )
    table = compute(frames)
    assert one(table)["settled"] and not one(table, third)["settled"]
    assert trends.settled_through(table) == DAY + timedelta(days=1)


def test_a_session_still_written_to_keeps_its_day_open():
    frames = world.frames()
    frames["spines"] = frames["spines"].with_columns(
        status=pl.when(pl.col("thread_id") == world.thread(1)).then(pl.lit("active")).otherwise("status")
    )
    assert trends.settled_through(compute(frames)) is None


def test_an_empty_lake_has_an_empty_table():
    frames = {name: table.empty() for name, table in TABLES.items()}
    table = compute(frames)
    assert table.height == 0 and trends.settled_through(table) is None


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 30), st.sets(st.integers(1, 30)))
def test_rates_lie_in_their_intervals_and_no_session_counts_twice(affected, unexposed):
    frames = world.frames(affected=affected)
    hidden = [world.thread(number) for number in unexposed]
    seen = exposure(frames["sessions"].filter(~pl.col("thread_id").is_in(hidden)), "exec_failure", "fast_completion")
    table = compute(frames, seen)
    assert (table["sessions_with"] <= table["exposed_sessions"]).all()
    assert ((table["rate_low"] <= table["rate"] + 1e-12) & (table["rate"] <= table["rate_high"] + 1e-12)).all()
    totals = table.filter(
        (pl.col("kind") == "category") & (pl.col("cli_version") == "all") & (pl.col("model") == "all")
    )
    assert totals["signals"].sum() == frames["signals"].height
