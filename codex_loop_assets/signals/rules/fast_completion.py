"""fast_completion: a real change, finished within very few requests, that demonstrably works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from codex_loop_assets.signals.checks import taken_back, work
from codex_loop_assets.signals.command_line import shortened
from codex_loop_assets.signals.model import CanonTables, Evidence, Moment, one_line
from codex_loop_assets.signals.reading import refusals, top_level
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="fast_completion",
    version="1",
    looks_for="Sessions of a person with few requests, at least one applied edit, and after the last edit a "
    "passing test, build or "
    "other check, or a commit.",
    evidence="The first request, the last edit, and the call that shows success.",
    near_misses=(
        "a short session that only answered a question: no edit",
        "few requests and an edit, but nothing that shows that it works",
        "a check that passed before the last edit, or that ran no test",
        "a session with a refusal, interrupt, undo, rollback or error, or whose last check failed",
        "sessions without a person, and sub-agents",
    ),
    needs=("exit_codes", "user_messages"),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    few = top_level(canon).filter(
        pl.col("human") & pl.col("human_turn_count").is_between(1, thresholds["maximum_requests"])
    )
    few = few.filter(~pl.col("outcome").is_in(("aborted", "errored", "abandoned"))).join(
        refusals(canon), on="thread_id", how="anti"
    )
    if few.is_empty():
        return []
    seen = canon.only(few["thread_id"])
    turns = {str(key[0]): group.to_dicts() for key, group in seen.turns.sort("run", "seq_start").group_by("thread_id")}
    moments = []
    for (thread_id,), steps in work(seen).group_by("thread_id", maintain_order=True):
        thread_turns = turns.get(str(thread_id), [])
        if thread_turns and not any(taken_back(turn) for turn in thread_turns):
            moments += _moment(thread_turns, steps.to_dicts())
    return moments


def _moment(turns: list[dict[str, Any]], steps: list[dict[str, Any]]) -> list[Moment]:
    edits = [index for index, step in enumerate(steps) if step["what"] == "edit"]
    if not edits:
        return []
    after = steps[edits[-1] + 1 :]
    successes = [step for step in after if step["what"] in ("check_passed", "committed")]
    checks = [step for step in after if step["what"] in ("check_passed", "check_failed")]
    asked = [turn for turn in turns if turn["human"] and turn["user_message"].strip()]
    if not successes or not asked or (checks and checks[-1]["what"] == "check_failed"):
        return []
    edit, success, first = steps[edits[-1]], successes[-1], asked[0]
    requests = "one request" if len(asked) == 1 else f"{len(asked)} requests"
    shown = "passed" if success["what"] == "check_passed" else "worked"
    evidence = (
        Evidence(first["seq_start"], quote=first["user_message"]),
        Evidence(edit["seq_start"], edit["call_id"]),
        Evidence(success["seq_end"], success["call_id"], success["command"]),
    )
    return [
        Moment(
            thread_id=first["thread_id"],
            run=first["run"],
            turn_id=first["turn_id"],
            seq_start=first["seq_start"],
            seq_end=turns[-1]["seq_end"],
            occurred_at=first["occurred_at"],
            severity=2,
            confidence=0.8 if success["what"] == "check_passed" else 0.7,
            description=f"Finished within {requests}: “{one_line(first['user_message'], 110)}”; "
            f"`{shortened(success['command'], 80)}` {shown} after the last edit",
            evidence=evidence,
        )
    ]
