"""Collecting events as columns: rows are tuples until a batch is full, then one Polars frame.

A file of a gigabyte thus never exists as Python objects.
"""

from __future__ import annotations

import polars as pl

from codex_loop_assets.tables import EVENTS
from codex_loop_assets.traces.row import CONTENT, Content
from codex_loop_assets.traces.settings import ReadSettings
from codex_loop_assets.traces.timestamps import parse_timestamps

_PLACE = ("run", "seq", "part", "ts", "payload_bytes", "file", "offset")
_COLUMNS = _PLACE + CONTENT
_TYPES = {**EVENTS.schema, "ts": pl.String, "paths": pl.String}
_PATHS = _COLUMNS.index("paths")
_SEPARATOR = "\x00"


class EventBatches:
    """Takes events one at a time, gives one frame of `events` columns (without thread_id, source and ordinal)."""

    def __init__(self, settings: ReadSettings):
        self._settings = settings
        self._rows: list[tuple] = []
        self._bytes = 0
        self._frames: list[pl.DataFrame] = []

    def add(
        self, run: int, seq: int, part: int, ts: str | None, size: int, file: str, offset: int, content: Content
    ) -> None:
        self._rows.append((run, seq, part, ts, size, file, offset, *content))
        self._bytes += size
        if len(self._rows) >= self._settings.batch_rows or self._bytes >= self._settings.batch_bytes:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = list(zip(*self._rows, strict=True))
        if any(columns[_PATHS]):
            columns[_PATHS] = tuple(None if p is None else _SEPARATOR.join(p) for p in columns[_PATHS])
        series = [
            pl.Series(name, values, dtype=_TYPES[name], strict=True)
            for name, values in zip(_COLUMNS, columns, strict=True)
        ]
        frame = pl.DataFrame(series)
        self._frames.append(frame.with_columns(parse_timestamps(frame["ts"]), pl.col("paths").str.split(_SEPARATOR)))
        self._rows, self._bytes = [], 0

    def frame(self) -> pl.DataFrame:
        """Everything added, in the order it was added."""
        self._flush()
        if self._frames:
            return pl.concat(self._frames, rechunk=False)
        return empty_events()


def empty_events() -> pl.DataFrame:
    """No event, with the columns that `EventBatches.frame` gives."""
    return pl.DataFrame(schema={name: EVENTS.schema[name] for name in _COLUMNS})
