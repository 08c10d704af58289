"""The canonical tables by thread: rows of one session without searching a whole table each time.

What belongs here: access. What a row means stands in `tables`.
"""

from __future__ import annotations

from datetime import datetime
from functools import cached_property

import polars as pl

from codex_loop_assets.distill.replay import Step, steps
from codex_loop_assets.distill.segment import Row, place
from codex_loop_assets.signals.model import CanonTables


class Threads:
    """Sessions, turns, tool calls and signals of the given tables, by thread id. Lists are in order of place.

    `started` are the sessions that had started by `now`.
    """

    def __init__(self, canon: CanonTables, signals: pl.DataFrame, now: datetime) -> None:
        self.canon = canon
        self.started = canon.sessions.filter(pl.col("started_at") <= now)
        self.known_signals = signals
        self._steps: dict[str, list[Step]] = {}

    def session(self, thread_id: str) -> Row:
        """The row of `sessions`. Raises KeyError for a thread without one."""
        return self._sessions[thread_id]

    def turns(self, thread_id: str) -> list[Row]:
        return _rows(self._turns, thread_id)

    def calls(self, thread_id: str) -> list[Row]:
        return _rows(self._calls, thread_id)

    def signals(self, thread_id: str) -> list[Row]:
        return _rows(self._signals, thread_id)

    def steps(self, thread_id: str) -> list[Step]:
        """The applied patches of a thread."""
        if thread_id not in self._steps:
            self._steps[thread_id] = steps(self.calls(thread_id), self.turns(thread_id))
        return self._steps[thread_id]

    def carried(self, session: Row) -> list[Step]:
        """Edits of earlier sessions in the same directory on the same commit: what may still be uncommitted."""
        same = self.started.filter(
            (pl.col("cwd") == session["cwd"])
            & (pl.col("commit_hash") == session["commit_hash"])
            & (pl.col("started_at") < session["started_at"])
        )
        return [step for thread in same.sort("started_at", "thread_id")["thread_id"] for step in self.steps(thread)]

    @cached_property
    def _sessions(self) -> dict[str, Row]:
        return {row["thread_id"]: row for row in self.canon.sessions.iter_rows(named=True)}

    @cached_property
    def _turns(self) -> dict[tuple, pl.DataFrame]:
        return self.canon.turns.partition_by("thread_id", as_dict=True)

    @cached_property
    def _calls(self) -> dict[tuple, pl.DataFrame]:
        return self.canon.tool_calls.partition_by("thread_id", as_dict=True)

    @cached_property
    def _signals(self) -> dict[tuple, pl.DataFrame]:
        return self.known_signals.partition_by("thread_id", as_dict=True)


def _rows(frames: dict[tuple, pl.DataFrame], thread_id: str) -> list[Row]:
    frame = frames.get((thread_id,))
    return [] if frame is None else sorted(frame.iter_rows(named=True), key=place)
