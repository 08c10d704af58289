"""The fixture sessions as canonical tables, and one signal per request, so that every session may become a task.

The truth file is not read here: distilling must find its tasks in the sessions and the repositories alone.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import polars as pl

from codex_loop_assets.canon import sessions, tool_calls, turns
from codex_loop_assets.distill.distil import distil_cluster
from codex_loop_assets.settings import section
from codex_loop_assets.signals.model import CanonTables, signal_id
from codex_loop_assets.signals.redaction import redact
from codex_loop_assets.tables import EVENTS, SIGNALS, SPINES
from codex_loop_assets.traces.day import build_day
from codex_loop_assets.traces.discover import discover, locate
from codex_loop_assets.traces.homes import CodexHome
from codex_loop_assets_tests.distill.worlds import NOW

FIXTURES = Path(__file__).parents[2] / "fixtures"


def canon() -> CanonTables:
    """All sessions of the fixture home."""
    by_day = defaultdict(list)
    for ref in discover([CodexHome("main", FIXTURES / "codex_home", "machine")]):
        by_day[locate(ref)[0].date()].append(ref)
    days = [build_day(day, refs, SPINES.empty(), EVENTS.empty()) for day, refs in sorted(by_day.items())]
    spines = pl.concat([day.spines for day in days])
    events = pl.concat([day.events for day in days])
    turn_rows, call_rows = turns.build(events, spines), tool_calls.build(events, spines)
    return CanonTables(spines, events, sessions.build(events, spines, turn_rows, call_rows), turn_rows, call_rows)


def requests(tables: CanonTables) -> pl.DataFrame:
    """A signal at every request a person typed."""
    rows = []
    for turn in tables.turns.filter(pl.col("human") & (pl.col("kind") == "prompt")).iter_rows(named=True):
        place = {name: turn[name] for name in ("thread_id", "run", "turn_id", "seq_start", "seq_end")}
        rows.append(
            place
            | {
                "signal_id": signal_id(turn["thread_id"], turn["run"], turn["seq_start"], "exec_failure"),
                "type": "friction",
                "category": "exec_failure",
                "severity": 2,
                "confidence": 0.9,
                "detector": "mechanical",
                "detector_version": "1",
                "schema_version": "1",
                "description": "a request",
                "evidence": "[]",
                "detectors": ["mechanical"],
            }
        )
    return SIGNALS.frame(rows)


def distilled(home: Path) -> pl.DataFrame:
    """Every task that comes out of the fixtures, in one dataset below `home`."""
    tables = canon()
    settings = section("distill", {"distill": {"segments": {"maximum_per_cluster": 10_000}}})
    bundles = {path.stem: path for path in (FIXTURES / "repositories").glob("*.bundle")}
    return distil_cluster(
        "fixtures",
        requests(tables),
        tables,
        bundles,
        home,
        settings,
        NOW,
        redact=redact,
        codex_homes={"main": FIXTURES / "codex_home"},
    )
