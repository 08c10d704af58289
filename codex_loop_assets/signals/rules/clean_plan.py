"""clean_plan: the agent planned, and did what it planned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from codex_loop_assets.signals.checks import taken_back
from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.plans import PlanVersion, plans_by_turn
from codex_loop_assets.signals.quoting import show
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="clean_plan",
    version="1",
    looks_for="Turns whose plan had several steps, kept the same steps in every update, and ended with all of them "
    "completed, over more than one progress update.",
    evidence="The first and the last statement of the plan.",
    near_misses=(
        "a plan with open steps at its last update",
        "a plan whose steps changed on the way",
        "a plan first written down as already completed",
        "a plan of one or two steps",
        "a turn that was interrupted, undone or rolled back",
    ),
    needs=("plan_updates",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    planned = canon.tool_calls.filter(pl.col("name") == "update_plan").select("thread_id").unique()
    seen = canon.turns.join(planned, on="thread_id", how="semi")
    turns = {(turn["thread_id"], turn["run"], turn["turn_id"]): turn for turn in seen.to_dicts()}
    moments = []
    for versions in plans_by_turn(canon):
        place = versions[0].place
        turn = turns.get((place["thread_id"], place["run"], place["turn_id"]))
        if _clean(versions, thresholds) and turn is not None and not taken_back(turn):
            moments.append(_moment(versions))
    return moments


def _clean(versions: list[PlanVersion], thresholds: Mapping[str, Any]) -> bool:
    return (
        len(versions[0].steps) >= thresholds["minimum_steps"]
        and len(versions) >= thresholds["minimum_updates"]
        and all(version.steps == versions[0].steps for version in versions)
        and not any(status == "completed" for status in versions[0].statuses)
        and versions[-1].finished
    )


def _moment(versions: list[PlanVersion]) -> Moment:
    first, last = versions[0].place, versions[-1].place
    steps = "; ".join(show(step, first["thread_id"], 50) for step in versions[0].texts[:3])
    return Moment(
        thread_id=first["thread_id"],
        run=first["run"],
        turn_id=first["turn_id"],
        call_id=first["call_id"],
        seq_start=first["seq_start"],
        seq_end=last["seq_end"],
        occurred_at=last["occurred_at"],
        severity=1,
        confidence=0.7,
        description=f"The agent carried out its plan of {len(versions[0].steps)} steps unchanged: {steps}",
        evidence=tuple(Evidence(one.place["seq_start"], one.place["call_id"]) for one in (versions[0], versions[-1])),
    )
