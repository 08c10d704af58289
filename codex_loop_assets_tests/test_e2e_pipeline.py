"""The whole pipeline as a person runs it: each command a process of its own, on a small Codex home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from codex_loop_assets import clock
from codex_loop_assets_tests.conftest import write_rollout

CHECKOUT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-c", "from codex_loop_assets.cli import main; main()"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with eight sessions that trip over the same build."""
    folder = tmp_path_factory.mktemp("e2e")
    for number in range(8):
        messages = [f"build module {number}", "the build still fails, same error as before"]
        write_rollout(folder / "codex", f"2026-03-{number + 1:02d}", number, messages)
    return folder


def run(folder: Path, command: list[str]) -> str:
    """What a command prints; it must succeed."""
    hidden = ("OPENAI_API_KEY", "CODEX_LOOP_HOME", "DAGSTER_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {
        clock.VARIABLE: "2026-03-10",
        "CODEX_LOOP_HARBOR": str(folder / "none"),
        "PYTHONPATH": str(CHECKOUT),
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_daily_workflow_runs_from_session_files_to_the_report(folder):
    daily = ["daily", "--codex-home", "codex", "--db", "codex_loop.db", "--lookback-hours", "240", "--verbose"]
    assert "all accounted for: yes" in run(folder, [*COMMAND, *daily])
    with duckdb.connect(str(folder / "codex_loop.db"), read_only=True) as connection:
        [(signals,)] = connection.sql("SELECT count(*) FROM signals").fetchall()
    assert signals > 0
    assert (folder / "codex_loop.db.d" / "reports" / "site" / "index.html").is_file()
    assert "Analysis Summary" in run(folder, [*COMMAND, "report", "--db", "codex_loop.db"])


def test_the_demo_runs_on_a_persons_own_sessions(folder):
    shown = run(folder, [sys.executable, str(CHECKOUT / "demo.py"), "--codex-home", "codex", "--output", "demo_output"])
    assert "site " in shown and (folder / "demo_output" / "home" / "reports" / "site" / "trends.html").is_file()


def test_the_demo_takes_fixtures_or_sessions_but_not_both(folder):
    command = [sys.executable, str(CHECKOUT / "demo.py"), "--use-fixtures", "--codex-home", "codex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "name one of" in done.stderr
