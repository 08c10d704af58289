"""The texts of a day's events, kept apart from their rows until the rows are written.

What belongs here: keeping texts small in memory and giving them back. What does not: which event has which text.

Texts are most of what a day holds. A session of a gigabyte has hundreds of megabytes of them, which wait in a temporary file
without a name, so that a kill leaves nothing of them; those of an ordinary day are few, and stay in memory.
"""

from __future__ import annotations

import io
import tempfile
from typing import IO

import polars as pl


class NoRoomForTexts(RuntimeError):
    """The temporary file cannot be written. No OSError, which would mean that a session file cannot be read."""


class Texts:
    """Texts by place, in blocks. Up to `in_memory` bytes of them stay in memory, the rest is in a file."""

    def __init__(self, in_memory: int):
        self._in_memory = in_memory
        self._blocks: list[pl.Series | tuple[int, int]] = []
        self._starts: list[int] = []
        self._height = 0
        self._file: IO[bytes] | None = None

    def add(self, texts: pl.Series) -> pl.Series:
        """Keep these texts and return their places, as strings of digits, so that a frame of places has the columns of a frame
        of texts; null where there is no text. Raises NoRoomForTexts."""
        places = pl.int_range(self._height, self._height + texts.len(), eager=True).cast(pl.String)
        self._starts.append(self._height)
        self._height += texts.len()
        self._in_memory -= int(texts.estimated_size())
        self._blocks.append(texts if self._in_memory >= 0 else self._put_away(texts))
        return places.set(texts.is_null(), None).alias(texts.name)

    def at(self, places: pl.Series) -> pl.Series:
        """The texts at these places, in this order."""
        wanted = places.cast(pl.Int64).to_frame("place").with_row_index("row")
        there = wanted.drop_nulls("place")
        block = pl.Series(self._starts, dtype=pl.Int64).search_sorted(there["place"], side="right").cast(pl.Int64) - 1
        found = [
            rows.select("row", self._block(number).gather(rows["place"] - self._starts[number]).alias(places.name))
            for (number,), rows in there.with_columns(block.alias("block")).group_by("block", maintain_order=True)
        ]
        empty = pl.DataFrame(schema={"row": wanted.schema["row"], places.name: pl.String})
        return wanted.join(pl.concat([empty, *found]), on="row", how="left", maintain_order="left")[places.name]

    def _put_away(self, texts: pl.Series) -> tuple[int, int]:
        """Write a block to the end of the file: where it begins, and its size."""
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="codex-loop-")  # noqa: SIM115 (as long as the texts)
            start = self._file.seek(0, io.SEEK_END)
            buffer = io.BytesIO()
            texts.to_frame().write_ipc(buffer, compression="uncompressed")
            size = self._file.write(buffer.getbuffer())
            self._file.flush()  # Here, where a full disk has a name, and not when the block is read.
            return start, size
        except OSError as error:
            raise NoRoomForTexts(f"no room for a day's texts in {tempfile.gettempdir()}: {error.strerror}") from error

    def _block(self, number: int) -> pl.Series:
        block = self._blocks[number]
        if isinstance(block, pl.Series):
            return block
        start, size = block
        self._file.seek(start)
        return pl.read_ipc(io.BytesIO(self._file.read(size))).to_series()
