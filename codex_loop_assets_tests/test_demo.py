"""Laws of `make demo`: without a key and without an engine it shows the whole loop, and what was recorded still fits."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The home that the demo leaves, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    hidden = ("OPENAI_API_KEY", "CODEX_LOOP_HOME", "DAGSTER_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"CODEX_LOOP_HARBOR": str(folder / "none"), "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, str(CHECKOUT / "demo.py"), "--use-fixtures", "--skip-openai", "--output", str(folder)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "home", done.stdout


def rows(home: Path, sql: str) -> list[tuple]:
    with duckdb.connect(str(home / "codex_loop.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_the_site_shows_patterns(demo):
    home, _ = demo
    assert len(list((home / "reports" / "site" / "clusters").glob("*.html"))) >= 3


def test_a_promoted_category_finds_moments_in_the_days_that_follow(demo):
    home, shown = demo
    [(day, name)] = re.findall(r"On (\S+) the demo approves (\S+) ", shown)
    [(found,)] = rows(home, f"SELECT count(*) FROM detections WHERE category = '{name}' AND dt > DATE '{day}'")
    assert found > 0


def test_tickets_have_datasets(demo):
    home, _ = demo
    opened = rows(home, "SELECT dataset_dir FROM tickets WHERE path IS NOT NULL")
    assert opened and any(place for (place,) in opened)


def test_a_ticket_is_verified_by_the_recorded_jobs(demo):
    home, shown = demo
    assert "from recorded real job folders" in shown
    assert rows(home, "SELECT count(*) FROM tickets WHERE status = 'verified'") == [(1,)]


def test_without_a_key_and_without_an_engine_that_is_said_once(demo):
    _, shown = demo
    assert shown.count("OPENAI_API_KEY is not set") == 1
    assert "no engine" in shown
