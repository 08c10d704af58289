"""All sources of one day to the two tables `spines` and `events`, reading only what changed.

A pure function of the sources, the clock given and the day's previous tables: the same inputs give the same rows.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property

import orjson
import polars as pl

from codex_loop_assets.tables import EVENTS, SPINES
from codex_loop_assets.traces.batches import EventBatches
from codex_loop_assets.traces.decisions import Outcome, decide
from codex_loop_assets.traces.discover import ROLLOUT, SourceRef, dated
from codex_loop_assets.traces.document import named
from codex_loop_assets.traces.names import is_document, stem
from codex_loop_assets.traces.settings import ReadSettings, read_settings
from codex_loop_assets.traces.sources import read_source
from codex_loop_assets.traces.texts import Texts
from codex_loop_assets.traces.values import merged_json, to_json

_DOCUMENTS = "\0documents"  # No thread has such an id.
_PART = 10_000  # rows


@dataclass
class DayTraces:
    """The day's tables, and which sources were opened to make them (home:path).

    `rows` are the events with places in `texts` instead of their texts: a large session's texts never lie in memory at once.
    """

    spines: pl.DataFrame
    rows: pl.DataFrame
    texts: Texts
    opened: list[str] = field(default_factory=list)

    @cached_property
    def events(self) -> pl.DataFrame:
        """The whole table `events`."""
        return self._with_texts(self.rows)

    def event_parts(self) -> Iterator[pl.DataFrame]:
        """The same in order, a part at a time."""
        for start in range(0, self.rows.height, _PART):
            yield self._with_texts(self.rows.slice(start, _PART))

    def _with_texts(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(self.texts.at(rows["text"]))


def build_day(
    day: date,
    refs: list[SourceRef],
    previous_spines: pl.DataFrame | None = None,
    previous_events: pl.DataFrame | pl.LazyFrame | None = None,
    *,
    now: datetime | None = None,
    settings: ReadSettings | None = None,
) -> DayTraces:
    """The tables of `day`, given all sources that start on it.

    Opens only sources that are new or whose fingerprint changed since `previous_spines` (and, where a thread has both
    a spine and a rollout, its other source). Rows of sources that are gone are kept and marked `vanished`. `now`
    decides which sessions are `active`; without it none is.
    """
    settings = settings or read_settings()
    earlier = _Earlier(SPINES.empty() if previous_spines is None else previous_spines)
    changed, unchanged = _split(refs, earlier)
    batches = EventBatches(settings)
    with _no_search_for_cycles():
        readings = [read_source(ref, origin, batches, settings) for origin, ref in enumerate(changed)]
        frame = batches.frame()
    outcomes = sorted(decide(readings, frame, settings), key=lambda outcome: outcome.reading.origin)
    frame = _kept_events(frame, outcomes)
    rows = [_ledger_row(outcome, *counts) for outcome, counts in zip(outcomes, _counts(frame, outcomes), strict=True)]
    events = _events(frame, outcomes)
    del frame
    old_rows, threads, moved = _kept_rows(unchanged, earlier, refs, outcomes)
    if previous_events is not None and threads:
        kept = list(_earlier_events(previous_events.lazy(), threads, batches.texts))
        events = pl.concat(
            [events, *(part.with_columns(pl.col("file").replace(moved)) if moved else part for part in kept)]
        )
    spines = _with_activity(SPINES.frame(rows + old_rows), now, settings)
    return DayTraces(spines, EVENTS.conform(events), batches.texts, sorted(f"{ref.home}:{ref.path}" for ref in changed))


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Decoded records are many and hold no cycles: looking for some took a twentieth of the time of reading. It costs no
    memory, because what holds no cycle goes without being looked for."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Earlier:
    """The day's previous rows, findable by place and by file names (a moved or compressed file is the same source)."""

    def __init__(self, spines: pl.DataFrame):
        self.rows = spines.to_dicts()
        self._by_path = {(row["home"], row["source"], row["path"]): row for row in self.rows}
        self._by_stem = {(row["home"], stem(row["path"])): row for row in self.rows if row["source"] == ROLLOUT}

    def of(self, ref: SourceRef) -> dict | None:
        if not self.rows:
            return None
        found = self._by_path.get((ref.home, ref.source, ref.path))
        if found is None and ref.source == ROLLOUT:
            found = self._by_stem.get((ref.home, stem(ref.path)))
        return found


def _split(refs: list[SourceRef], earlier: _Earlier) -> tuple[list[SourceRef], list[SourceRef]]:
    """(to read, to keep). A thread is read with all its sources or with none, and so are all single documents of a day, any of
    which may be a save of the session of another: their comparison needs all."""
    threads: dict[str, list[tuple[SourceRef, bool]]] = defaultdict(list)
    for ref in refs:
        row = earlier.of(ref)
        same = row is not None and row["fingerprint"] == ref.fingerprint and row["status"] != "vanished"
        thread = row["thread_id"] if row else ref.thread_id
        threads[_DOCUMENTS if is_document(ref.path) else thread].append((ref, same))
    changed, unchanged = [], []
    for members in threads.values():
        target = unchanged if all(same for _, same in members) else changed
        target.extend(ref for ref, _ in members)
    return changed, unchanged


