"""Laws of the lake: a partition is whole, validated, deterministic and replaced at once; the catalogue always opens."""

import os
import random
import signal
import subprocess
import sys
import time
from datetime import date

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_loop_assets.resources.lake import SENTINEL, Lake, build_catalogue
from codex_loop_assets.tables import TABLES


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake", tmp_path / "locks")


def report(day: str, sessions: int = 1) -> pl.DataFrame:
    numbers = dict.fromkeys(("human_sessions", "friction", "delight", "live_clusters", "open_proposals"), 0)
    row = {
        "dt": date.fromisoformat(day),
        "sessions": sessions,
        **numbers,
        "cost_usd": 0.0,
        "path": f"reports/{day}.html",
    }
    return TABLES["daily_report"].frame([row])


def test_equal_frames_give_equal_bytes_whatever_the_row_order(lake):
    rows = [
        {"dt": date(2026, 3, 1), "kind": "birth", "cluster_id": name, "other_id": "", "overlap": 0.0, "size": 5}
        for name in ("b", "a", "c")
    ]
    first = lake.write("cluster_events", "2026-03-01", TABLES["cluster_events"].frame(rows))
    second = lake.write(
        "cluster_events", "2026-03-01", pl.DataFrame(rows[::-1], schema=TABLES["cluster_events"].schema)
    )
    assert first == second


def test_a_frame_that_does_not_fit_leaves_the_old_partition(lake):
    lake.write("daily_report", "2026-03-01", report("2026-03-01", 3))
    for broken in (
        report("2026-03-01").drop("path"),
        report("2026-03-01").with_columns(extra=1),
        report("2026-03-01").with_columns(path=pl.lit(None, pl.String)),
        pl.concat([report("2026-03-01"), report("2026-03-01")]),
    ):
        with pytest.raises(ValueError, match="daily_report"):
            lake.write("daily_report", "2026-03-01", broken)
    assert lake.read("daily_report")["sessions"].to_list() == [3]


def test_an_unwritten_partition_reads_as_an_empty_frame_with_the_schema(lake):
    assert lake.read("signals", "2026-03-01").schema == TABLES["signals"].schema
    assert lake.keys("signals") == []


def test_an_empty_day_is_written_with_its_schema_and_listed(lake):
    lake.write("signals", "2026-03-01", TABLES["signals"].empty())
    assert lake.keys("signals") == ["2026-03-01"]
    assert pl.read_parquet(lake.path("signals", "2026-03-01")).schema == TABLES["signals"].schema


def test_a_partition_is_stale_when_missing_or_made_from_other_inputs(lake):
    made_from = {"spines": "a", "events": None}
    assert lake.stale("daily_report", "2026-03-01", made_from)
    lake.write("daily_report", "2026-03-01", report("2026-03-01"), made_from)
    assert not lake.stale("daily_report", "2026-03-01", made_from)
    assert lake.stale("daily_report", "2026-03-01", {**made_from, "events": "b"})


@given(columns=st.sets(st.sampled_from([c.name for c in TABLES["daily_report"].columns if c.name != "dt"]), min_size=1))
@settings(max_examples=20, deadline=None)
def test_a_partition_of_an_earlier_version_reads_with_null_for_its_missing_columns(tmp_path_factory, columns):
    root = tmp_path_factory.mktemp("lake")
    lake = Lake(root / "lake", root / "locks")
    path = lake.path("daily_report", "2026-03-01")
    path.parent.mkdir(parents=True)
    report("2026-03-01").drop(columns).write_parquet(path)
    frame = lake.read("daily_report", "2026-03-01")
    assert frame.schema == TABLES["daily_report"].schema
    assert all(frame[column].null_count() == 1 for column in columns)


