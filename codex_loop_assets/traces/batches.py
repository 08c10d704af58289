"""Collecting the events of many sources as columns: rows are tuples until a batch is full, then one Polars frame.

A file of a gigabyte thus never exists as Python objects, and a day of thousands of small sessions is a few frames. The
texts are kept apart (see `texts`): of all columns they alone are too much for such a file.
"""

from __future__ import annotations

import polars as pl

from codex_loop_assets.tables import EVENTS
from codex_loop_assets.traces.row import CONTENT
from codex_loop_assets.traces.settings import ReadSettings
from codex_loop_assets.traces.texts import Texts
from codex_loop_assets.traces.timestamps import parse_timestamps

_PLACE = ("origin", "run", "seq", "part", "ts", "payload_bytes", "file", "offset", "turn_at")
_COLUMNS = _PLACE + CONTENT
_TYPES = {
    **EVENTS.schema,
    "origin": pl.Int32,
    "ts": pl.String,
    "paths": pl.String,
    "file": pl.Int32,
    "turn_at": pl.String,
}
_SEPARATOR = "\x00"


class EventBatches:
    """Takes events one at a time, gives one frame of `events` columns: `origin` (number of the source) stands for
    thread_id, source and ordinal; `text` holds places in `texts`.

    Readers append to `rows` themselves, because a call per line costs more than the rest: (origin, run, seq, part,
    time as text, size in bytes, file number, byte offset, turn id in force) + content. Between blocks they call
    `settle`.
    """

    def __init__(self, settings: ReadSettings):
        self.rows: list[tuple] = []
        self.texts = Texts(settings.texts_in_memory)
        self._row_limit = settings.batch_rows
        self._byte_limit = settings.batch_bytes
        self._bytes = 0
        self._parts: dict[str, list[pl.Series]] = {name: [] for name in _COLUMNS}
        self._files: list[str] = []

    def file_number(self, name: str) -> int:
        """Number that stands for a file name in `add`."""
        self._files.append(name)
        return len(self._files) - 1

    def settle(self, read: int) -> None:
        """After `read` further bytes of source: make a frame of the rows if they are many."""
        self._bytes += read
        if len(self.rows) >= self._row_limit or self._bytes >= self._byte_limit:
            self._flush()

    def _flush(self) -> None:
        self._bytes = 0
        if not self.rows:
            return
        columns = dict(zip(_COLUMNS, zip(*self.rows, strict=True), strict=True))
        self.rows.clear()
        paths = columns["paths"]
        if paths.count(None) < len(paths):
            columns["paths"] = tuple(None if p is None else _SEPARATOR.join(p) for p in paths)
        for name, values in columns.items():
            series = _series(name, values)
            if name == "ts":
                series = parse_timestamps(series)
            elif name == "text":
                series = self.texts.add(series)
            self._parts[name].append(series)

    def frame(self) -> pl.DataFrame:
        """Everything added, in the order it was added."""
        self._flush()
        if not self._parts["ts"]:
            return _empty()
        # In one chunk, because otherwise each column added later makes Polars copy all the others; column by column,
        # because a large file's events would be there twice if all were joined at once.
        frame = pl.DataFrame([pl.concat(self._parts.pop(name), rechunk=True) for name in _COLUMNS])
        self._parts = {name: [] for name in _COLUMNS}
        files = pl.Series("file", self._files, dtype=pl.String)
        return frame.with_columns(
            files.gather(frame["file"]),
            pl.col("paths").str.split(_SEPARATOR),
            pl.coalesce("turn_id", "turn_at").alias("turn_id"),
        ).drop("turn_at")


def _series(name: str, values: tuple) -> pl.Series:
    dtype = _TYPES[name]
    if values[0] is None and values.count(None) == len(values):
        return pl.Series(name, [None], dtype=dtype).new_from_index(0, len(values))
    return pl.Series(name, values, dtype=dtype, strict=True)


def _empty() -> pl.DataFrame:
    return pl.DataFrame(schema={name: EVENTS.schema.get(name, pl.Int32) for name in _COLUMNS if name != "turn_at"})
