"""Which day each session source belongs to, and which days have changed since they were last built.

A session belongs to the UTC day on which it started, for good: once a day holds a thread, the thread stays there
however it grows or moves. Only sources of threads never seen before are opened, and only their head.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from codex_loop_assets.traces.discover import SourceRef


@dataclass(frozen=True)
class Calendar:
    """`by_day`: day (ISO) -> its sources. `changed`: days with a new, grown, moved or vanished source."""

    by_day: dict[str, list[SourceRef]]
    changed: list[str]


def assign(
    refs: list[SourceRef],
    known: Mapping[str, pl.DataFrame],
    locate: Callable[[SourceRef], tuple[datetime, str]],
    first: str,
    last: str,
    opening: Callable[[SourceRef], str | None] = lambda ref: None,
) -> Calendar:
    """Sort sources into days. `known`: day -> its `spines` rows as last committed; `locate`: start of an unseen source.

    A start before the day `first` or after `last` (a clock that was wrong) counts for that day: there is no partition
    beyond, and a session must not be left out for its date. Its row keeps the recorded start. `opening`: see
    `discover.opening`; saves of one session, under several ids, are sorted into one day, where they can be compared.
    """
    day_of_thread = {
        thread: day for day, spines in sorted(known.items(), reverse=True) for thread in spines["thread_id"].to_list()
    }
    # The thread of a file whose name has none is known only from its content, so such files are known by their place.
    day_of_place = {
        place: day
        for day, spines in sorted(known.items(), reverse=True)
        for place in spines.select("home", "path").rows()
    }

    def placed(ref: SourceRef) -> str | None:
        return day_of_thread.get(ref.thread_id) or day_of_place.get((ref.home, ref.path))

    day_of_opening = _days_of_openings(known)
    new = [ref for ref in refs if placed(ref) is None]
    starts = [(min(max(locate(ref)[0].date().isoformat(), first), last), ref) for ref in new]
    unseen: dict[str, str] = {}
    # The earliest first: later saves of its session join it.
    for start, ref in sorted(starts, key=lambda item: item[0]):
        begins = opening(ref)
        day = start if begins is None else day_of_opening.setdefault(begins, start)
        # A thread's spine and rollout can disagree by a moment around midnight; the earlier start is the start.
        unseen[ref.thread_id] = min(day, unseen.get(ref.thread_id, day))
    by_day: dict[str, list[SourceRef]] = defaultdict(list)
    for ref in refs:
        by_day[placed(ref) or unseen[ref.thread_id]].append(ref)
    changed = sorted(day for day in by_day.keys() | known.keys() if _differs(by_day.get(day, []), known.get(day)))
    return Calendar(dict(by_day), changed)


def _days_of_openings(known: Mapping[str, pl.DataFrame]) -> dict[str, str]:
    """Opening of each document that a day holds -> the first such day."""
    found: dict[str, str] = {}
    for day, spines in sorted(known.items()):
        openings = spines["coverage"].str.json_path_match("$.opening").drop_nulls()
        found = {**dict.fromkeys(openings, day), **found}
    return found


def _differs(refs: list[SourceRef], spines: pl.DataFrame | None) -> bool:
    if spines is None:
        return bool(refs)
    present = spines.filter(pl.col("status") != "vanished")
    committed = set(zip(present["home"], present["path"], present["fingerprint"], strict=True))
    return {(ref.home, ref.path, ref.fingerprint) for ref in refs} != committed
