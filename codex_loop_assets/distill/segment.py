"""From a signal to a segment: the turns of one thread that belong to one intent, from the request to its outcome.

A segment starts at the request and takes in the follow-ups about it (corrections, "still failing", undo). Which files
it changed and whether it succeeded is read later, in `replay` and `checks`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from codex_loop_assets.distill.words import opens, words

Row = Mapping[str, Any]
Place = tuple[int, int]  # run and seq: the order of things within a thread


@dataclass(frozen=True)
class Segment:
    """Consecutive turns of one thread about one intent, and the signals of the cluster that fell into them."""

    thread_id: str
    turns: tuple[Row, ...]
    signals: tuple[Row, ...]

    @property
    def run(self) -> int:
        return self.turns[0]["run"]

    @property
    def start(self) -> Place:
        return self.turns[0]["run"], self.turns[0]["seq_start"]

    @property
    def end(self) -> Place:
        return self.turns[-1]["run"], self.turns[-1]["seq_end"]


def place(row: Row) -> Place:
    """Where a row stands within its thread."""
    return row["run"], row["seq_start"]


def segments(
    members: pl.DataFrame, turns: pl.DataFrame, signals: pl.DataFrame, settings: Mapping[str, Any]
) -> list[Segment]:
    """The segments that the member signals fall into, in order of thread and place, each with its members.

    `members` and `signals` are rows of `signals` (members: of the cluster; signals: all known ones of these threads);
    `settings` is the `segments` part of the section. A signal before the first turn of its thread has no segment.
    """
    threads = set(members["thread_id"])
    told = _turns_with(signals, set(settings["continuation_categories"]))
    result: list[Segment] = []
    by_thread = members.partition_by("thread_id", as_dict=True)
    for thread_id in sorted(threads):
        rows = sorted(turns.filter(pl.col("thread_id") == thread_id).iter_rows(named=True), key=place)
        groups = _intents(rows, told, settings)
        held: dict[int, list[Row]] = defaultdict(list)
        for signal in sorted(
            by_thread[(thread_id,)].iter_rows(named=True), key=lambda row: (place(row), row["signal_id"])
        ):
            index = _group_of(groups, place(signal))
            if index is not None:
                held[index].append(signal)
        result += [Segment(thread_id, tuple(groups[index]), tuple(held[index])) for index in sorted(held)]
    return result


def intents(turns: Iterable[Row], signals: pl.DataFrame, settings: Mapping[str, Any]) -> list[Segment]:
    """All intents of one thread's turns, in order, as segments without signals."""
    told = _turns_with(signals, set(settings["continuation_categories"]))
    return [
        Segment(group[0]["thread_id"], tuple(group), ()) for group in _intents(sorted(turns, key=place), told, settings)
    ]


def _turns_with(signals: pl.DataFrame, categories: set[str]) -> set[tuple[str, int, str | None]]:
    chosen = signals.filter(pl.col("category").is_in(sorted(categories)))
    return set(chosen.select("thread_id", "run", "turn_id").iter_rows())


def _intents(rows: list[Row], told: set[tuple[str, int, str | None]], settings: Mapping[str, Any]) -> list[list[Row]]:
    groups: list[list[Row]] = []
    for row in rows:
        if groups and continues(row, groups[-1], told, settings):
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def continues(row: Row, group: list[Row], told: set[tuple[str, int, str | None]], settings: Mapping[str, Any]) -> bool:
    """Whether a turn goes on with the intent of the turns before it: a steering message, a turn without words, a
    reaction to the agent's work, a short follow-up, or a message that shares enough of its words with the request.
    """
    if row["kind"] != "prompt" or not row["user_message"].strip():
        return True
    if (row["thread_id"], row["run"], row["turn_id"]) in told and row["turn_id"] is not None:
        return True
    said = words(row["user_message"])
    text = " ".join(row["user_message"].lower().split())
    if opens(said, settings["answer_openings"]) or any(phrase in text for phrase in settings["answer_phrases"]):
        return True
    if len(said) <= settings["continuation_words"] and opens(said, settings["continuation_openings"]):
        return True
    request = set(words(group[0]["user_message"]))
    shared = len(request & set(said)) / max(1, min(len(request), len(set(said))))
    return bool(request) and len(request & set(said)) > 2 and shared >= settings["continuation_overlap"]


def _group_of(groups: list[list[Row]], at: Place) -> int | None:
    found = None
    for index, group in enumerate(groups):
        if place(group[0]) <= at:
            found = index
    return found
