"""truncation_warning: Codex warned that something was cut, or that the conversation has grown too long."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import polars as pl

from codex_loop_assets.signals.model import CanonTables, Evidence, Moment, one_line
from codex_loop_assets.signals.reading import during, records
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="truncation_warning",
    version="1",
    looks_for="Codex's warnings about cut input, output or history, or about accuracy in long, compacted threads; one "
    "moment per turn.",
    evidence="The warnings.",
    near_misses=(
        "the word truncated in the output of a command or in a message",
        "output that the agent cut itself (head, tail, --max-count)",
        "warnings about anything else (deprecated settings, the number of processes)",
    ),
    needs=("warnings",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    about = re.compile(thresholds["about"])
    warned = records(canon, ("warning",)).filter(pl.col("text").str.contains(about.pattern).fill_null(False))
    moments = []
    for _, group in warned.group_by("thread_id", "run", "turn_id", maintain_order=True):
        rows = group.to_dicts()
        first, last = rows[0], rows[-1]
        moments.append(
            Moment(
                thread_id=first["thread_id"],
                run=first["run"],
                turn_id=first["turn_id"],
                seq_start=first["seq"],
                seq_end=last["seq"],
                occurred_at=first["ts"],
                severity=1,
                confidence=0.85,
                description=f"Codex warned: {one_line(first['text'], 180)}" + during(first["request"]),
                evidence=tuple(Evidence(row["seq"], quote=row["text"]) for row in rows),
            )
        )
    return moments
