"""Reading lines from plain and compressed files in bounded memory, whatever their length.

Belongs here: bytes. What a line means is decided elsewhere.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import zstandard

_BUFFER = 1 << 20


class Line(NamedTuple):
    """One physical line. `data` has no newline; of a line over the limit it holds only the head. `size` counts all its
    bytes, the newline included; `ended` says whether there was one."""

    offset: int
    data: bytes
    size: int
    ended: bool
    whole: bool


class DamagedFile(OSError):
    """The compressed stream breaks off; what came before it has been read."""


def open_stream(path: Path) -> BinaryIO:
    """A buffered byte stream of the file's (uncompressed) content. Raises OSError."""
    raw = path.open("rb", buffering=0)
    if path.suffix != ".zst":
        return io.BufferedReader(raw, _BUFFER)
    reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=True)
    return io.BufferedReader(reader, _BUFFER)


def read_lines(path: Path, limit: int, head: int) -> Iterator[Line]:
    """The file's lines in order. Raises OSError, or DamagedFile after the last readable line."""
    offset = 0
    with open_stream(path) as stream:
        readline = stream.readline
        try:
            while data := readline(limit):
                size = len(data)
                if data[-1] == 10:
                    yield Line(offset, data[:-1], size, True, True)
                elif size < limit:
                    yield Line(offset, data, size, False, True)
                else:
                    size, ended = _pass_over(readline, size)
                    yield Line(offset, data[:head], size, ended, False)
                offset += size
        except zstandard.ZstdError as error:
            raise DamagedFile(f"compressed stream breaks off after {offset} bytes: {error}") from error


def _pass_over(readline, size: int) -> tuple[int, bool]:
    """Read on to the end of an overlong line without keeping it: (its size, whether it ended)."""
    while part := readline(_BUFFER):
        size += len(part)
        if part[-1] == 10:
            return size, True
    return size, False
