"""error_event: Codex itself failed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.quoting import during, show
from codex_loop_assets.signals.reading import detail, records
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="error_event",
    version="1",
    looks_for="Codex's error events, and the error with which newer versions end a turn. The same message within a "
    "turn is one moment.",
    evidence="Every record of the error.",
    near_misses=(
        "a retried connection that recovered (stream_error)",
        "a rollback that Codex refused: a control that did nothing",
        "errors of commands and tools, and error texts in messages",
        "the failure of a turn that the person interrupted",
    ),
    needs=("errors",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    ended_badly = pl.col("detail").fill_null("").str.contains('"error"', literal=True)
    told = records(canon, ("error", "task_complete")).filter((pl.col("kind") == "error") | ended_badly)
    episodes: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in told.to_dicts():
        facts = detail(row)
        kind = facts.get("error", "") if row["kind"] == "error" else ""
        if kind in thresholds["controls"]:
            continue
        message = (row["text"] if row["kind"] == "error" else _message(facts["error"])) or kind or "no message"
        key = (row["thread_id"], row["run"], row["turn_id"])
        # The error that ends the turn repeats the event of the same turn.
        if row["kind"] == "error" or key not in {place[:3] for place in episodes}:
            episodes.setdefault((*key, message), []).append({**row, "message": message, "error_kind": kind})
    return [_moment(rows, thresholds) for rows in episodes.values()]


def _message(error: Any) -> str:
    """The words of the error with which a turn ended: text, or an object (or its JSON) with a message."""
    if isinstance(error, str) and error.startswith("{"):
        try:
            error = json.loads(error)
        except ValueError:
            return str(error)
    return str(error.get("message") or error) if isinstance(error, dict) else str(error)


def _moment(rows: list[dict[str, Any]], thresholds: Mapping[str, Any]) -> Moment:
    first, last = rows[0], rows[-1]
    times = f" {len(rows)} times" if len(rows) > 1 else ""
    return Moment(
        thread_id=first["thread_id"],
        run=first["run"],
        turn_id=first["turn_id"],
        seq_start=first["seq"],
        seq_end=last["seq"],
        occurred_at=first["ts"],
        severity=3 if first["error_kind"] in thresholds["severe"] else 2,
        confidence=0.9,
        description=f"Codex reported an error{times}: {show(first['message'], first['thread_id'], 160)}"
        + during(first),
        evidence=tuple(Evidence(row["seq"], quote=row["message"]) for row in rows),
    )
