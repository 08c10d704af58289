"""Faults at write points: every place where code is about to change the disk can be made to fail, or to be the last thing
that the process does.

What belongs here: counting write points and striking at one. What does not: what must hold afterwards (the tests say).

Python announces opening for writing, renaming, removing and making directories to audit hooks before it does them; fsync
and the writing of Parquet, which it does not announce, are wrapped. Files under locks/ are left alone: they hold nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

_ANNOUNCED = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink", "shutil.rmtree"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Death(BaseException):
    """The process is gone: nothing that runs while this travels up may change the disk any more, `finally` included."""


@dataclass
class WritePoints:
    """What was about to happen under `root`, in order, and what to do at one of these points."""

    root: Path
    strike_at: int | None = None
    strike: Callable[[str, Path], None] | None = None
    seen: list[tuple[str, str]] = field(default_factory=list)
    dead: bool = False

    def reached(self, kind: str, path: Path) -> None:
        if self.dead:
            raise Death
        self.seen.append((kind, path.name))
        if len(self.seen) == self.strike_at and self.strike:
            self.strike(kind, path)


_active: WritePoints | None = None
_hooked = False


def _announced(event: str, arguments: tuple) -> None:
    if _active is None or (event not in _ANNOUNCED and event != "open"):
        return
    if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & _WRITING):
        return
    if not isinstance(arguments[0], str | bytes | os.PathLike):
        return
    path = Path(os.fsdecode(arguments[0]))
    if path.is_relative_to(_active.root) and path.suffix != ".lock" and path.name not in ("locks", ".locks"):
        _active.reached(event, path)


@contextlib.contextmanager
def write_points(points: WritePoints) -> Iterator[WritePoints]:
    """Count, and strike, while the block runs."""
    global _active, _hooked
    if not _hooked:
        sys.addaudithook(_announced)
        _hooked = True
    # A frame is written as a lazy frame is.
    fsync, sink_parquet = os.fsync, pl.LazyFrame.sink_parquet

    def announced_fsync(handle) -> None:
        descriptor = handle if isinstance(handle, int) else handle.fileno()
        path = (
            Path(os.readlink(f"/proc/self/fd/{descriptor}")) if os.path.exists("/proc/self/fd") else points.root / "?"
        )
        points.reached("os.fsync", path)
        fsync(handle)

    def announced_sink(frame, file, *arguments, **options) -> None:
        points.reached("write_parquet", Path(file))
        sink_parquet(frame, file, *arguments, **options)

    _active, os.fsync, pl.LazyFrame.sink_parquet = points, announced_fsync, announced_sink
    try:
        yield points
    finally:
        _active, os.fsync, pl.LazyFrame.sink_parquet = None, fsync, sink_parquet


def count(root: Path, act: Callable[[], object]) -> list[tuple[str, str]]:
    """The write points of an undisturbed run, in order: (kind, file name)."""
    with write_points(WritePoints(root)) as points:
        act()
    return points.seen


def die_at(root: Path, number: int, act: Callable[[], object], torn: bool = False) -> bool:
    """Run `act` as a process that dies at the given point; `torn`: the file at stake is half written then. Returns whether
    it died (a run may take fewer steps than the counted one)."""
    points = WritePoints(root, number)

    def strike(kind: str, path: Path) -> None:
        if torn:
            tear(path)
        points.dead = True
        raise Death

    points.strike = strike
    with write_points(points), contextlib.suppress(Death):
        act()
    return points.dead


def fail_at(root: Path, number: int, act: Callable[[], object]) -> None:
    """Run `act` on a disk that refuses the given step (no space left), and only that."""

    def strike(kind: str, path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with write_points(WritePoints(root, number, strike)), contextlib.suppress(OSError, pl.exceptions.ComputeError):
        act()


def exit_at(root: Path, number: int, act: Callable[[], object]) -> None:
    """Run `act`, and really end this process at the given point, without any cleaning up."""
    with write_points(WritePoints(root, number, lambda kind, path: os._exit(9))):
        act()


def tear(path: Path) -> None:
    """Leave half of a file, or of the last line of a log that only grows, as a kill in the middle of writing does."""
    if path.is_file() and (content := path.read_bytes()):
        start = content.rstrip(b"\n").rfind(b"\n") + 1 if path.suffix == ".jsonl" else 0
        with open(os.open(path, os.O_RDWR), "r+b") as file:
            file.truncate((start + len(content)) // 2)
