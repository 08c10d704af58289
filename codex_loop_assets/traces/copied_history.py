"""Telling a fork's own part from the copy of its parent that its rollout starts with.

A fork (or a resume by the first builds that could) writes its own session_meta, then the parent's lines, the parent's
session_meta first, in one burst with the time of copying; some writers keep the old times. The copy is the parent's
work and must not be counted twice.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from codex_loop_assets.traces.settings import ReadSettings
from codex_loop_assets.traces.timestamps import parse_timestamp, uuid7_time


class CopiedHistory:
    """Sees a file's records in order and says which belong to the copy."""

    def __init__(self, settings: ReadSettings):
        self._pause = timedelta(milliseconds=settings.copied_history_pause_ms)
        self._own_start: datetime | None = None
        self._own_id: object = None
        self._forked = False
        self._previous: datetime | None = None
        self._number = 0
        self._own_from: int | None = None
        self.over = False
        self.parent: str | None = None

    def covers(self, record: dict) -> bool:
        """Whether this record is copied from the parent."""
        if self.over:
            return False
        self._number += 1
        meta = record.get("payload") if record.get("type") == "session_meta" else None
        if self._number == 1:
            self._begin(meta)
            return False
        if self._own_from is not None:
            ordinal = record.get("ordinal")
            self.over = type(ordinal) is not int or ordinal >= self._own_from
            return not self.over
        if self._number == 2 and not self._starts_copy(record, meta):
            self.over = True
            return False
        moment = parse_timestamp(record.get("timestamp"))
        if self._is_own(record, moment):
            self.over = True
            return False
        self._previous = moment or self._previous
        return True

    def _begin(self, meta: object) -> None:
        if type(meta) is not dict:
            self.over = True
            return
        self._own_id = meta.get("id")
        self._own_start = parse_timestamp(meta.get("timestamp"))
        # A paginated fork names its base and copies nothing.
        self.over = bool(meta.get("history_base"))
        self._forked = bool(meta.get("forked_from_id"))
        # A sub-agent that was given its parent's history says where its own begins.
        start = meta.get("subagent_history_start_ordinal")
        self._own_from = start if type(start) is int else None

    def _starts_copy(self, record: dict, meta: object) -> bool:
        if type(meta) is dict:
            parent = meta.get("id")
            self.parent = parent if type(parent) is str else None
            return parent != self._own_id
        moment = parse_timestamp(record.get("timestamp"))
        return self._forked and moment is not None and self._own_start is not None and moment < self._own_start

    def _is_own(self, record: dict, moment: datetime | None) -> bool:
        if moment is None or self._own_start is None:
            return moment is None and self._previous is not None
        if moment < self._own_start:
            return False
        payload = record.get("payload")
        turn = payload.get("turn_id") if type(payload) is dict else None
        started = uuid7_time(turn) if type(turn) is str else None
        if started is not None and started >= self._own_start:
            return True
        if self._previous is None:
            return False
        return self._previous < self._own_start or moment - self._previous > self._pause
