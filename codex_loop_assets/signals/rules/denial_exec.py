"""denial_exec: the person refused a command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codex_loop_assets.signals.denials import refusal_moments
from codex_loop_assets.signals.model import CanonTables, Moment
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="denial_exec",
    version="1",
    looks_for="Commands (and tools other than patches) whose approval request the person answered with a refusal; in "
    "records without approvals, results that open with Codex's text for a person's refusal.",
    evidence="The refused call and the command.",
    near_misses=(
        "a refusal by approval settings or a command policy, where nobody was asked",
        "a request that was never answered, or that a reviewer let expire",
        "a sub-agent's copy of a decision made in its parent",
        "a command's own output that quotes a refusal",
    ),
    needs=("refusals",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    return refusal_moments(canon, patches=False)
