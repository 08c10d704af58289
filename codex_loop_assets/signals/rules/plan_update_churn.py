"""plan_update_churn: the agent replaces its plan instead of working through it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.plans import PlanVersion, plans_by_turn
from codex_loop_assets.signals.quoting import show
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="plan_update_churn",
    version="1",
    looks_for="Turns in which the plan was rewritten several times: an update in which most of the steps still open "
    "before it are gone or reworded.",
    evidence="Every rewriting update.",
    near_misses=(
        "updates that only mark progress",
        "one refinement of a first sketch",
        "a step added to a plan that otherwise stays",
        "a new plan for a new request",
    ),
    needs=("plan_updates",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    moments = []
    for versions in plans_by_turn(canon):
        rewrites = [
            after for before, after in pairwise(versions) if _rewritten(before, after, thresholds["share_gone"])
        ]
        if len(rewrites) >= thresholds["minimum_rewrites"]:
            moments.append(_moment(versions, rewrites))
    return moments


def _rewritten(before: PlanVersion, after: PlanVersion, share_gone: float) -> bool:
    was_open = before.open_steps()
    return bool(was_open) and len(was_open - set(after.steps)) / len(was_open) >= share_gone


def _moment(versions: list[PlanVersion], rewrites: list[PlanVersion]) -> Moment:
    first, last = versions[0].place, rewrites[-1].place
    before, after = (show(one.texts[0], first["thread_id"], 60) for one in (versions[0], rewrites[-1]))
    return Moment(
        thread_id=first["thread_id"],
        run=first["run"],
        turn_id=first["turn_id"],
        call_id=first["call_id"],
        seq_start=first["seq_start"],
        seq_end=last["seq_end"],
        occurred_at=first["occurred_at"],
        severity=1,
        confidence=0.65,
        description=f"The agent rewrote its plan {len(rewrites)} times within one request "
        f"({len(versions)} updates), from “{before}” to “{after}”",
        evidence=tuple(Evidence(one.place["seq_start"], one.place["call_id"]) for one in (versions[0], *rewrites)),
    )
