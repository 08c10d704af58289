"""A file of JSON lines that only grows: what people and runs decided, each line once, appended under a lock.

What belongs here: the file. What does not: what a line means (`life` for tickets, `review` for verdicts).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
from filelock import FileLock


def read(path: Path) -> list[dict[str, Any]]:
    """Lines in the order of the file; [] where there is none.

    A last line cut off by a kill never became an entry and is left out. A broken line elsewhere raises ValueError
    with its number: a history with a hole would be read wrongly.
    """
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")
    entries = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entries.append(orjson.loads(line))
        except orjson.JSONDecodeError as error:
            if number == len(lines):
                break
            raise ValueError(f"{path.name}, line {number}: {error}") from error
    return entries


def append(path: Path, entries: Iterable[Mapping[str, Any]], key: str) -> int:
    """Append the entries whose `key` value no line has yet, and return how many those were."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        known = {line[key] for line in read(path)}
        fresh = {entry[key]: entry for entry in entries if entry[key] not in known}
        if fresh:
            _drop_torn_tail(path)
            with path.open("ab") as handle:
                handle.write(b"".join(orjson.dumps(entry) + b"\n" for entry in fresh.values()))
                handle.flush()
                os.fsync(handle.fileno())
    return len(fresh)


def _drop_torn_tail(path: Path) -> None:
    """Half a line, left by a kill in the middle of an append, must not become the start of the next one."""
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as handle:
            handle.truncate(whole)
