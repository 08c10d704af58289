"""Proposed categories as a home has them now, and deciding about them: the command line, the review and Dagster's jobs all
come through here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from codex_loop_assets import clock
from codex_loop_assets.discovery import governance
from codex_loop_assets.resources.files import write_text
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


def promote_by_rule(
    home: Home, *, confidence: float, minimum_samples: int, minimum_sessions: int
) -> list[dict[str, Any]]:
    """Promote every open proposal that reaches all of the bar; the lines of the log of decisions."""
    return governance.auto_promote(
        home.decisions_path,
        proposals_now(home),
        clock.now(),
        list(current_schema(home).categories),
        confidence=confidence,
        minimum_samples=minimum_samples,
        minimum_sessions=minimum_sessions,
    )


def retire(home: Home, category_name: str, *, who: str, reason: str) -> dict[str, Any]:
    """Take a category out of use; the line of the log of decisions. Raises DecisionError for one that is not active and
    without a reason."""
    if not reason.strip():
        raise governance.DecisionError("retiring a category needs a reason")
    active = list(current_schema(home).active())
    return governance.retire(home.decisions_path, category_name, who, clock.now(), reason, active)


def export(home: Home, output: Path) -> int:
    """Write all categories as JSON, for version control; how many there are."""
    schema = current_schema(home)
    categories = [category.model_dump(mode="json") for category in schema.categories.values()]
    decided = governance.read_decisions(home.decisions_path)
    write_text(output, governance.export_schema(categories, decided, schema.version))
    return len(categories)
