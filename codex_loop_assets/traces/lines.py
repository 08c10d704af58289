"""Reading lines from plain and compressed files in bounded memory, whatever their length.

Belongs here: bytes. What a line means is decided elsewhere. Lines come in blocks, because a Python step per line is
the main cost of reading.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

import zstandard

_BLOCK = 1 << 18


class Block(NamedTuple):
    """Lines that follow one another from `offset` on, each with its newline (the last of a file may have none). A line
    over the limit is alone in its block: `long` is its whole size and `lines` holds its head."""

    offset: int
    lines: list[bytes]
    long: int = 0

    @property
    def size(self) -> int:
        """Bytes of the block's lines."""
        return self.long or sum(map(len, self.lines))


class DamagedFile(OSError):
    """The compressed stream breaks off; what came before it has been read."""


def open_stream(path: str) -> BinaryIO:
    """A byte stream of the file's (uncompressed) content. Raises OSError."""
    raw = open(path, "rb", buffering=0)  # noqa: SIM115 (the caller closes it)
    return cast(BinaryIO, _Decompressed(raw)) if path.endswith(".zst") else raw


class _Decompressed:
    """Reads compressed frames so that damage loses nothing that came before it (a buffered reader would)."""

    def __init__(self, raw: BinaryIO):
        self._raw = raw
        self._reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)

    def read(self, size: int = -1) -> bytes:
        try:
            return self._reader.read1(size) if size > 0 else self._reader.readall()
        except zstandard.ZstdError as error:
            raise DamagedFile(f"compressed stream breaks off: {error}") from error

    def __enter__(self) -> _Decompressed:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._raw.close()

    def __iter__(self) -> Iterator[bytes]:
        return io.BytesIO(self.read()).__iter__()


def read_blocks(path: str, limit: int, head: int) -> Iterator[Block]:
    """The file's lines in order. Raises OSError, or DamagedFile after the last readable line.

    limit: bytes above which a line is passed over (at least one block); head: bytes of such a line that are kept.
    """
    limit = max(limit, _BLOCK)
    with open_stream(path) as stream:
        yield from _blocks(stream, limit, head)


def _blocks(stream: BinaryIO, limit: int, head: int) -> Iterator[Block]:
    offset, rest, data = 0, b"", stream.read(_BLOCK)
    while data:
        after = b""
        # Twice as fast as splitting, which looks at every byte by itself.
        lines = io.BytesIO(data).readlines()
        lines[0] = rest + lines[0]
        rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
        # A line over the limit is longer than a block, so it can only be the first to end in one, or the one left open.
        if lines and len(lines[0]) > limit + 1:
            size = len(lines[0])
            yield Block(offset, [lines[0][:head]], long=size)
            offset, lines = offset + size, lines[1:]
        if lines:
            yield Block(offset, lines)
            offset += sum(map(len, lines))
        if len(rest) > limit:
            size, after = _pass_over(stream, len(rest))
            yield Block(offset, [rest[:head]], long=size)
            offset, rest = offset + size, b""
        data = after or stream.read(_BLOCK)
    if rest:
        yield Block(offset, [rest])


def _pass_over(stream: BinaryIO, size: int) -> tuple[int, bytes]:
    """Read on to the end of an overlong line without keeping it: (its size, what follows it)."""
    while data := stream.read(_BLOCK):
        place = data.find(b"\n")
        if place >= 0:
            return size + place + 1, data[place + 1 :]
        size += len(data)
    return size, b""
