"""Asset checks, each named after its law, evaluated per partition also when a run covers a range of days.

Dagster gives a check in a range run no partition key and files its result without a partition; here each day's result is
logged as an event of its own with its partition, and the check's own result sums them up.
"""

from collections.abc import Callable
from typing import Any

import dagster as dg
import polars as pl
from dagster._core.events import DagsterEventBatchMetadata, generate_event_batch_id

from codex_loop_assets.assets.guard import guarded
from codex_loop_assets.partitions import days
from codex_loop_assets.resources.homes import HomeResource
from codex_loop_assets.resources.lake import Lake

Verdict = tuple[bool, dict[str, Any]]


def day_check(
    asset: str, name: str, description: str, evaluate: Callable[[Lake, str], Verdict]
) -> dg.AssetChecksDefinition:
    """A check of one day's partition: `evaluate(lake, day)` says whether the law holds and with what numbers."""

    @dg.asset_check(asset=asset, name=name, description=description, partitions_def=days)
    @guarded
    def check(context: dg.AssetCheckExecutionContext, home: HomeResource) -> dg.AssetCheckResult:
        lake = home.home.lake
        keys = context.op_execution_context.partition_keys
        verdicts = {day: evaluate(lake, day) for day in keys}
        if len(keys) == 1:
            passed, metadata = verdicts[keys[0]]
            return dg.AssetCheckResult(passed=passed, metadata=metadata)
        batch = generate_event_batch_id()
        for day, (passed, metadata) in verdicts.items():
            evaluation = dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(asset), check_name=name, passed=passed, metadata=metadata, partition=day
            )
            event = dg.DagsterEvent("ASSET_CHECK_EVALUATION", context.run.job_name, event_specific_data=evaluation)
            together = DagsterEventBatchMetadata(batch, is_end=day == keys[-1])
            context.instance.report_dagster_event(event, run_id=context.run.run_id, batch_metadata=together)
        broken = [day for day, (passed, _) in verdicts.items() if not passed]
        return dg.AssetCheckResult(passed=not broken, metadata={"days": len(keys), "broken_days": broken})

    return check


def every_line_is_accounted_for(lake: Lake, day: str) -> Verdict:
    """lines = read + skipped + torn for each source, and the skipped lines are broken down by reason."""
    spines = lake.read("spines", day)
    reasons = spines["skipped"].map_elements(lambda text: sum(_counts(text).values()), return_dtype=pl.Int64)
    off = spines.filter(
        (pl.col("lines") != pl.col("lines_read") + pl.col("lines_skipped") + pl.col("lines_torn"))
        | (pl.col("lines_skipped") != reasons)
    )
    share = 1.0 if not spines["lines"].sum() else 1 - off["lines"].sum() / spines["lines"].sum()
    return off.is_empty(), {
        "sources": spines.height,
        "lines": int(spines["lines"].sum()),
        "accounted_share": float(share),
    }


def every_session_has_its_reason(lake: Lake, day: str) -> Verdict:
    """A source that is not plainly ingested says why."""
    spines = lake.read("spines", day)
    silent = spines.filter(pl.col("status").is_in(["quarantined", "excluded", "vanished"]) & pl.col("reason").is_null())
    return silent.is_empty(), {"sources": spines.height, "without_reason": silent.height}


def every_signal_points_to_its_evidence(lake: Lake, day: str) -> Verdict:
    """Each signal's thread exists that day and holds an event in the signal's range of records."""
    signals = lake.read("signals", day).select("signal_id", "thread_id", "run", "seq_start", "seq_end")
    events = lake.scan("events", day).select("thread_id", "run", "seq").collect().sort("seq")
    # The next event from each signal's start on: all pairs of a large session's signals and events took 20 GB.
    found = signals.sort("seq_start").join_asof(
        events, left_on="seq_start", right_on="seq", by=["thread_id", "run"], strategy="forward", check_sortedness=False
    )
    shown = found.filter(pl.col("seq") <= pl.col("seq_end"))
    lost = signals.join(shown, on="signal_id", how="anti")
    return lost.is_empty(), {"signals": signals.height, "unresolved": lost["signal_id"].head(5).to_list()}


def every_session_is_judged_or_says_why_not(lake: Lake, day: str) -> Verdict:
    """Each session of the day has a coverage row of the judge."""
    sessions = lake.read("sessions", day).select("thread_id")
    missing = sessions.join(lake.read("judge_coverage", day), on="thread_id", how="anti")
    return missing.is_empty(), {"sessions": sessions.height, "without_coverage": missing.height}


def every_signal_is_taken_in(lake: Lake, day: str) -> Verdict:
    """Each signal of the day is a member row of the newest cluster state (of a cluster, or of none yet)."""
    states = lake.keys("cluster_members")
    members = lake.read("cluster_members", states[-1]) if states else lake.read("cluster_members", [])
    lost = lake.read("signals", day).join(members, on="signal_id", how="anti")
    return lost.is_empty(), {"not_taken_in": lost.height}


def _counts(text: str) -> dict[str, int]:
    import json

    return json.loads(text)


CHECKS = [
    day_check(
        "spines",
        "every_line_is_accounted_for",
        "Every line was read, skipped for a reason, or torn.",
        every_line_is_accounted_for,
    ),
    day_check(
        "spines",
        "every_session_has_its_reason",
        "Nothing is quarantined or left out without a reason.",
        every_session_has_its_reason,
    ),
    day_check(
        "signals",
        "every_signal_points_to_its_evidence",
        "Evidence exists in events.",
        every_signal_points_to_its_evidence,
    ),
    day_check(
        "judge_coverage",
        "every_session_is_judged_or_says_why_not",
        "No session is skipped in silence.",
        every_session_is_judged_or_says_why_not,
    ),
    day_check(
        "cluster_members",
        "every_signal_is_taken_in",
        "No signal is lost between detection and discovery.",
        every_signal_is_taken_in,
    ),
]
