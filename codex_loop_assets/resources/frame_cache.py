"""Frames of files that were read before in this process, for as long as the files are the same.

What belongs here: remembering. What does not: which file holds what, and how it is replaced (`lake`).

A cluster's tasks and ticket look at the same small files of every day as the next cluster's: a first run of six weeks opens
each of a thousand files almost thirty times.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import polars as pl

Signature = tuple[int, int, int]
# Bytes of all frames kept, and of the largest one: a day of a busy team is read once and in one go, and is not kept.
KEPT, LARGEST = 128_000_000, 4_000_000
# What a column takes beside its values, which is most of what the frame of a quiet day takes.
BYTES_PER_COLUMN = 1000


class FrameCache:
    """Up to `kept` bytes of frames by path; those not used for longest go first."""

    def __init__(self, kept: int = KEPT, largest: int = LARGEST):
        self._kept, self._largest = kept, largest
        self._frames: OrderedDict[Path, tuple[Signature, pl.DataFrame, int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def read(self, path: Path, load: Callable[[Path], pl.DataFrame]) -> pl.DataFrame:
        """The frame of a file: the one at hand where the file is still the same, else what `load` makes of it. Raises what
        `load` does. A file that is replaced while it is read is not remembered."""
        before = _signature(path)
        with self._lock:
            known = self._frames.get(path)
            if known and known[0] == before:
                self._frames.move_to_end(path)
                return known[1].clone()
        frame = load(path)
        size = int(frame.estimated_size()) + BYTES_PER_COLUMN * frame.width
        with self._lock:
            self._drop(path)
            if size <= self._largest and before is not None and _signature(path) == before:
                self._frames[path] = (before, frame.clone(), size)
                self._bytes += size
                while self._bytes > self._kept:
                    self._drop(next(iter(self._frames)))
        return frame

    def _drop(self, path: Path) -> None:
        known = self._frames.pop(path, None)
        if known:
            self._bytes -= known[2]


def _signature(path: Path) -> Signature | None:
    """What changes when a file is replaced, None where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
