"""Laws of forgetting: no byte of the home says what the thread said, every other thread stays, and it is not read again."""

import json

import duckdb

from codex_loop_assets import stages
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.resources.forget import forget_threads
from codex_loop_assets.resources.sources import scan
from codex_loop_assets_tests.conftest import write_rollout

CANARY = "zanzibarquokka"


def _files_with(root, word: str) -> list[str]:
    """Files that hold the word as it is, and tables that hold it in a compressed column."""
    plain = [str(path) for path in root.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]
    held = []
    for path in root.rglob("*.parquet"):
        rows = duckdb.sql(f"SELECT to_json(t) FROM read_parquet('{path}', hive_partitioning = false) t").fetchall()
        held += [str(path)] if any(word in json.dumps(row, default=str) for row in rows) else []
    return plain + held


def test_a_forgotten_thread_leaves_no_word_anywhere_and_is_not_read_again(home, codex_home):
    write_rollout(codex_home, "2026-03-01", 7, [f"please fix {CANARY}", f"still broken, {CANARY} fails as before"])
    days = ["2026-03-01", "2026-03-02", "2026-03-03"]
    materialise(home, [*stages.INGEST, *stages.CANON, *stages.SIGNALS, *stages.DISCOVERY, *stages.REPORT], days=days)
    materialise(home, stages.REGISTRY)
    assert _files_with(home.root, CANARY)
    others = set(home.lake.read("turns")["user_message"]) - {
        m for m in home.lake.read("turns")["user_message"] if CANARY in m
    }

    forget_threads(home, ["019c0000-0000-7000-8000-000000000007"])
    assert _files_with(home.root, CANARY) == []
    assert scan(home).changed == []
    materialise(home, [*stages.INGEST, *stages.CANON, *stages.SIGNALS, *stages.DISCOVERY, *stages.REPORT], days=days)
    assert _files_with(home.root, CANARY) == []
    assert set(home.lake.read("turns")["user_message"]) == others
