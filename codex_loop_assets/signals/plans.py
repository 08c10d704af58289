"""The agent's plans: every version it wrote down, turn by turn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.signals.reading import groups

_PLACE = ("thread_id", "run", "turn_id", "call_id", "seq_start", "seq_end", "occurred_at")


@dataclass(frozen=True)
class PlanVersion:
    """One full statement of a plan: its steps as written and folded to lower case, and the status of each."""

    place: dict[str, Any]
    texts: tuple[str, ...]
    steps: tuple[str, ...]
    statuses: tuple[str, ...]

    @property
    def finished(self) -> bool:
        return bool(self.statuses) and all(status == "completed" for status in self.statuses)

    def open_steps(self) -> set[str]:
        return {step for step, status in zip(self.steps, self.statuses, strict=True) if status != "completed"}


def plans_by_turn(canon: CanonTables) -> Iterator[list[PlanVersion]]:
    """The versions of a plan within each turn that has any, in order.

    Read from the agent's own calls, which every era since plans exist records.
    """
    calls = canon.tool_calls.filter(pl.col("name") == "update_plan").sort("thread_id", "run", "seq_start")
    for rows in groups(calls.select(*_PLACE, "arguments"), "thread_id", "run", "turn_id"):
        versions = [version for version in map(_version, rows) if version is not None]
        if versions:
            yield versions


def _version(call: dict[str, Any]) -> PlanVersion | None:
    try:
        items = json.loads(call["arguments"] or "{}")["plan"]
        pairs = [(" ".join(str(item["step"]).split()), str(item["status"])) for item in items]
    except (ValueError, KeyError, TypeError):
        return None
    if not pairs:
        return None
    texts, statuses = zip(*pairs, strict=True)
    place = {name: call[name] for name in _PLACE}
    return PlanVersion(place, texts, tuple(text.lower() for text in texts), statuses)
