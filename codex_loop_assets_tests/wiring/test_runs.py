"""Laws of runs: the whole graph on real files; unchanged days open nothing; a range equals its days; kills leave no mess."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import date

import dagster as dg
import duckdb
import polars as pl
from click.testing import CliRunner

from codex_loop_assets import stages
from codex_loop_assets.cli import main
from codex_loop_assets.cli.runs import contiguous, materialise, neighbouring, reap
from codex_loop_assets.loop.report import day_page
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.report_inputs import report_inputs
from codex_loop_assets.resources.sources import scan
from codex_loop_assets.tables import TABLES
from codex_loop_assets_tests.conftest import write_rollout

WHOLE_DAY = [*stages.INGEST, *stages.CANON, *stages.SIGNALS, *stages.DISCOVERY]
DAY_TABLES = [name for name, table in TABLES.items() if table.partitioning == "day" and name != "daily_report"]


def digests(home, days):
    return {(table, day): home.lake.digest(table, day) for table in DAY_TABLES for day in days}


def test_every_file_and_line_is_in_the_ledger_and_every_message_in_turns(home):
    materialise(home, WHOLE_DAY, days=scan(home).changed)
    spines = home.lake.read("spines")
    assert spines["status"].to_list() == ["ingested"] * 3
    assert (spines["lines"] == spines["lines_read"] + spines["lines_skipped"] + spines["lines_torn"]).all()
    said = set(home.lake.read("turns")["user_message"])
    assert said == {"make the tests pass", "no, that is the wrong file", "add a flag", "rename the module"}
    assert home.lake.read("tool_calls")["exit_code"].to_list() == [2, 2, 2]


def test_an_unchanged_day_is_run_again_without_opening_a_session_file_and_with_the_same_bytes(home, codex_home):
    days = ["2026-03-01", "2026-03-02", "2026-03-03"]
    materialise(home, WHOLE_DAY, days=days)
    before = digests(home, days)
    files = list(codex_home.rglob("*.jsonl"))
    opened = []
    sys.addaudithook(
        lambda event, args: opened.append(str(args[0])) if event == "open" and str(args[0]).endswith(".jsonl") else None
    )
    materialise(home, WHOLE_DAY, days=days)
    assert digests(home, days) == before
    assert [path for path in opened if path in map(str, files)] == []
    assert scan(home).changed == []


def test_a_range_of_days_equals_its_days_one_by_one(home, tmp_path, monkeypatch):
    from codex_loop_assets.resources.homes import VARIABLE, Home

    days = ["2026-03-01", "2026-03-02", "2026-03-03"]
    materialise(home, WHOLE_DAY, days=days)
    other = Home(tmp_path / "other")
    other.initialise()
    other.register(home.codex_homes()[0].path, name="laptop")
    monkeypatch.setenv(VARIABLE, str(other.root))
    monkeypatch.setenv("DAGSTER_HOME", str(other.dagster_home))
    for day in days:
        materialise(other, WHOLE_DAY, days=[day])
    assert digests(other, days) == digests(home, days)


def test_a_grown_session_is_read_again_and_its_neighbours_are_not(home, codex_home):
    materialise(home, stages.INGEST, days=["2026-03-01"])
    grown = write_rollout(codex_home, "2026-03-01", 2, ["add a flag", "and document it"], mtime=1_772_500_000.0)
    neighbour = next(path for path in codex_home.rglob("*.jsonl") if path.name.endswith("000000000001.jsonl"))
    neighbour.chmod(0o000)
    opened = []
    sys.addaudithook(
        lambda event, args: opened.append(str(args[0])) if event == "open" and str(args[0]).endswith(".jsonl") else None
    )
    try:
        assert scan(home).changed == ["2026-03-01", "2026-03-03"]
        materialise(home, [*stages.INGEST, *stages.CANON], days=["2026-03-01"])
    finally:
        neighbour.chmod(0o600)
    assert str(grown) in opened and str(neighbour) not in opened
    assert "and document it" in set(home.lake.read("turns")["user_message"])


def test_a_vanished_session_keeps_its_rows_and_is_marked(home, codex_home):
    materialise(home, [*stages.INGEST, *stages.CANON], days=["2026-03-03"])
    next(path for path in codex_home.rglob("*.jsonl") if "2026/03/03" in str(path)).unlink()
    materialise(home, [*stages.INGEST, *stages.CANON], days=["2026-03-03"])
    assert home.lake.read("spines", "2026-03-03")["status"].to_list() == ["vanished"]
    assert home.lake.read("turns", "2026-03-03")["user_message"].to_list() == ["rename the module"]


def test_each_day_of_a_range_has_its_own_metadata_and_check_results(home):
    materialise(home, stages.INGEST, days=["2026-03-01", "2026-03-02", "2026-03-03"])
    with dg.DagsterInstance.get() as instance:
        records = instance.fetch_materializations(dg.AssetKey("spines"), limit=10).records
        rows = {
            record.partition_key: record.asset_materialization.metadata["dagster/partition_row_count"].value
            for record in records
        }
        assert rows == {"2026-03-01": 2, "2026-03-02": 0, "2026-03-03": 1}
        check = dg.AssetCheckKey(dg.AssetKey("spines"), "every_line_is_accounted_for")
        states = {
            info.partition_key: info.latest_execution_status.value
            for info in instance.event_log_storage.get_asset_check_partition_info([check])
        }
        assert {day: states[day] for day in rows} == dict.fromkeys(rows, "SUCCEEDED")


def test_a_check_fails_for_the_broken_day_of_a_range_only(home):
    materialise(home, stages.INGEST, days=["2026-03-01", "2026-03-03"])
    spines = home.lake.read("spines", "2026-03-03")
    home.lake.write("spines", "2026-03-03", spines.with_columns(lines=pl.col("lines") + 1))
    from codex_loop_assets.checks import every_line_is_accounted_for

    assert every_line_is_accounted_for(home.lake, "2026-03-01")[0]
    assert not every_line_is_accounted_for(home.lake, "2026-03-03")[0]


def test_a_days_page_is_the_same_whether_its_run_covers_one_day_or_many(home, codex_home):
    for number in range(10, 18):
        write_rollout(codex_home, f"2026-03-{number - 7:02d}", number, [f"build part {number}"])
    days = scan(home).changed
    materialise(home, WHOLE_DAY, days=days)
    assert home.lake.read("clusters", days[-1]).height
    whole = report_inputs(home, days)
    for day in days:
        assert day_page(report_inputs(home, [day]), date.fromisoformat(day)) == day_page(whole, date.fromisoformat(day))


DAILY = [sys.executable, "-c", "from codex_loop_assets.cli import main; main()", "daily", "--no-tasks"]


def lake_files(home: Home) -> dict[str, bytes]:
    return {
        path.relative_to(home.lake.root).as_posix(): path.read_bytes()
        for path in sorted(home.lake.root.rglob("*"))
        if path.is_file()
    }


def read_as_others_do(home: Home) -> None:
    """What any DuckDB client may ask at any moment: no error, and no line unaccounted for."""
    with duckdb.connect(str(home.catalogue), read_only=True) as reader:
        for table in ("events", "tool_calls", "signals", "clusters"):
            reader.execute(f"SELECT count(*) FROM {table}").fetchone()
        read = "lines_read + lines_skipped + lines_torn"
        assert reader.execute(f"SELECT count(*) FROM spines WHERE lines != {read}").fetchone() == (0,)


def test_a_daily_killed_at_five_random_moments_is_completed_by_the_next_one_to_the_lake_of_an_undisturbed_one(
    home, tmp_path
):
    """The moments lie after a random number of the partitions that the work writes and up to 50 ms more, from a fixed seed:
    shares of the time would fall where the machine's load puts them. Somebody reads throughout."""
    saved, chance = tmp_path / "saved", random.Random(20260301)
    shutil.copytree(home.root, saved)
    before = len(lake_files(home))
    assert CliRunner().invoke(main, DAILY[3:]).exit_code == 0
    undisturbed = lake_files(home)
    for written in chance.sample(range(before, len(undisturbed) - 2), 5):
        shutil.rmtree(home.root)
        shutil.copytree(saved, home.root)
        process = subprocess.Popen(DAILY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and sum(1 for path in home.lake.root.rglob("*") if path.is_file()) < written:
            read_as_others_do(home)
            time.sleep(0.1)
        time.sleep(chance.uniform(0, 0.05))
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, f"it ended before {written} files were there"
        read_as_others_do(home)
        for name in DAY_TABLES:
            home.lake.read(name)
        with dg.DagsterInstance.get() as instance:
            assert len(reap(instance)) <= 1
            assert {run.status.value for run in instance.get_runs()} <= {"SUCCESS", "FAILURE"}
        assert CliRunner().invoke(main, DAILY[3:]).exit_code == 0
        assert lake_files(home) == undisturbed, f"killed when {written} of {len(undisturbed)} files were there"


def test_days_with_short_gaps_are_one_range_and_long_gaps_part_them():
    assert contiguous(["2026-03-05", "2026-03-01", "2026-04-01"]) == [
        ("2026-03-01", "2026-03-05"),
        ("2026-04-01", "2026-04-01"),
    ]


def test_clusters_that_dagster_holds_side_by_side_are_one_range_and_nothing_else_is_in_it():
    known = ["c", "a", "b", "e", "d"]
    assert neighbouring(["a", "b", "d", "c"], known) == [("c", "b"), ("d", "d")]
    assert neighbouring(["a", "x"], known) == [("a", "a"), ("x", "x")]
    assert neighbouring(known, known, at_most=2) == [("c", "a"), ("b", "e"), ("d", "d")]
