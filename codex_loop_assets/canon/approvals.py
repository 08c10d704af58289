"""Joining approval decisions to the requests they answer.

A decision names a turn id (builds of early 2026) or an approval or call id (later ones). Several requests of a turn
share the turn's one slot: a decision answers the most recent unanswered request of its run and turn, and a newer
request overwrites an older one. Few records, so one pass in order.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from codex_loop_assets.canon.kinds import APPROVAL_DECISIONS, APPROVAL_REQUESTS

_ANSWERS = {"exec_approval": "exec_approval_request", "patch_approval": "apply_patch_approval_request"}
SCHEMA = {"thread": pl.UInt32, "ordinal": pl.Int64, "approval": pl.String, "ambiguous_approval": pl.Boolean}


@dataclass
class _Request:
    ordinal: int
    kind: str
    ids: frozenset[str]
    decision: str = "unanswered"
    ambiguous: bool = False


def decided(events: pl.DataFrame) -> pl.DataFrame:
    """(thread, ordinal of the request, approval, ambiguous_approval) for every request, `unanswered` included."""
    kinds = (*APPROVAL_REQUESTS, *APPROVAL_DECISIONS, "turn_aborted", "task_complete")
    threads = events.filter(pl.col("kind").is_in(APPROVAL_REQUESTS))["thread"].unique()
    if threads.is_empty():
        return pl.DataFrame(schema=SCHEMA)
    rows = events.filter(pl.col("kind").is_in(kinds) & pl.col("thread").is_in(threads.implode())).select(
        "thread", "run", "turn_id", "ordinal", "kind", "call_id", "decision",
        pl.col("detail").str.json_path_match("$.approval_id").alias("approval_id"),
        pl.col("detail").str.json_path_match("$.id").alias("answers"),
    )  # fmt: skip
    pending: dict[tuple, list[_Request]] = {}
    requests: list[tuple[int, _Request]] = []
    for thread, run, turn, ordinal, kind, call_id, decision, approval_id, answers in rows.sort(
        "thread", "ordinal"
    ).iter_rows():
        slot = pending.setdefault((thread, run), [])
        if kind in APPROVAL_REQUESTS:
            ids = frozenset(i for i in (approval_id, call_id, turn) if i)
            request = _Request(ordinal, kind, ids)
            slot.append(request)
            requests.append((thread, request))
        elif kind in APPROVAL_DECISIONS:
            _answer(slot, kind, decision or "unknown", answers, turn)
        else:
            slot.clear()
    found = [(thread, r.ordinal, r.decision, r.ambiguous) for thread, r in requests]
    return pl.DataFrame(found, schema=SCHEMA, orient="row")


def _answer(slot: list[_Request], kind: str, decision: str, answers: str | None, turn: str | None) -> None:
    """Give a decision to its request and close the slot."""
    named = [request for request in slot if answers in request.ids]
    open_requests = named or [request for request in slot if turn in request.ids] or slot
    if not open_requests:
        return
    same_kind = [request for request in open_requests if request.kind == _ANSWERS[kind]]
    chosen = (same_kind or open_requests)[-1]
    chosen.decision = decision
    chosen.ambiguous = len(open_requests) > 1
    slot.remove(chosen)