def test_the_catalogue_has_a_working_view_for_every_table_of_a_new_home(lake, tmp_path):
    lake.prepare()
    build_catalogue(lake, tmp_path / "catalogue.duckdb")
    with duckdb.connect(str(tmp_path / "catalogue.duckdb"), read_only=True) as connection:
        for table, definition in TABLES.items():
            described = [row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()]
            assert described[: len(definition.columns)] == list(definition.schema)
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_the_partition_day_is_the_column_dt_of_every_day_partitioned_view(lake, tmp_path):
    lake.prepare()
    lake.write("daily_report", "2026-03-01", report("2026-03-01"))
    build_catalogue(lake, tmp_path / "catalogue.duckdb")
    with duckdb.connect(str(tmp_path / "catalogue.duckdb"), read_only=True) as connection:
        for table, definition in TABLES.items():
            if definition.partitioning == "day":
                assert ("dt", "DATE") in [row[:2] for row in connection.execute(f"DESCRIBE {table}").fetchall()]
        assert connection.execute("SELECT dt FROM daily_report").fetchall() == [(date(2026, 3, 1),)]


def test_the_sentinel_partition_is_no_partition(lake):
    lake.prepare()
    assert lake.keys("signals") == [] and lake.has("signals", SENTINEL["day"])


def test_forgetting_a_thread_leaves_no_row_of_it_and_every_other_row(lake):
    rows = [
        {
            "thread_id": thread,
            "detector": "local_judge",
            "detector_version": "1",
            "schema_version": "s",
            "status": "judged",
            "findings": 0,
            "rejected": 0,
            "calls": 0,
        }
        for thread in ("keep", "drop")
    ]
    lake.write("judge_coverage", "2026-03-01", TABLES["judge_coverage"].frame(rows))
    assert lake.remove_threads({"drop"}) == {"judge_coverage": 1}
    assert lake.read("judge_coverage")["thread_id"].to_list() == ["keep"]


WRITER = """
import sys
from pathlib import Path
from codex_loop_assets_tests.resources.test_lake import report
from codex_loop_assets.resources.lake import Lake
root = Path(sys.argv[1])
lake = Lake(root / "lake", root / "locks")
number = 0
print("started", flush=True)
while True:
    number += 1
    lake.write("daily_report", "2026-03-01", report("2026-03-01", number), {"n": str(number)})
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_partition_and_no_lock_held(lake, tmp_path):
    for _ in range(5):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        writer.stdout.readline()
        time.sleep(random.uniform(0.02, 0.2))
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        frame = lake.read("daily_report", "2026-03-01")
        assert frame.height in (0, 1)
        manifest = lake._manifest("daily_report", "2026-03-01")
        if manifest and frame.height:
            assert manifest["inputs"]["n"] == str(frame["sessions"].item())
    lake.write("daily_report", "2026-03-01", report("2026-03-01", 7))
    assert lake.read("daily_report", "2026-03-01")["sessions"].to_list() == [7]


@given(st.integers(1, 40), st.integers(1, 50))
@settings(max_examples=20, deadline=None)
def test_a_partition_written_in_parts_is_the_one_written_whole_byte_for_byte(tmp_path_factory, size, days):
    root = tmp_path_factory.mktemp("parts")
    lake = Lake(root / "lake", root / "locks")
    rows = [
        {"dt": date(2026, 3, 1), "kind": "birth", "cluster_id": f"c{n:03d}", "other_id": "", "overlap": 0.0, "size": n}
        for n in range(days)
    ]
    frame = TABLES["cluster_events"].frame(rows)
    whole = lake.write("cluster_events", "2026-03-01", frame)
    assert (
        lake.write_parts("cluster_events", "2026-03-01", (frame.slice(at, size) for at in range(0, days, size)))
        == whole
    )
    assert lake.scan("cluster_events", "2026-03-01").collect().equals(frame)


def test_a_scan_stays_the_partition_it_began_with(lake):
    lake.write("daily_report", "2026-03-01", report("2026-03-01", 3))
    scanned = lake.scan("daily_report", "2026-03-01")
    for sessions in (4, 5):
        assert scanned.select("sessions").collect().item() == 3
        lake.write("daily_report", "2026-03-01", report("2026-03-01", sessions))
    assert scanned.collect().height == 1 and scanned.select("sessions").collect().item() == 3


def test_parts_out_of_order_or_of_another_shape_are_refused_and_the_old_partition_stays(lake):
    early, late = report("2026-03-01"), report("2026-03-02")
    lake.write("daily_report", "2026-03-01", early)
    for parts in ([late, early], [early, early], [early.drop("path")]):
        with pytest.raises(ValueError, match="daily_report"):
            lake.write_parts("daily_report", "2026-03-01", parts)
        assert lake.read("daily_report", "2026-03-01").equals(early)
