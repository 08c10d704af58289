"""Proposed categories as a home has them now, and deciding about one: the command line, the review and Dagster's jobs all
come through here."""

from __future__ import annotations

from typing import Any

import polars as pl

from codex_loop_assets import clock
from codex_loop_assets.discovery import governance
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.schema import current_schema


def proposals_now(home: Home) -> pl.DataFrame:
    """The newest proposals, with every decision taken since laid over them."""
    days = home.lake.keys("schema_proposals")
    frame = home.lake.read("schema_proposals", days[-1:])
    return governance.with_decisions(frame, governance.read_decisions(home.decisions_path))


def decide(home: Home, proposal_id: str, *, approve: bool, who: str, reason: str) -> dict[str, Any]:
    """Approve or reject a proposal; the line of the log of decisions. Raises DecisionError for an unknown proposal, one
    decided already, and a rejection without a reason."""
    found = proposals_now(home).filter(pl.col("proposal_id") == proposal_id)
    if found.is_empty():
        raise governance.DecisionError(
            f"no proposal {proposal_id!r}; list them with: codex-loop schema-proposals --all"
        )
    proposal, at = found.row(0, named=True), clock.now()
    if not approve:
        return governance.reject(home.decisions_path, proposal, who, at, reason)
    return governance.approve(home.decisions_path, proposal, who, at, list(current_schema(home).categories), reason)
