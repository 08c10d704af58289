"""truncation_warning: Codex cut what the agent could see."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

import polars as pl

from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.patterns import alternatives
from codex_loop_assets.signals.quoting import during, show, show_command
from codex_loop_assets.signals.reading import records, with_request
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="truncation_warning",
    version="1",
    looks_for="Codex's warnings about truncation, and tool results that hold Codex's own mark of tokens or lines "
    "left out, at or above the configured size; one moment per turn.",
    evidence="The warnings, and the results with the mark.",
    near_misses=(
        "the word truncated in the output of a command or in a message",
        "output that the agent cut itself (head, tail, --max-count)",
        "a few lines left out",
        "the warning about long conversations that comes with a compaction, which is counted as such",
        "warnings about anything else (deprecated settings, the number of processes)",
    ),
    needs=("tool_outputs",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    warned = records(canon, ("warning",)).filter(
        pl.col("text").str.contains("(?i)" + alternatives(thresholds["about"])).fill_null(False)
    )
    told = warned.select(
        "thread_id", "run", "turn_id", pl.lit(None, pl.String).alias("call_id"), "seq", pl.col("ts").alias("at"),
        "request", "request_seq", pl.col("text").alias("what"), pl.lit(None, pl.String).alias("left_out"),
    )  # fmt: skip
    cut = with_request(canon, _cut_outputs(canon, thresholds), "seq")
    moments = []
    both = pl.concat([told, cut.select(told.columns)]).sort("thread_id", "run", "seq")
    for _, rows in groupby(both.to_dicts(), key=itemgetter("thread_id", "run", "request_seq")):
        moments.append(_moment(list(rows)))
    return moments


def _cut_outputs(canon: CanonTables, thresholds: Mapping[str, Any]) -> pl.DataFrame:
    """Tool results of which Codex left out at least the configured number of tokens or lines."""
    tokens = pl.col("shown").str.extract(r"\x{2026}(\d+) tokens truncated\x{2026}").cast(pl.Int64, strict=False)
    lines = pl.col("shown").str.extract(r"\[\.\.\. omitted (\d+) of \d+ lines \.\.\.\]").cast(pl.Int64, strict=False)
    enough = (tokens >= thresholds["minimum_tokens"]) | (lines >= thresholds["minimum_lines"])
    marked = pl.col("shown").str.contains(r"tokens truncated|\.\.\. omitted").fill_null(False)
    marked = _shown_outputs(canon).filter(marked)
    left_out = pl.coalesce(
        pl.concat_str(tokens.cast(pl.String), pl.lit(" tokens")), pl.concat_str(lines.cast(pl.String), pl.lit(" lines"))
    )
    return marked.filter(enough.fill_null(False)).select(
        "thread_id", "run", "turn_id", "call_id", pl.col("seq_end").alias("seq"), pl.col("occurred_at").alias("at"),
        pl.coalesce("command", "name").alias("what"), left_out.alias("left_out"),
    )  # fmt: skip


def _shown_outputs(canon: CanonTables) -> pl.DataFrame:
    """Tool calls with the result as the agent was `shown` it: a spine records the command's own output besides."""
    call = ("thread_id", "run", "call_id")
    results = pl.col("kind").is_in(("function_call_output", "custom_tool_call_output")) & (pl.col("source") == "spine")
    shown = canon.events.filter(results).group_by(call).agg(pl.col("text").last().alias("shown"))
    calls = canon.tool_calls.select(*call, "turn_id", "seq_end", "occurred_at", "command", "name", "output")
    if shown.is_empty():
        return calls.rename({"output": "shown"})
    joined = calls.join(shown, on=call, how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("shown", "output").alias("shown"))


def _moment(rows: list[dict[str, Any]]) -> Moment:
    first, last = rows[0], rows[-1]
    more = f", and {len(rows) - 1} more times" if len(rows) > 1 else ""
    return Moment(
        thread_id=first["thread_id"],
        run=first["run"],
        turn_id=first["turn_id"],
        call_id=first["call_id"],
        seq_start=first["seq"],
        seq_end=last["seq"],
        occurred_at=first["at"],
        severity=1,
        confidence=0.6 if first["call_id"] else 0.85,
        description=_told(first) + more + during(first),
        evidence=tuple(Evidence(row["seq"], row["call_id"]) for row in rows),
    )


def _told(row: Mapping[str, Any]) -> str:
    if row["left_out"] is None:
        return f"Codex warned: {show(row['what'], row['thread_id'], 180)}"
    return f"Codex left {row['left_out']} out of the output of `{show_command(row['what'], row['thread_id'], 90)}`"
