"""The ticket log: one JSON line per life event.

What belongs here: events to lines and back. What does not: what the events mean (`life`), the file (`append_log`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from codex_loop_assets.loop import append_log
from codex_loop_assets.loop.life import Event


def read(path: Path) -> list[Event]:
    """Events in the order of the file; [] where there is none. Raises ValueError for a line that is no event."""
    events = []
    for number, line in enumerate(append_log.read(path), start=1):
        try:
            events.append(Event.from_dict(line))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path.name}, entry {number} is no ticket event: {error!r}") from error
    return events


def append(path: Path, events: Iterable[Event]) -> int:
    """Append the events that the log does not hold yet and return how many those were."""
    return append_log.append(path, (event.as_dict() for event in events), "event_id")
