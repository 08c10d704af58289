"""From a made-up home to its canonical tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from codex_loop_assets import canon
from codex_loop_assets_tests.traces.building import Spine, ingest, rollout_path, write_rollout


@dataclass
class Canon:
    events: pl.DataFrame
    turns: pl.DataFrame
    calls: pl.DataFrame
    sessions: pl.DataFrame

    def turn(self, index: int = 0) -> dict:
        return self.turns.sort("thread_id", "turn_index").row(index, named=True)

    def call(self, call_id: str) -> dict:
        return self.calls.filter(pl.col("call_id") == call_id).row(0, named=True)

    def session(self, thread: str | None = None) -> dict:
        chosen = self.sessions if thread is None else self.sessions.filter(pl.col("thread_id") == thread)
        return chosen.row(0, named=True)


def canonical(home: Path, **options: object) -> Canon:
    found = ingest(home, **options)
    turns = canon.turns.build(found.events, found.spines)
    calls = canon.tool_calls.build(found.events, found.spines)
    return Canon(found.events, turns, calls, canon.sessions.build(found.events, found.spines, turns, calls))


def of_spine(home: Path, spine: Spine) -> Canon:
    spine.write(home)
    return canonical(home)


def of_rollout(home: Path, lines: list[dict], **options: object) -> Canon:
    write_rollout(rollout_path(home), lines)
    return canonical(home, **options)
