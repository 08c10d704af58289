"""Which source of a thread counts: quarantine, exclusion, copies, earlier saves, and a spine beside a rollout.

Every source keeps its row in the ledger whatever is decided here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

import polars as pl

from codex_loop_assets.traces.coverage import beyond_spine, compared
from codex_loop_assets.traces.discover import ROLLOUT, SPINE
from codex_loop_assets.traces.settings import ReadSettings
from codex_loop_assets.traces.sources import Reading
from codex_loop_assets.traces.values import plain_path, to_json


@dataclass
class Outcome:
    """What became of a source. `keep`: all of its events (None), none (an empty mask), or those of the mask (in the
    order of its events); `run_offset` is added to its runs."""

    reading: Reading
    status: str = "ingested"
    reason: str | None = None
    coverage: str | None = None
    keep: pl.Series | None = None
    run_offset: int = 0

    @property
    def dropped(self) -> bool:
        """Whether none of its events count."""
        return self.keep is not None and not self.keep.any()


_NONE = pl.Series([], dtype=pl.Boolean)


def decide(readings: list[Reading], frame: pl.DataFrame, settings: ReadSettings) -> list[Outcome]:
    """One outcome per reading. `frame`: the events of all of them, told apart by `origin`."""
    outcomes = []
    by_thread: dict[str, list[Reading]] = defaultdict(list)
    whole = _whole_saves(readings)
    for reading in readings:
        if reading.quarantine:
            outcomes.append(Outcome(reading, "quarantined", reading.quarantine, keep=_NONE))
        elif pattern := _excluded_by(reading, settings):
            reason = f"working directory matches {pattern!r} (setting traces.excluded_cwd)"
            outcomes.append(_without_events(reading, "excluded", reason))
        elif later := whole.get(reading.origin):
            reason = f"an earlier save of the session in {later.ref.home}:{later.ref.path}, which begins with all of it"
            outcomes.append(_without_events(reading, "superseded", reason))
            outcomes[-1].coverage = to_json({"save_of": later.thread_id})
        else:
            by_thread[reading.thread_id].append(reading)
    for group in by_thread.values():
        outcomes.extend([Outcome(group[0])] if len(group) == 1 else _decide_thread(group, frame, settings))
    return outcomes


def _whole_saves(readings: list[Reading]) -> dict[int, Reading]:
    """Origin of a document -> the document of another id that begins with all of it: the longest, of equal ones the first by
    place. Nothing in a document but the conversation itself says that two of them are one session."""
    documents = [reading for reading in readings if reading.states and not reading.quarantine]
    holder: dict[bytes, Reading] = {}
    found = {}
    for reading in sorted(documents, key=lambda reading: (-len(reading.states), reading.ref.home, reading.ref.path)):
        later = holder.get(reading.states[-1])
        if later is not None and later.thread_id != reading.thread_id:
            found[reading.origin] = later
        for state in reading.states:
            holder.setdefault(state, later or reading)
    return found


def _excluded_by(reading: Reading, settings: ReadSettings) -> str | None:
    cwd = plain_path(reading.meta.get("cwd")) or ""
    return next((pattern for pattern in settings.excluded_cwd if re.search(pattern, cwd)), None)


def _decide_thread(group: list[Reading], frame: pl.DataFrame, settings: ReadSettings) -> list[Outcome]:
    outcomes = []
    best: dict[str, Reading] = {}
    for source in (SPINE, ROLLOUT):
        same = sorted(
            (r for r in group if r.ref.source == source), key=lambda r: (-r.tally.read, r.ref.home, r.ref.path)
        )
        if same:
            best[source] = same[0]
        for copy in same[1:]:
            reason = f"the same thread is in {same[0].ref.home}:{same[0].ref.path}, which holds at least as much"
            outcomes.append(_without_events(copy, "superseded", reason))
    if len(best) < 2:
        return outcomes + [Outcome(reading) for reading in best.values()]
    return outcomes + _compare(best[SPINE], best[ROLLOUT], frame, settings)


def _compare(spine: Reading, rollout: Reading, frame: pl.DataFrame, settings: ReadSettings) -> list[Outcome]:
    of_spine = frame.filter(pl.col("origin") == spine.origin)
    of_rollout = frame.filter(pl.col("origin") == rollout.origin)
    mask = beyond_spine(of_rollout, of_spine, settings)
    taken = int(mask.sum())
    coverage = to_json(compared(of_spine, of_rollout, taken))
    if not taken:
        second = _without_events(rollout, "superseded", f"the thread's spine {spine.ref.path} covers it")
    else:
        _skip(rollout, of_rollout.height - taken, "covered_by_spine")
        reason = (
            f"the thread's spine {spine.ref.path} covers part of it; {taken} records that it lacks are taken from here"
        )
        offset = int(of_spine["run"].max() or 0) + 1
        second = Outcome(rollout, "partially_superseded", reason, keep=mask, run_offset=offset)
    second.coverage = coverage
    return [Outcome(spine, coverage=coverage), second]


def _without_events(reading: Reading, status: str, reason: str) -> Outcome:
    _skip(reading, reading.tally.read, status)
    return Outcome(reading, status, reason, keep=_NONE)


def _skip(reading: Reading, lines: int, reason: str) -> None:
    """Lines that had been read but whose events do not count."""
    if lines:
        reading.tally.read -= lines
        reading.tally.skipped[reason] += lines