def _kept_events(frame: pl.DataFrame, outcomes: list[Outcome]) -> pl.DataFrame:
    """Without the events of sources that do not count."""
    dropped = [outcome.reading.origin for outcome in outcomes if outcome.dropped]
    partial = {o.reading.origin: o.keep for o in outcomes if o.keep is not None and not o.dropped}
    if dropped:
        frame = frame.filter(~pl.col("origin").is_in(dropped))
    if not partial:
        return frame
    parts = [frame.filter(~pl.col("origin").is_in(list(partial)))]
    parts.extend(frame.filter(pl.col("origin") == origin).filter(keep) for origin, keep in partial.items())
    return pl.concat(parts)


def _counts(frame: pl.DataFrame, outcomes: list[Outcome]) -> list[tuple[int, datetime | None]]:
    """(events, time of the newest) of each source."""
    found = {
        origin: (records, newest)
        for origin, records, newest in frame.group_by("origin").agg(pl.len(), pl.col("ts").max()).iter_rows()
    }
    return [found.get(outcome.reading.origin, (0, None)) for outcome in outcomes]


def _events(frame: pl.DataFrame, outcomes: list[Outcome]) -> pl.DataFrame:
    """With thread, source and reading order. A thread's spans from two sources are put in the order of their times,
    each in its own order."""
    if frame.is_empty():
        return EVENTS.empty()
    origins = frame["origin"]
    by_origin = [outcome.reading for outcome in outcomes]
    offsets = pl.Series("run", [outcome.run_offset for outcome in outcomes], dtype=pl.Int32)
    frame = frame.with_columns(
        pl.Series("thread_id", [reading.thread_id for reading in by_origin], dtype=pl.String).gather(origins),
        pl.Series("source", [reading.ref.source for reading in by_origin], dtype=pl.String).gather(origins),
        frame["run"] + offsets.gather(origins),
    )
    mixed = [o.reading.thread_id for o in outcomes if o.status == "partially_superseded"]
    if mixed:
        is_mixed = pl.col("thread_id").is_in(mixed)
        clock = pl.col("ts").forward_fill().cum_max().over("origin")
        ordered = (
            frame.filter(is_mixed).with_columns(clock.alias("clock")).sort("thread_id", "clock", maintain_order=True)
        )
        frame = pl.concat([frame.filter(~is_mixed), ordered.drop("clock")])
    lengths = frame["thread_id"].rle().struct.field("len")
    ordinal = pl.select(pl.int_ranges(0, lengths, dtype=pl.Int64).explode().alias("ordinal"))["ordinal"]
    return frame.with_columns(ordinal).select(EVENTS.schema.keys())


def _ledger_row(outcome: Outcome, records: int, last_record_at: datetime | None) -> dict:
    reading, ref, tally = outcome.reading, outcome.reading.ref, outcome.reading.tally
    started_at, started_from = dated(ref, reading.meta, reading.first_time)
    return {
        "thread_id": reading.thread_id,
        "source": ref.source,
        "home": ref.home,
        "path": ref.path,
        "status": outcome.status,
        "reason": outcome.reason,
        "bytes": ref.bytes,
        "lines": tally.lines,
        "records": records,
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
        "last_record_at": last_record_at,
        "files": _files(ref),
        "machine": ref.machine,
        "coverage": _coverage(outcome),
    }


def _coverage(outcome: Outcome) -> str | None:
    opening = named(outcome.reading.states)
    return outcome.coverage if opening is None else merged_json(outcome.coverage, {"opening": opening})


def _kept_rows(
    unchanged: list[SourceRef], earlier: _Earlier, refs: list[SourceRef], outcomes: list[Outcome]
) -> tuple[list[dict], list[str], dict[str, str]]:
    """(ledger rows that stay, threads whose events stay, old file name -> new): unchanged sources, and sources that
    are gone."""
    rows, moved = [], {}
    for ref in unchanged:
        row = earlier.of(ref)
        if row is not None:
            names = {stem(file["path"]): file["path"] for file in orjson.loads(row["files"])}
            moved.update({names[stem(f.path)]: f.path for f in ref.files if names.get(stem(f.path), f.path) != f.path})
            rows.append({**row, "path": ref.path, "files": _files(ref), "machine": ref.machine})
    known = {id(row) for ref in refs if (row := earlier.of(ref)) is not None}
    for row in earlier.rows:
        if id(row) not in known:
            gone = (
                row["reason"] if row["status"] == "vanished" else f"{row['path']} is no longer there; its rows are kept"
            )
            rows.append({**row, "status": "vanished", "reason": gone})
    read_again = {outcome.reading.thread_id for outcome in outcomes}
    return rows, sorted({row["thread_id"] for row in rows} - read_again), moved


def _earlier_events(previous: pl.LazyFrame, threads: list[str], texts: Texts) -> Iterator[pl.DataFrame]:
    """Earlier events of these threads, a part at a time, their texts put to the others."""
    height = previous.select(pl.len()).collect().item()
    for start in range(0, height, _PART):
        part = previous.slice(start, _PART).filter(pl.col("thread_id").is_in(threads)).collect()
        yield part.with_columns(texts.add(part["text"]))


def _files(ref: SourceRef) -> str:
    return to_json([{"path": f.path, "bytes": f.bytes, "mtime_ns": f.mtime_ns} for f in ref.files])


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
