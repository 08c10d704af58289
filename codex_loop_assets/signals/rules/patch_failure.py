"""patch_failure: an edit did not apply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.quoting import show
from codex_loop_assets.signals.reading import PERSON_REFUSED
from codex_loop_assets.signals.rules.rule import rule

_COLUMNS = (
    "thread_id", "run", "turn_id", "call_id", "seq_start", "seq_end", "occurred_at", "status", "success", "approval",
    "paths", "output",
)  # fmt: skip


@rule(
    category="patch_failure",
    version="1",
    looks_for="Patches that Codex could not apply. Failures on the same files within a turn, until a patch of them "
    "applies, are one moment.",
    evidence="Every failed call with the reason Codex gave.",
    near_misses=(
        "a patch that the person or a policy refused",
        "a patch cut short by an interrupt",
        "a patch that applied with fuzz",
        "a failing git apply --check run as a command",
    ),
    needs=("patch_results",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    by_agent = (pl.col("name") == "apply_patch") & (pl.col("actor") != "user")
    patches = canon.tool_calls.lazy().filter(by_agent).select(_COLUMNS).collect()
    failed = patches.filter(
        ~pl.col("success").fill_null(True)
        & ~pl.col("status").is_in(("declined", "aborted", "running"))
        & ~pl.col("approval").is_in(PERSON_REFUSED).fill_null(False)
    )
    moments: list[Moment] = []
    seen = patches.join(failed.select("thread_id").unique(), on="thread_id", how="semi")
    bad = set(failed.select("thread_id", "run", "seq_start", "call_id").iter_rows())
    turns: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for call in seen.sort("thread_id", "run", "seq_start").to_dicts():
        turns.setdefault((call["thread_id"], call["run"], call["turn_id"]), []).append(call)
    for calls in turns.values():
        moments += _episodes(calls, bad)
    return moments


def _episodes(calls: list[dict[str, Any]], bad: set[tuple[Any, ...]]) -> list[Moment]:
    """Failures in one turn: grouped by the files they share, closed by a patch of those files that applied."""
    open_episodes: list[list[dict[str, Any]]] = []
    moments: list[Moment] = []
    for call in calls:
        paths = set(call["paths"] or [])
        touching = [
            episode for episode in open_episodes if paths & {path for one in episode for path in one["paths"] or []}
        ]
        if (call["thread_id"], call["run"], call["seq_start"], call["call_id"]) in bad:
            if touching:
                touching[0].append(call)
            else:
                open_episodes.append([call])
        elif call["success"]:
            for episode in touching:
                open_episodes.remove(episode)
                moments.append(_moment(episode, recovered=True))
    return moments + [_moment(episode, recovered=False) for episode in open_episodes]


def _moment(calls: list[dict[str, Any]], recovered: bool) -> Moment:
    first, last = calls[0], calls[-1]
    files = (
        ", ".join(dict.fromkeys(path.rsplit("/", 1)[-1] for call in calls for path in call["paths"] or [])) or "a file"
    )
    times = "" if len(calls) == 1 else f" {len(calls)} times"
    outcome = "a later patch applied" if recovered else "no later patch of it applied in that turn"
    reason = show(
        next((line for line in (last["output"] or "").splitlines() if line.strip()), ""), last["thread_id"], 140
    )
    return Moment(
        thread_id=first["thread_id"],
        run=first["run"],
        turn_id=first["turn_id"],
        call_id=first["call_id"],
        seq_start=first["seq_start"],
        seq_end=max(call["seq_end"] for call in calls),
        occurred_at=first["occurred_at"],
        severity=1 + (len(calls) > 1) + (not recovered and len(calls) > 1),
        confidence=0.85 if reason else 0.7,
        description=f"The agent's edit of {show(files, first['thread_id'], 90)} did not apply{times}"
        + (f" ({reason})" if reason else "")
        + f"; {outcome}",
        evidence=tuple(Evidence(call["seq_end"], call["call_id"], call["output"] or None) for call in calls),
    )
