"""When a pattern opens a ticket, and the reason when it does not.

What belongs here: the rule. What does not: its numbers (`config/tickets.toml`), what a ticket says (`tickets`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from codex_loop_assets.loop.cause import Cause, recorded
from codex_loop_assets.loop.evidence import Evidence


@dataclass(frozen=True)
class Case:
    """What the rule looks at: a cluster's newest state, its evidence, its built tasks with their verdicts, the concrete
    thing its sessions share, the detectors' scorecard, and the ticket that has the same problem already, if any."""

    cluster: Mapping
    evidence: Evidence
    tasks: list[dict]
    cause: Cause | None
    scorecard: pl.DataFrame
    same_as: str | None = None


def refusal(case: Case, settings: Mapping) -> str | None:
    """Why this cluster opens no ticket, or None when it does."""
    cluster, limits = case.cluster, settings["open"]
    if cluster["type"] != "friction":
        return "delight is no problem to solve; it guards proofs instead"
    if cluster["status"] != "live":
        return f"the cluster is {cluster['status']}"
    provable = any(task["verdict"] != "rejected" for task in case.tasks)
    if cluster["action"] not in limits["actions"] and not (
        provable and cluster["action"] in limits["actions_with_task"]
    ):
        return f"recommended action is {cluster['action']}: {cluster['action_reason']}"
    return _too_small(case.evidence, limits) or _untrusted(case, limits) or _no_problem(case, settings)


def _too_small(evidence: Evidence, limits: Mapping) -> str | None:
    signals, sessions = evidence.signals.height, evidence.signals["thread_id"].n_unique()
    if sessions >= limits["minimum_sessions"] and signals >= limits["minimum_signals"]:
        return None
    needed = f"a ticket needs {limits['minimum_signals']} in {limits['minimum_sessions']}"
    return f"{signals} signals in {sessions} sessions; {needed}"


def _untrusted(case: Case, limits: Mapping) -> str | None:
    trusted = _trusted(case.evidence.signals, case.scorecard, limits).height
    if trusted >= limits["minimum_signals"]:
        return None
    return f"only {trusted} signals come from detectors that reach their precision bar or, unmeasured, are confident"


def _no_problem(case: Case, settings: Mapping) -> str | None:
    """What keeps the pattern from being one problem of its own."""
    if recorded(case.evidence, case.cause, settings) < settings["cause"]["recorded"]:
        return (
            "only words: hardly a failure, refusal or edit is recorded beside them, so there is nothing to reproduce or to"
            " measure; the review and the schema's proposals have it"
        )
    if case.cause is None:
        return "its sessions share no message, command, file or phrase that a change could start from"
    return case.same_as and f"the same problem has {case.same_as}: its moments stand beside these"


def _trusted(signals: pl.DataFrame, scorecard: pl.DataFrame, limits: Mapping) -> pl.DataFrame:
    """Signals of detectors above their bar in that category; where nothing measures one, its confidence decides."""
    if not limits["require_bar"]:
        return signals
    rank = {truth: position for position, truth in enumerate(limits["truths"])}
    judged = pl.col("true_positives") + pl.col("false_positives")
    measured = scorecard.filter(
        pl.col("above_bar").is_not_null()
        & (pl.col("language") == "all")
        & pl.col("truth").is_in(list(rank))
        & (judged >= limits["minimum_judged"])
    )
    best = (
        measured.with_columns(rank=pl.col("truth").replace_strict(rank, return_dtype=pl.Int32))
        .sort("rank", "matching")
        .group_by("detector", "category", maintain_order=True)
        .agg(pl.col("above_bar").first())
    )
    joined = signals.join(best, on=["detector", "category"], how="left")
    confident = pl.col("confidence") >= limits["minimum_confidence"]
    return joined.filter(pl.when(pl.col("above_bar").is_null()).then(confident).otherwise(pl.col("above_bar")))
