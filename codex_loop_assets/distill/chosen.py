"""One task from a stretch of a thread that a person chose, by numbers of records or by turn ids.

The way from signals to tasks is `distil`; here the choice takes the place of segmentation, and all later steps are the
same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from codex_loop_assets.distill import repository
from codex_loop_assets.distill.build import Built
from codex_loop_assets.distill.bundle import Bundle
from codex_loop_assets.distill.candidate import NotDistillable
from codex_loop_assets.distill.environment import UnsafeName
from codex_loop_assets.distill.model import Model
from codex_loop_assets.distill.produce import Surroundings, produce
from codex_loop_assets.distill.replay import ReplayError
from codex_loop_assets.distill.segment import Row, Segment, place
from codex_loop_assets.distill.start import NoStart, Redact
from codex_loop_assets.distill.threads import Threads
from codex_loop_assets.distill.tree import UnsafePath
from codex_loop_assets.signals.model import signal_id
from codex_loop_assets.signals.redaction import redact as packaged_redact
from codex_loop_assets.signals.rules import detect
from codex_loop_assets.signals.schema import load_schema
from codex_loop_assets.tables import SIGNALS


class NoTask(ValueError):
    """No task came of the chosen stretch; the message says why, redacted and on one line."""


@dataclass(frozen=True)
class Labels:
    """What the person says the stretch is an example of; None where they do not say."""

    signal_type: str | None = None
    signal_category: str | None = None
    cluster_id: str | None = None


def turns_by_seq(turns: Sequence[Row], start: int, end: int) -> list[Row]:
    """The turns that have a record numbered from `start` to `end`. Raises NoTask when there is none."""
    found = [turn for turn in turns if turn["seq_start"] <= end and turn["seq_end"] >= start]
    if not found:
        raise NoTask(f"no turn holds a record from {start} to {end}")
    return found


def turns_by_id(turns: Sequence[Row], start: str, end: str) -> list[Row]:
    """From the first turn with the id `start` to the last with the id `end`: ids repeat when a session is resumed.

    Raises NoTask for an id that no turn has, or an end before the start.
    """
    ids = [turn["turn_id"] for turn in turns]
    for wanted in (start, end):
        if wanted not in ids:
            raise NoTask(f"no turn has the id {wanted!r}; the thread's: {', '.join(sorted({i for i in ids if i}))}")
    first, last = ids.index(start), len(ids) - 1 - ids[::-1].index(end)
    if last < first:
        raise NoTask(f"turn {end!r} is before turn {start!r}")
    return list(turns[first : last + 1])


def distil_chosen(
    bundle: Bundle,
    turns: Sequence[Row],
    labels: Labels,
    repositories: Mapping[str, Path],
    home: Path,
    settings: Mapping[str, Any],
    now: datetime,
    *,
    redact: Redact = packaged_redact,
    model: Model | None = None,
) -> Built:
    """The task of these turns of the bundle's thread; nothing is written but caches below `home`. Raises NoTask."""
    found = detect(bundle.canon, load_schema())
    signals = SIGNALS.conform(found.with_columns(pl.concat_list("detector").alias("detectors")))
    threads = Threads(bundle.canon, signals, now)
    segment = Segment(bundle.thread_id, tuple(turns), ())
    segment = replace(segment, signals=_signals(segment, threads.signals(bundle.thread_id), labels))
    with repository.scratch_store() as store:
        around = Surroundings(threads, repositories, {"bundle": bundle.path}, home, redact, settings, store, model)
        try:
            return produce(labels.cluster_id or "", segment, around, "target")
        except (
            NotDistillable, NoStart, repository.RepositoryError, ReplayError, UnsafePath, UnsafeName,
        ) as error:  # fmt: skip
            raise NoTask(" ".join(redact(str(error), bundle.thread_id).split())[:300]) from error


def _signals(segment: Segment, known: list[Row], labels: Labels) -> tuple[Row, ...]:
    """What the person says it is, first; then what the rules find in the stretch."""
    within = [signal for signal in known if segment.start <= place(signal) <= segment.end]
    if within and not labels.signal_type and not labels.signal_category:
        return tuple(within)
    run, seq = segment.start
    told = {
        "signal_id": signal_id(segment.thread_id, run, seq, labels.signal_category or "chosen"),
        "type": labels.signal_type,
        "category": labels.signal_category,
    }
    return (told, *(signal for signal in within if signal["signal_id"] != told["signal_id"]))
