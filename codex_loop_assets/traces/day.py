"""All sources of one day to the two tables `spines` and `events`, reading only what changed.

A pure function of the sources, the clock given and the day's previous tables: the same inputs give the same rows.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import polars as pl

from codex_loop_assets.tables import EVENTS, SPINES
from codex_loop_assets.traces.coverage import beyond_spine, compared
from codex_loop_assets.traces.discover import ROLLOUT, SPINE, SourceRef, locate, stem
from codex_loop_assets.traces.settings import ReadSettings, read_settings
from codex_loop_assets.traces.sources import Reading, read_source
from codex_loop_assets.traces.values import plain_path, to_json


@dataclass
class DayTraces:
    """The day's tables, and which sources were opened to make them (home and path)."""

    spines: pl.DataFrame
    events: pl.DataFrame
    opened: list[str] = field(default_factory=list)


@dataclass
class _Outcome:
    """A reading with what the day decided about it."""

    reading: Reading
    status: str = "ingested"
    reason: str | None = None
    coverage: str | None = None


def build_day(
    day: date,
    refs: list[SourceRef],
    previous_spines: pl.DataFrame | None = None,
    previous_events: pl.DataFrame | None = None,
    *,
    now: datetime | None = None,
    settings: ReadSettings | None = None,
) -> DayTraces:
    """The tables of `day`, given all sources that start on it.

    Opens only sources that are new or whose fingerprint changed since `previous_spines` (and, where a thread has both a spine
    and a rollout, its other source). Rows of sources that are gone are kept and marked `vanished`. `now` decides which sessions
    are `active`; without it none is.
    """
    settings = settings or read_settings()
    previous_spines = SPINES.empty() if previous_spines is None else previous_spines
    previous_events = EVENTS.empty() if previous_events is None else previous_events
    earlier = _Earlier(previous_spines)
    changed, unchanged = _split(refs, earlier)
    readings = [read_source(ref, settings) for ref in changed]
    outcomes = _decided(readings, settings)
    spines = [_spine_row(outcome, settings) for outcome in outcomes]
    events = [_thread_events(group) for group in _by_thread(outcomes)]
    kept_rows, kept_events = _kept(unchanged, earlier, refs, outcomes, previous_events)
    frame = SPINES.frame(spines + kept_rows)
    all_events = pl.concat([e for e in events if e.height] + [kept_events]) if events else kept_events
    return DayTraces(
        _with_activity(frame, now, settings), EVENTS.conform(all_events), sorted(f"{r.home}:{r.path}" for r in changed)
    )


class _Earlier:
    """The day's previous rows, findable by place and by file names (a moved or compressed file is the same source)."""

    def __init__(self, spines: pl.DataFrame):
        self.rows = spines.to_dicts()
        self._by_path = {(row["home"], row["source"], row["path"]): row for row in self.rows}
        self._by_stem = {
            (row["home"], row["source"], stem(row["path"])): row for row in self.rows if row["source"] == ROLLOUT
        }

    def of(self, ref: SourceRef) -> dict | None:
        return self._by_path.get((ref.home, ref.source, ref.path)) or (
            self._by_stem.get((ref.home, ref.source, stem(ref.path))) if ref.source == ROLLOUT else None
        )


def _split(refs: list[SourceRef], earlier: _Earlier) -> tuple[list[SourceRef], list[SourceRef]]:
    """(to read, to keep). A thread is read with all its sources or with none: their comparison needs both."""
    threads: dict[str, list[tuple[SourceRef, bool]]] = defaultdict(list)
    for ref in refs:
        row = earlier.of(ref)
        same = row is not None and row["fingerprint"] == ref.fingerprint and row["path"] == ref.path
        threads[row["thread_id"] if row else ref.thread_id].append((ref, same))
    changed, unchanged = [], []
    for members in threads.values():
        target = unchanged if all(same for _, same in members) else changed
        target.extend(ref for ref, _ in members)
    return changed, unchanged


def _decided(readings: list[Reading], settings: ReadSettings) -> list[_Outcome]:
    """Quarantine, exclusion, and which of several sources of a thread counts."""
    outcomes = []
    by_thread: dict[str, list[Reading]] = defaultdict(list)
    for reading in readings:
        if reading.quarantine:
            outcomes.append(_Outcome(reading, "quarantined", reading.quarantine))
        else:
            by_thread[reading.thread_id].append(reading)
    for group in by_thread.values():
        outcomes.extend(_decided_thread(group, settings))
    return outcomes


def _decided_thread(group: list[Reading], settings: ReadSettings) -> list[_Outcome]:
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
            outcomes.append(_superseded(copy, reason))
    if SPINE in best and ROLLOUT in best:
        outcomes.extend(_compared_pair(best[SPINE], best[ROLLOUT], settings))
    else:
        outcomes.extend(_Outcome(reading) for reading in best.values())
    return [_excluded(outcome, settings) for outcome in outcomes]


def _compared_pair(spine: Reading, rollout: Reading, settings: ReadSettings) -> list[_Outcome]:
    mask = beyond_spine(rollout.frame, spine.frame, settings)
    coverage = to_json(compared(spine, rollout, int(mask.sum())))
    if not mask.any():
        outcome = _superseded(rollout, f"the thread's spine {spine.ref.path} covers it")
    else:
        _keep_only(rollout, mask, "covered_by_spine")
        runs = int(spine.frame["run"].max() or 0) + 1
        rollout.frame = rollout.frame.with_columns(pl.col("run") + runs)
        reason = f"the thread's spine {spine.ref.path} covers part of it; {int(mask.sum())} records that it lacks are taken from here"
        outcome = _Outcome(rollout, "partially_superseded", reason)
    outcome.coverage = coverage
    return [_Outcome(spine, coverage=coverage), outcome]


