"""The guide's commands work as written, in its order, on a home that `--db` names; wrong input is a message, not a traceback."""

import json
import os
import re
import shlex
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from codex_loop_assets import clock
from codex_loop_assets.cli import COMMANDS, main
from codex_loop_assets_tests.conftest import write_rollout


@pytest.fixture(scope="module")
def guide(tmp_path_factory):
    """A folder with ten sessions that trip over the same build, and a runner of commands in it."""
    folder = tmp_path_factory.mktemp("guide")
    for number in range(10):
        write_rollout(
            folder / "codex",
            f"2026-03-{number + 1:02d}",
            number,
            [f"build module {number}", "the build still fails, same error as before"],
        )
    before = dict(os.environ), os.getcwd()
    os.environ[clock.VARIABLE] = "2026-03-12"
    os.environ.pop("OPENAI_API_KEY", None)
    os.environ["CODEX_LOOP_HARBOR"] = str(folder / "no-harbor")
    os.chdir(folder)

    def run(command: str, code: int = 0):
        result = CliRunner().invoke(main, shlex.split(command)[1:])
        assert result.exception is None or isinstance(result.exception, SystemExit), (command, result.exception)
        assert result.exit_code == code, (command, result.output)
        return result.output

    yield run
    os.chdir(before[1])
    os.environ.clear()
    os.environ.update(before[0])


def rows(sql: str) -> list[tuple]:
    with duckdb.connect("codex_loop.db", read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_the_guides_commands_work_in_its_order(guide):
    guide("codex-loop init --db ./codex_loop.db")
    assert "10 sessions" in guide("codex-loop ingest --codex-home codex --db ./codex_loop.db --lookback-hours 8760")
    assert rows("SELECT count(*) FROM turns") == [(20,)]
    assert "exec_failure" in guide("codex-loop signals --db ./codex_loop.db")
    assert "Analysis Summary" in guide("codex-loop report --db ./codex_loop.db")
    guide("codex-loop cluster --db ./codex_loop.db --vectors ./vectors")
    assert {f"{name}.lance" for name in ("signal_embeddings", "session_embeddings")} <= {
        p.split("__")[0] + ".lance" for p in os.listdir("vectors")
    }
    guide("codex-loop schema-proposals --db ./codex_loop.db")
    guide("codex-loop schema-auto-promote --db ./codex_loop.db --confidence 0.85 --min-samples 10")
    guide("codex-loop schema-export --db ./codex_loop.db --output schema.json")
    assert {"exec_failure", "repeated_rephrasing"} <= {
        category["name"] for category in json.loads(Path("schema.json").read_text("utf-8"))["categories"]
    }
    cluster = rows("SELECT cluster_id FROM cluster_registry WHERE status = 'live' ORDER BY size DESC LIMIT 1")[0][0]
    signal = rows("SELECT signal_id FROM signals ORDER BY signal_id LIMIT 1")[0][0]
    # These sessions have no repository and no fix: no task can come out, and the reason is said.
    assert "no task came out" in guide(
        f"codex-loop distill --db ./codex_loop.db --signal-id {signal} --output ./harbor_task", code=1
    )
    assert "no task came out" in guide(
        f"codex-loop distill --db ./codex_loop.db --cluster-id {cluster} --output ./harbor_dataset", code=1
    )
    guide(f"codex-loop ticket --db ./codex_loop.db --cluster-id {cluster} --output ticket.md --force")
    assert cluster in Path("ticket.md").read_text("utf-8")
    assert "Share of sessions" in guide("codex-loop trends --db ./codex_loop.db --days 30")
    output = guide("codex-loop daily --codex-home codex --db ./codex_loop.db --lookback-hours 24 --verbose")
    assert "all accounted for: yes" in output


def test_unknown_ids_and_homes_are_messages_that_say_what_to_do(guide):
    guide("codex-loop init --db ./codex_loop.db")
    for command, expected in (
        ("codex-loop schema-approve --db ./codex_loop.db --proposal-id proposal_none", "schema-proposals --all"),
        (
            'codex-loop schema-reject --db ./codex_loop.db --proposal-id proposal_none --reason "Too vague"',
            "schema-proposals --all",
        ),
        ("codex-loop distill --db ./codex_loop.db --signal-id sig_123 --output ./out", "no signal 'sig_123'"),
        ("codex-loop ticket --db ./codex_loop.db --cluster-id cluster_456", "no cluster 'cluster_456'"),
        ("codex-loop report --home ./nowhere", "codex-loop init"),
        ("codex-loop forget --db ./codex_loop.db nobody --yes", "no thread 'nobody'"),
        ("codex-loop ingest --db ./codex_loop.db --codex-home ./missing", "is no directory"),
        ("codex-loop report --db ./codex_loop.db --as-of yesterday", "2026-03-24"),
    ):
        output = guide(command, code=1)
        assert expected in " ".join(output.split()), (command, output)
        assert "Traceback" not in output


def test_doctor_answers_the_four_troubleshooting_cases(guide):
    os.makedirs("broken/trace_spine/019c0000-0000-7000-8000-00000000aaaa", exist_ok=True)
    spine = "broken/trace_spine/019c0000-0000-7000-8000-00000000bbbb"
    os.makedirs(spine, exist_ok=True)
    with open(f"{spine}/segment-000.jsonl", "w") as file:
        file.write(
            '{"schema_version":"something_else","thread_id":"x","seq":1,"timestamp":"2026-03-01T10:00:00.000Z","type":"event","payload":{}}\n'
        )
    headless = "broken/trace_spine/019c0000-0000-7000-8000-00000000cccc"
    os.makedirs(headless, exist_ok=True)
    with open(f"{headless}/segment-000.jsonl", "w") as file:
        file.write(
            '{"schema_version":"codex_trace_spine_v1","thread_id":"x","seq":1,"timestamp":"2026-03-01T10:00:00.000Z","type":"event","payload":{}}\n'
        )
    guide("codex-loop ingest --home ./sick --codex-home broken")
    guide("codex-loop signals --home ./sick")
    output = " ".join(guide("codex-loop doctor --home ./sick", code=1).split())
    assert "has no segment-*.jsonl" in output
    assert "schema_version is not codex_trace_spine_v1" in output and "no session_meta record" in output
    assert "too few friction signals to cluster: need 5, have 0" in output
    assert "uv tool install harbor" in output


def test_every_command_explains_itself():
    for name in COMMANDS:
        result = CliRunner().invoke(main, [name, "--help"])
        assert result.exit_code == 0 and len(result.output.splitlines()) > 4, name


def test_the_page_that_maps_the_guide_names_every_command_table_and_collection():
    page = (Path(__file__).parents[2] / "docs" / "guide.md").read_text("utf-8")
    commands = [name for name in COMMANDS if f"`codex-loop {name}" not in page and f"`{name}`" not in page]
    assert commands == []
    tables = ("sessions", "turns", "tool_calls", "signals", "clusters", "schema_proposals", "eval_runs")
    collections = ("signal_embeddings", "session_embeddings", "cluster_centroids")
    assert all(re.search(rf"\b{name}\b", page) for name in (*tables, *collections))
