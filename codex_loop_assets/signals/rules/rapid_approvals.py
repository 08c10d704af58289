"""rapid_approvals: the person said yes at once, again and again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.reading import of_kinds, refusals, top_level
from codex_loop_assets.signals.rules.rule import rule

_REQUESTS = ("exec_approval_request", "apply_patch_approval_request")
_ANSWERS = ("exec_approval", "patch_approval")


@rule(
    category="rapid_approvals",
    version="1",
    looks_for="Sessions with several approvals by the person, nearly all given within seconds of the request, and no "
    "refusal.",
    evidence="Every answered request.",
    near_misses=(
        "approvals that took the person longer",
        "answers faster than a person can read, which a client gives by itself",
        "requests granted by a policy, where nobody was asked",
        "a session with a refusal",
    ),
    needs=("approvals", "times"),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    asked = top_level(canon).filter(pl.col("approvals_observable")).join(refusals(canon), on="thread_id", how="anti")
    exchanged = of_kinds(canon, (*_REQUESTS, *_ANSWERS))
    if exchanged.is_empty():
        return []
    answered = _answered(exchanged.join(asked.select("thread_id"), on="thread_id", how="semi"))
    rapid = pl.col("wait_ms").is_between(thresholds["minimum_wait_ms"], thresholds["maximum_wait_ms"])
    moments = []
    for _, group in answered.with_columns(rapid.alias("rapid")).group_by("thread_id", maintain_order=True):
        quick = group.filter("rapid")
        if quick.height >= thresholds["minimum"] and quick.height / group.height >= thresholds["share"]:
            moments.append(_moment(quick.to_dicts(), float(quick["wait_ms"].median())))
    return moments


def _answered(events: pl.DataFrame) -> pl.DataFrame:
    """Each approval with the newest request before it in its run, and the wait between them in milliseconds."""
    place = ("thread_id", "run")
    requests = events.filter(pl.col("kind").is_in(_REQUESTS)).select(
        *place, "ordinal", pl.col("ts").alias("asked_at"), pl.col("seq").alias("asked_seq"), "turn_id", "call_id"
    )
    answers = events.filter(
        pl.col("kind").is_in(_ANSWERS) & pl.col("decision").str.starts_with("approved").fill_null(False)
    ).select(*place, "ordinal", "seq", "ts")
    return (
        answers.sort("ordinal")
        .join_asof(requests.sort("ordinal"), on="ordinal", by=list(place), check_sortedness=False)
        .filter(pl.col("asked_at").is_not_null() & pl.col("ts").is_not_null())
        .with_columns((pl.col("ts") - pl.col("asked_at")).dt.total_milliseconds().alias("wait_ms"))
        .unique(["thread_id", "run", "asked_seq"], keep="first", maintain_order=True)
        .sort("thread_id", "ordinal")
    )


def _moment(rows: list[dict[str, Any]], median_ms: float) -> Moment:
    first, last = rows[0], rows[-1]
    return Moment(
        thread_id=first["thread_id"],
        run=first["run"],
        turn_id=first["turn_id"],
        call_id=first["call_id"],
        seq_start=first["asked_seq"],
        seq_end=last["seq"] if last["run"] == first["run"] else first["seq"],
        occurred_at=last["ts"],
        severity=1,
        confidence=0.6,
        description=f"The user approved {len(rows)} requests of the agent within seconds each (median "
        f"{median_ms / 1000:.0f} s) and refused none",
        evidence=tuple(Evidence(row["asked_seq"], row["call_id"], run=row["run"]) for row in rows),
    )
