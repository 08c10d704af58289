"""Laws of several processes on one home: readers never see an error, runs of different days never meet, runs of one day
wait for each other."""

import json
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from codex_loop_assets import stages
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.resources.homes import VARIABLE, Home
from codex_loop_assets.resources.sources import scan
from codex_loop_assets_tests.conftest import write_rollout

INGESTED = [*stages.INGEST, *stages.CANON, "mechanical_signals"]

RUN = """
import sys
from pathlib import Path
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.resources.homes import Home
from codex_loop_assets_tests.wiring.test_concurrency import INGESTED
materialise(Home(Path(sys.argv[1])), INGESTED, days=sys.argv[2:])
Home(Path(sys.argv[1])).refresh_catalogue()
"""


def start(home: Home, days: list[str]) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", RUN, str(home.root), *days], stderr=subprocess.DEVNULL)


def digests(home: Home) -> dict:
    return {(table, day): home.lake.digest(table, day) for table in INGESTED for day in home.lake.keys(table)}


def test_two_processes_on_different_days_and_a_reader_throughout_meet_no_error(home, codex_home, tmp_path, monkeypatch):
    for number in range(10, 14):
        write_rollout(codex_home, f"2026-03-{number - 5:02d}", number, [f"build part {number}"] * 20)
    days = scan(home).changed
    writers = [start(home, part) for part in (days[:3], days[3:])]
    reads, counts = 0, []
    while any(writer.poll() is None for writer in writers):
        with duckdb.connect(str(home.catalogue), read_only=True) as reader:
            counts.append(reader.execute("SELECT count(*) FROM turns").fetchone()[0])
            lines = reader.execute(
                "SELECT sum(lines), sum(lines_read + lines_skipped + lines_torn) FROM spines"
            ).fetchone()
            assert lines[0] == lines[1]
            reader.execute("SELECT max(turns.occurred_at) FROM tool_calls JOIN turns USING (thread_id)").fetchone()
        reads += 1
        time.sleep(0.1)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert reads > 5 and counts == sorted(counts)
    other = Home(tmp_path / "other")
    other.initialise()
    other.register(codex_home, name="laptop")
    monkeypatch.setenv(VARIABLE, str(other.root))
    monkeypatch.setenv("DAGSTER_HOME", str(other.dagster_home))
    materialise(other, INGESTED, days=days)
    assert digests(home) == {key: digest for key, digest in digests(other).items() if key in digests(home)}
    assert set(digests(home)) >= {(table, day) for table in INGESTED for day in days}


def test_a_second_run_of_a_day_waits_for_the_first(home):
    with home.lake.locked("traces", "2026-03-01"):
        run = start(home, ["2026-03-01"])
        await_step(run)
        time.sleep(0.5)
        assert run.poll() is None and not home.lake.has("spines", "2026-03-01")
    assert run.wait(120) == 0
    assert home.lake.read("turns", "2026-03-01").height == 3


def await_step(run: subprocess.Popen) -> None:
    """Until the run has begun its first step."""
    deadline = time.monotonic() + 120
    with dg.DagsterInstance.get() as instance:
        while time.monotonic() < deadline and run.poll() is None:
            for record in instance.get_run_records(limit=1):
                started = instance.all_logs(record.dagster_run.run_id, of_type=dg.DagsterEventType.STEP_START)
                if started:
                    return
            time.sleep(0.1)
    pytest.fail("the run never began")


HOOKED = """
import json, sys
from pathlib import Path
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.sources import scan
from codex_loop_assets_tests.wiring.test_concurrency import INGESTED
home = Home(Path(sys.argv[1]))
days = scan(home).changed
if days or len(sys.argv) > 3:
    materialise(home, INGESTED, days=days or sys.argv[3:])
Path(sys.argv[2]).write_text(json.dumps({"days": days, "opened": opened}))
"""


def files_opened(home: Home, codex_home: Path, *days: str) -> tuple[list[str], set[str]]:
    """(days that changed, session files opened) of a run in a process of its own, watched by an audit hook from before
    its first import."""
    seen = home.root.parent / "opened.json"
    subprocess.run(
        [sys.executable, "-c", HOOKED, str(home.root), str(seen), *days], check=True, stderr=subprocess.DEVNULL
    )
    found = json.loads(seen.read_text())
    return found["days"], {path for path in found["opened"] if path.startswith(str(codex_home))}


def test_one_grown_session_among_500_is_the_only_file_opened_and_an_unchanged_day_opens_none(home, codex_home):
    for number in range(100, 597):
        write_rollout(codex_home, "2026-03-01" if number % 50 else "2026-03-02", number, ["add a flag"])
    materialise(home, INGESTED, days=scan(home).changed)
    assert home.lake.read("spines").height == 500
    assert files_opened(home, codex_home, "2026-03-01", "2026-03-02", "2026-03-03") == ([], set())
    grown = write_rollout(codex_home, "2026-03-01", 321, ["add a flag", "and document it"], mtime=1_772_500_000.0)
    assert files_opened(home, codex_home) == (["2026-03-01"], {str(grown)})
    assert home.lake.read("turns").height == 502
