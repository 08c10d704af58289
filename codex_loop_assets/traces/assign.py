"""Which day each session source belongs to, and which days have changed since they were last built.

A session belongs to the UTC day on which it started, for good: once a day holds a thread, the thread stays there
however it grows or moves. Only sources of threads never seen before are opened, and only their head.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

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

    days_of_opening = _days_of_openings(known)
    new = [ref for ref in refs if placed(ref) is None]
    starts = [(min(max(locate(ref)[0].date().isoformat(), first), last), ref) for ref in new]
    unseen: dict[str, str] = {}
    # The earliest first: later saves of its session join it.
    for start, ref in sorted(starts, key=lambda item: item[0]):
        begins = opening(ref)
        day = start if begins is None else _day_of_saves(days_of_opening[ref.home, begins], start)
        # A thread's spine and rollout can disagree by a moment around midnight; the earlier start is the start.
        unseen[ref.thread_id] = min(day, unseen.get(ref.thread_id, day))
    by_day: dict[str, list[SourceRef]] = defaultdict(list)
    for ref in refs:
        by_day[placed(ref) or unseen[ref.thread_id]].append(ref)
    changed = sorted(day for day in by_day.keys() | known.keys() if _differs(by_day.get(day, []), known.get(day)))
    return Calendar(dict(by_day), changed)


def _days_of_openings(known: Mapping[str, pl.DataFrame]) -> defaultdict[tuple[str, str], list[str]]:
    """Home and opening of each document that the days hold -> those days, in order."""
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for day, spines in sorted(known.items()):
        openings = spines.select("home", pl.col("coverage").str.json_path_match("$.opening").alias("opening"))
        for key in openings.drop_nulls("opening").unique().rows():
            found[key].append(day)
    return found


def _day_of_saves(days: list[str], start: str) -> str:
    """The day of a document whose opening lies on these days already: a neighbour of its own, since saves of one session
    may lie on both sides of midnight; else its own, which is added. Sessions further apart only begin with the same
    words."""
    own = date.fromisoformat(start)
    neighbours = ((own + timedelta(days=step)).isoformat() for step in (-1, 0, 1))
    near = next((day for day in neighbours if day in days), None)
    if near is None:
        days.append(start)
    return near or start


def _differs(refs: list[SourceRef], spines: pl.DataFrame | None) -> bool:
    if spines is None:
        return bool(refs)
    present = spines.filter(pl.col("status") != "vanished")
    committed = set(zip(present["home"], present["path"], present["fingerprint"], strict=True))
    return {(ref.home, ref.path, ref.fingerprint) for ref in refs} != committed
