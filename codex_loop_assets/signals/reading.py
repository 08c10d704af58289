"""What several rules ask of the canonical tables: records of a kind, the request of a record, refusals.

What belongs here: columnar selections that say nothing about friction by themselves. What does not: thresholds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

import polars as pl

from codex_loop_assets.signals.model import CanonTables

_FREQUENT = (
    "token_count", "reasoning", "agent_reasoning", "message", "user_message", "agent_message", "turn_context",
    "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output", "exec_command_begin",
    "exec_command_end", "ghost_snapshot",
)  # fmt: skip
_REQUEST = {
    "request_seq": pl.Int64,
    "request": pl.String,
    "request_human": pl.Boolean,
    "request_kind": pl.String,
}
PERSON_REFUSED = ("denied", "abort")
PERSON_APPROVED = (
    "approved",
    "approved_for_session",
    "approved_execpolicy_amendment",
    "approved_network_policy",
    "approved_mcp_policy_amendment",
)
# The whole result, or the start of a failed start: a command's own output may quote a refusal.
_REFUSED_BY_PERSON = (
    r"(?i)^\s*((exec command|patch) rejected by user\s*$|exec_command failed: .*Rejected\(\"rejected by user\"\))"
)
_REFUSED_BY_POLICY = r"(?i)rejected by user approval settings|reject command|rejected by policy|sandbox"


def records(canon: CanonTables, kinds: Iterable[str]) -> pl.DataFrame:
    """Rows of `events` of these kinds in reading order, with the request each belongs to (see `with_request`)."""
    return with_request(canon, of_kinds(canon, kinds).sort("thread_id", "ordinal"), "seq")


def of_kinds(canon: CanonTables, kinds: Iterable[str]) -> pl.DataFrame:
    """Rows of `events` of these kinds, none of them one of the few that most records are of."""
    rare = canon.once("rare kinds", lambda: canon.events.filter(~pl.col("kind").is_in(_FREQUENT)))
    return rare.filter(pl.col("kind").is_in(list(kinds)))


def with_request(canon: CanonTables, frame: pl.DataFrame, seq: str, *, worded: bool = False) -> pl.DataFrame:
    """`frame` with `request`, `request_seq`, `request_human`, `request_kind` of the newest turn up to each record.

    `frame` needs thread_id, run and the column named by `seq`; order is kept. With `worded` only turns with words
    count, because an undo, a rollback or a compaction is a wordless turn of its own. Null where none has begun yet.
    """
    if frame.is_empty():
        return frame.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in _REQUEST.items())
    turns = canon.once(("requests", worded), lambda: _requests(canon.turns, worded=worded))
    return (
        frame.with_row_index("row_order")
        .sort(seq)
        .join_asof(
            turns,
            left_on=seq,
            right_on="request_seq",
            by=["thread_id", "run"],
            strategy="backward",
            check_sortedness=False,
        )
        .sort("row_order")
        .drop("row_order")
    )


def _requests(turns: pl.DataFrame, *, worded: bool) -> pl.DataFrame:
    candidates = turns.filter(pl.col("user_message") != "") if worded else turns
    return candidates.select(
        "thread_id",
        "run",
        pl.col("seq_start").alias("request_seq"),
        pl.col("user_message").alias("request"),
        pl.col("human").alias("request_human"),
        pl.col("kind").alias("request_kind"),
    ).sort("request_seq")


def refusals(canon: CanonTables) -> pl.DataFrame:
    """Tool calls that a person refused, one row per call, in order: by recorded decision, else by the text Codex puts
    in the result.

    A policy's refusal is none. A sub-agent's own record repeats decisions made in its parent and is left out.
    """
    return canon.once("refusals", lambda: _refusals(canon))


def _refusals(canon: CanonTables) -> pl.DataFrame:
    output, was_declined = pl.col("output").fill_null(""), pl.col("status") == "declined"
    # The policy's words are looked for in the few declined calls only: in all outputs they cost more than the rest.
    declined = was_declined & ~pl.when(was_declined).then(output).str.contains(_REFUSED_BY_POLICY)
    by_text = pl.col("approval").is_null() & (output.str.contains(_REFUSED_BY_PERSON) | declined)
    return (
        canon.tool_calls.filter(pl.col("approval").is_in(PERSON_REFUSED).fill_null(False) | by_text)
        .join(top_level(canon).select("thread_id"), on="thread_id", how="semi")
        .sort("thread_id", "run", "seq_start")
    )


def top_level(canon: CanonTables) -> pl.DataFrame:
    """Sessions that are not sub-agents of another."""
    by_agent = pl.col("session_source").fill_null("").str.starts_with("subagent")
    return canon.once("top level", lambda: canon.sessions.filter(pl.col("parent_thread_id").is_null() & ~by_agent))


def detail(row: dict[str, Any]) -> dict[str, Any]:
    """The `detail` column of an event row as a dict; {} when there is none."""
    return json.loads(row["detail"]) if row.get("detail") else {}


def groups(frame: pl.DataFrame, *keys: str) -> Iterator[list[dict[str, Any]]]:
    """Rows of `frame` as dicts, in runs of equal `keys`; `frame` is sorted by them.

    One conversion for all groups: a frame per group costs more than the rows themselves.
    """
    for _, rows in groupby(frame.to_dicts(), key=itemgetter(*keys)):
        yield list(rows)


def duration(milliseconds: int | None) -> str:
    """A length of time for people: `850 ms`, `42 s`, `7 min`; '' when unknown."""
    if milliseconds is None:
        return ""
    if milliseconds < 1_000:
        return f"{milliseconds} ms"
    return f"{milliseconds // 1_000} s" if milliseconds < 120_000 else f"{milliseconds // 60_000} min"
