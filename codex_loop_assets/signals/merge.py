"""One moment is one signal: findings of all detectors about the same moment, merged.

What belongs here: which findings are about one moment, and what the signal says then. What does not: finding anything.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from codex_loop_assets.settings import section
from codex_loop_assets.signals.model import signal_id
from codex_loop_assets.signals.schema import SignalSchema
from codex_loop_assets.tables import DETECTIONS, SIGNALS

# Whose words the signal shows when several found it: a rule names records, a large model explains best among judges.
_VOICE = {"mechanical": 0, "llm_judge": 1, "local_judge": 2}

Row = dict[str, Any]


def merge(
    mechanical: pl.DataFrame, semantic: pl.DataFrame, schema: SignalSchema, settings: Mapping[str, Any] | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`(signals, detections)` of the findings in `mechanical` and `semantic` (both with the detection columns).

    Findings of different detectors are one moment when thread, run and category agree and they lie in one turn or their
    spans overlap; two findings of one detector stay two. The signal's id is that of its earliest finding, so it depends
    on the place alone. Its confidence is the noisy-or of its detections.
    """
    settings = section("merge") if settings is None else settings
    rows = [*mechanical.to_dicts(), *semantic.to_dicts()]
    detections: list[Row] = []
    signals: list[Row] = []
    for moment in _moments(rows):
        identity = min(moment, key=lambda row: (row["seq_start"], row["signal_id"]))
        name = signal_id(identity["thread_id"], identity["run"], identity["seq_start"], identity["category"])
        detections += [{**row, "signal_id": name} for row in moment]
        signals.append(_signal(name, moment, schema, settings["default_severity_weight"]))
    return SIGNALS.frame(signals), DETECTIONS.frame(detections)


def _moments(rows: Iterable[Row]) -> list[list[Row]]:
    """Findings grouped by moment. Each finding joins the nearest moment that its detector has not found yet."""
    places: dict[tuple[Any, ...], _Place] = {}
    for row in sorted(rows, key=_order):
        place = places.setdefault((row["thread_id"], row["run"], row["category"]), _Place())
        moments = place.moments
        fitting = [number for number in place.near(row) if _same_moment(row, moments[number])]
        if not fitting:
            moments.append([])
            place.put(row, len(moments) - 1)
        else:
            place.put(row, min(fitting, key=lambda number: abs(moments[number][0]["seq_start"] - row["seq_start"])))
    return [moment for place in places.values() for moment in place.moments]


@dataclass
class _Place:
    """The moments of one thread, run and category so far, in order, findable by turn and by how far they reach: a long
    session has thousands."""

    moments: list[list[Row]] = field(default_factory=list)
    _by_turn: dict[str, set[int]] = field(default_factory=dict)
    _reaching: list[tuple[int, int]] = field(default_factory=list)

    def near(self, row: Row) -> list[int]:
        """Numbers of the moments in the turn of `row`, and of those that reach to its start; rows come by their starts."""
        self._reaching = [(end, number) for end, number in self._reaching if end >= row["seq_start"]]
        return sorted({*self._by_turn.get(row["turn_id"], ()), *(number for _, number in self._reaching)})

    def put(self, row: Row, number: int) -> None:
        """Make `row` part of a moment."""
        self.moments[number].append(row)
        self._reaching.append((row["seq_end"], number))
        if row["turn_id"] is not None:
            self._by_turn.setdefault(row["turn_id"], set()).add(number)


def _order(row: Row) -> tuple[Any, ...]:
    """A total order, so that the same findings in any order give the same signals."""
    return (
        row["thread_id"], row["run"], row["category"], row["seq_start"], row["seq_end"],
        _VOICE.get(row["detector"], 9), row["detector"], row["signal_id"],
    )  # fmt: skip


def _same_moment(row: Row, moment: list[Row]) -> bool:
    if any(other["detector"] == row["detector"] for other in moment):
        return False
    return any(
        (row["turn_id"] is not None and row["turn_id"] == other["turn_id"])
        or (row["seq_start"] <= other["seq_end"] and other["seq_start"] <= row["seq_end"])
        for other in moment
    )


def _signal(name: str, moment: list[Row], schema: SignalSchema, default_weight: float) -> Row:
    """The row of `signals`: the words of the leading detection, the numbers of all."""
    lead = min(moment, key=lambda row: (_VOICE.get(row["detector"], 9), row["detector"]))
    placed = [row["occurred_at"] for row in moment if row["occurred_at"] is not None]
    return {
        **lead,
        "signal_id": name,
        "seq_start": min(row["seq_start"] for row in moment),
        "seq_end": max(row["seq_end"] for row in moment),
        "occurred_at": min(placed) if placed else None,
        "severity": _severity(moment, schema, default_weight),
        "confidence": 1.0 - math.prod(1.0 - row["confidence"] for row in moment),
        "evidence": _evidence(moment),
        "detectors": sorted(row["detector"] for row in moment),
    }


def _severity(moment: list[Row], schema: SignalSchema, default_weight: float) -> int:
    category = schema.resolve(moment[0]["category"])
    weights = [row["confidence"] for row in moment]
    total = sum(weight * row["severity"] for weight, row in zip(weights, moment, strict=True))
    if category is not None:
        total, weights = total + default_weight * category.severity, [*weights, default_weight]
    weight = sum(weights)
    mean = total / weight if weight else float(moment[0]["severity"])
    return min(3, max(1, math.floor(mean + 0.5)))


def _evidence(moment: list[Row]) -> str:
    """All detections' evidence, each record once, in order of place. They are of one run, so places can be compared."""
    items = {_place(item): item for row in reversed(moment) for item in json.loads(row["evidence"])}
    return json.dumps([items[place] for place in sorted(items)], ensure_ascii=False)


def _place(item: Mapping[str, Any]) -> tuple[int, int, str]:
    return item.get("run") or 0, item["seq"], item.get("call_id") or ""
