"""The file behind ticket life: one JSON line per event, appended under a lock, never rewritten.

What belongs here: reading and appending. What does not: what the events mean (`life`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import orjson
from filelock import FileLock

from codex_loop_assets.loop.life import Event


def read(path: Path) -> list[Event]:
    """Events in the order of the file; [] where there is none. A last line cut off by a kill is left out (the next append
    starts a new line); a broken line elsewhere raises ValueError with its number, since the history would be wrong."""
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")
    events = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            events.append(Event.from_dict(orjson.loads(line)))
        except (orjson.JSONDecodeError, KeyError, ValueError) as error:
            if number == len(lines):
                break
            raise ValueError(f"{path.name}, line {number}: {error}") from error
    return events


def append(path: Path, events: Iterable[Event]) -> int:
    """Append the events that the log does not hold yet and return how many those were."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        known = {event.event_id for event in read(path)}
        fresh = {event.event_id: event for event in events if event.event_id not in known}
        if fresh:
            _drop_torn_tail(path)
            with path.open("ab") as handle:
                handle.write(b"".join(orjson.dumps(event.as_dict()) + b"\n" for event in fresh.values()))
                handle.flush()
                os.fsync(handle.fileno())
    return len(fresh)


def _drop_torn_tail(path: Path) -> None:
    """A kill in the middle of an append leaves half a line, which was never an event: the next one must not join it."""
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as handle:
            handle.truncate(whole)
