"""Laws of `make demo`: without a key and without an engine it shows the whole loop, and what was recorded still fits."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from codex_loop_assets import clock
from codex_loop_assets.cli import main

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


@pytest.fixture
def guide(demo, tmp_path, monkeypatch):
    """A runner of the guide's commands in a folder where `--db ./codex_loop.db` names the home that the demo left."""
    home, _ = demo
    (tmp_path / "codex_loop.db.d").symlink_to(home)
    monkeypatch.chdir(tmp_path)
    for name in ("CODEX_LOOP_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("CODEX_LOOP_HARBOR", str(tmp_path / "none"))
    monkeypatch.setenv(clock.VARIABLE, "2026-03-24")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def run(command: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, shlex.split(command)[1:])
        assert result.exit_code == code, (command, result.output)
        return " ".join(result.output.split())

    return run


def test_the_guides_review_of_categories_works(demo, guide):
    listed = guide("codex-loop schema-proposals --db ./codex_loop.db")
    first, second = list(dict.fromkeys(re.findall(r"proposal_[0-9a-f]+", listed)))[:2]
    guide(f"codex-loop schema-approve --db ./codex_loop.db --proposal-id {first}")
    guide(f'codex-loop schema-reject --db ./codex_loop.db --proposal-id {second} --reason "Too vague"')
    assert "promoted" in guide("codex-loop schema-auto-promote --db ./codex_loop.db --confidence 0.85 --min-samples 10")
    guide("codex-loop schema-export --db ./codex_loop.db --output schema.json")
    left = guide("codex-loop schema-proposals --db ./codex_loop.db")
    assert first not in left and second not in left and Path("schema.json").is_file()


def test_the_guides_tasks_measures_and_tickets_work(demo, guide):
    home, _ = demo
    [(cluster, signal)] = rows(
        home,
        "SELECT v.cluster_id, d.signal_ids[1] FROM task_validations v JOIN harbor_datasets d USING (cluster_id, candidate_id)"
        " JOIN tickets t USING (cluster_id) WHERE v.status = 'validated' AND v.\"check\" = 'verdict' AND t.path IS NOT NULL"
        " ORDER BY v.cluster_id, d.task_name LIMIT 1",
    )
    assert "1 task(s)" in guide(f"codex-loop distill --db ./codex_loop.db --signal-id {signal} --output ./harbor_task")
    assert {"instruction.md", "task.toml", "environment", "tests"} <= {
        path.name for path in Path("harbor_task").iterdir()
    }
    assert Path("harbor_task/environment/Dockerfile").is_file() and Path("harbor_task/tests/test.sh").is_file()
    guide(f"codex-loop distill --db ./codex_loop.db --cluster-id {cluster} --output ./harbor_dataset")
    assert len(list(Path("harbor_dataset").glob("*/task.toml"))) > 1
    measure = "codex-loop measure --dataset ./harbor_dataset --agent codex --model gpt-5.2"
    Path("baseline.json").write_text("{}")
    os.environ["CODEX_LOOP_HOME"] = str(home)  # As written these name no home.
    assert "uv tool install harbor" in guide(measure, code=1)
    assert "uv tool install harbor" in guide(f"{measure} --baseline ./baseline.json", code=1)
    guide(f"codex-loop ticket --db ./codex_loop.db --cluster-id {cluster} --output ticket.md")
    said = Path("ticket.md").read_text("utf-8")
    for part in ("## Problem", "## Reproduction", "## Evidence", "## Dataset and validation", "## Suggested approach"):
        assert part in said
    [(dataset,)] = rows(home, "SELECT dataset FROM eval_runs GROUP BY dataset ORDER BY count(*) DESC LIMIT 1")
    for name in (dataset, dataset.replace("_", "-")):
        assert "fixed" in guide(f"codex-loop trends --db ./codex_loop.db --dataset {name} --days 30")
    assert "run: codex-loop measure" in guide(
        "codex-loop trends --db ./codex_loop.db --dataset harbor_dataset_001 --days 30", code=1
    )