def _superseded(reading: Reading, reason: str) -> _Outcome:
    _keep_only(reading, pl.Series([False]).new_from_index(0, reading.frame.height), "superseded")
    return _Outcome(reading, "superseded", reason)


def _keep_only(reading: Reading, mask: pl.Series, skip_reason: str) -> None:
    """Keep the masked events; lines left without any event move from read to skipped."""
    lines = reading.frame.select("file", "offset").n_unique() if reading.frame.height else 0
    reading.frame = reading.frame.filter(mask)
    kept = reading.frame.select("file", "offset").n_unique() if reading.frame.height else 0
    moved = reading.tally.read if not kept else lines - kept
    reading.tally.read -= moved
    if moved:
        reading.tally.skipped[skip_reason] += moved


def _excluded(outcome: _Outcome, settings: ReadSettings) -> _Outcome:
    cwd = plain_path(outcome.reading.meta.get("cwd")) or ""
    for pattern in settings.excluded_cwd:
        if re.search(pattern, cwd):
            _keep_only(outcome.reading, pl.Series([False]).new_from_index(0, outcome.reading.frame.height), "excluded")
            outcome.status = "excluded"
            outcome.reason = f"working directory matches {pattern!r} (setting traces.excluded_cwd)"
    return outcome


def _by_thread(outcomes: list[_Outcome]) -> list[list[_Outcome]]:
    groups: dict[str, list[_Outcome]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.reading.frame.height:
            groups[outcome.reading.thread_id].append(outcome)
    return [groups[thread] for thread in sorted(groups)]


def _thread_events(group: list[_Outcome]) -> pl.DataFrame:
    """One thread's events in reading order. Spans from two sources are put in the order of their times, each in its own order."""
    frames = []
    for outcome in group:
        reading = outcome.reading
        frames.append(
            reading.frame.with_columns(
                pl.lit(reading.thread_id).alias("thread_id"), pl.lit(reading.ref.source).alias("source")
            )
        )
    frame = frames[0]
    if len(frames) > 1:
        frame = pl.concat([f.with_columns(pl.col("ts").forward_fill().cum_max().alias("clock")) for f in frames])
        frame = frame.sort("clock", maintain_order=True, nulls_last=False).drop("clock")
    return frame.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("ordinal")).select(EVENTS.schema.keys())


def _spine_row(outcome: _Outcome, settings: ReadSettings) -> dict:
    reading, ref, tally = outcome.reading, outcome.reading.ref, outcome.reading.tally
    started_at, started_from = locate(ref, settings)
    return {
        "thread_id": reading.thread_id,
        "source": ref.source,
        "home": ref.home,
        "path": ref.path,
        "status": outcome.status,
        "reason": outcome.reason,
        "bytes": ref.bytes,
        "lines": tally.lines,
        "records": reading.frame.height,
        "fingerprint": ref.fingerprint,
        "lines_read": tally.read,
        "lines_skipped": tally.skipped.total(),
        "lines_torn": tally.torn,
        "skipped": to_json(dict(sorted(tally.skipped.items()))),
        "unknown_kinds": to_json(dict(sorted(tally.unknown.items()))),
        "notes": to_json(tally.all_notes()),
        "era": reading.era,
        "started_at": started_at,
        "started_from": started_from,
        "last_record_at": reading.frame["ts"].max() if reading.frame.height else None,
        "files": to_json([{"path": f.path, "bytes": f.bytes, "mtime_ns": f.mtime_ns} for f in ref.files]),
        "coverage": outcome.coverage,
    }


def _kept(
    unchanged: list[SourceRef], earlier: _Earlier, refs: list[SourceRef], outcomes: list[_Outcome], events: pl.DataFrame
) -> tuple[list[dict], pl.DataFrame]:
    """Rows and events that stay as they were: unchanged sources, and sources that are gone."""
    rows = [earlier.of(ref) for ref in unchanged]
    known = {id(row) for ref in refs if (row := earlier.of(ref)) is not None}
    read_threads = {outcome.reading.thread_id for outcome in outcomes}
    for row in earlier.rows:
        if id(row) not in known:
            gone = f"{row['path']} is no longer there; its rows are kept"
            rows.append({**row, "status": "vanished", "reason": gone if row["status"] != "vanished" else row["reason"]})
    threads = {row["thread_id"] for row in rows} - read_threads
    return rows, events.filter(pl.col("thread_id").is_in(threads)) if events.height else events


def _with_activity(spines: pl.DataFrame, now: datetime | None, settings: ReadSettings) -> pl.DataFrame:
    """`active` where the newest record is younger than the quiet period at `now`, `ingested` where it no longer is."""
    if now is None:
        return spines
    young = pl.col("last_record_at") > now - timedelta(hours=settings.quiet_hours)
    open_status = pl.col("status").is_in(("ingested", "active"))
    return spines.with_columns(
        pl.when(open_status & young)
        .then(pl.lit("active"))
        .when(open_status)
        .then(pl.lit("ingested"))
        .otherwise("status")
        .alias("status")
    )
