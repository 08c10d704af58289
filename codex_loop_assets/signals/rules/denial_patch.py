"""denial_patch: the person refused an edit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codex_loop_assets.signals.denials import refusal_moments
from codex_loop_assets.signals.model import CanonTables, Moment
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="denial_patch",
    version="1",
    looks_for="Patches whose approval request the person answered with a refusal; in records without approvals, "
    "results that are Codex's text for a person's refusal.",
    evidence="The refused call.",
    near_misses=(
        "a patch that failed to apply",
        "a patch refused by approval settings, where nobody was asked",
        "a request that was never answered",
        "a patch that was applied and taken back later (undo, or the person's words)",
    ),
    needs=("refusals",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    return refusal_moments(canon, patches=True)
