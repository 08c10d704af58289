"""The `sessions` table: one row per thread, with metadata, totals and how it ended."""

from __future__ import annotations

import polars as pl

from codex_loop_assets.canon import lineage, usage
from codex_loop_assets.canon.humans import is_automation, is_subagent
from codex_loop_assets.canon.kinds import COMPACTION
from codex_loop_assets.canon.settings import CanonSettings
from codex_loop_assets.canon.timeline import Timeline, timeline
from codex_loop_assets.tables import SESSIONS


def build(
    events: pl.DataFrame,
    spines: pl.DataFrame,
    turns: pl.DataFrame,
    tool_calls: pl.DataFrame,
    settings: CanonSettings | None = None,
) -> pl.DataFrame:
    """The day's `sessions`: every thread that has events."""
    if events.is_empty():
        return SESSIONS.empty()
    return from_timeline(timeline(events, settings), spines, turns, tool_calls)


def from_timeline(line: Timeline, spines: pl.DataFrame, turns: pl.DataFrame, tool_calls: pl.DataFrame) -> pl.DataFrame:
    """The same from what has been computed already."""
    events = line.events
    names = events.select("thread", "thread_id").unique("thread", keep="first", maintain_order=True)
    frame = (
        names.join(_metadata(line), on="thread", how="left")
        .join(_observed(events), on="thread", how="left")
        .join(line.usage.group_by("thread").agg(pl.col(*usage.FIELDS).sum()), on="thread", how="left")
        .join(_turn_totals(turns), on="thread_id", how="left")
        .join(_call_totals(tool_calls), on="thread_id", how="left")
        .join(_ledger(spines), on="thread_id", how="left")
        .join(lineage.parents(events), left_on="thread_id", right_on="child_id", how="left")
    )
    return SESSIONS.conform(_finished(frame, line.settings).select(SESSIONS.schema.keys()))


def _metadata(line: Timeline) -> pl.DataFrame:
    """From the first session_meta, completed by session_configured and git artifacts."""
    events = line.events
    git = events.filter((pl.col("kind") == "artifact_ref") & pl.col("name").is_in(("git_info", "git_diff"))).select(
        "thread",
        pl.col("detail").str.json_path_match("$.git.commit_hash").alias("git_commit"),
        pl.col("detail").str.json_path_match("$.git.branch").alias("git_branch"),
        pl.col("detail").str.json_path_match("$.git.repository_url").alias("git_url"),
        pl.col("detail").str.json_path_match("$.base_sha").alias("base_sha"),
        pl.col("detail").str.json_path_match("$.artifact_path").alias("diff_path"),
    )  # fmt: skip
    # The diff file is written again by each process, so only the newest reference describes it.
    git = git.group_by("thread", maintain_order=True).agg(
        pl.col("git_commit", "git_branch", "git_url").first(ignore_nulls=True),
        pl.col("base_sha").last(ignore_nulls=True),
        pl.col("diff_path").last(ignore_nulls=True),
    )
    stated = line.stated.group_by("thread", maintain_order=True).agg(
        pl.col("model").first(ignore_nulls=True), pl.col("cwd").first(ignore_nulls=True).alias("stated_cwd")
    )
    return stated.join(git, on="thread", how="left").join(line.metadata, on="thread", how="left")


def _observed(events: pl.DataFrame) -> pl.DataFrame:
    kind = pl.col("kind")
    counted = {
        "boundaries": kind == COMPACTION,
        "compacted": kind == "context_compacted",
        "error_count": kind == "error",
    }
    # Told record by record first: grouping texts would copy them.
    facts = events.select(
        "thread", "ts", "run", **counted, spine=pl.col("source") == "spine", shut_down=kind == "shutdown"
    )
    observed = facts.group_by("thread").agg(
        pl.col("ts").min().alias("first_at"),
        pl.col("ts").max().alias("ended_at"),
        pl.col("run").n_unique().cast(pl.Int32).alias("run_count"),
        pl.col(*counted).sum().cast(pl.Int32),
        pl.col("spine").any().alias("approvals_observable"),
        pl.col("shut_down").any(),
    )
    source = pl.when("approvals_observable").then(pl.lit("spine")).otherwise(pl.lit("rollout"))
    return observed.with_columns(source.alias("source"))


def _turn_totals(turns: pl.DataFrame) -> pl.DataFrame:
    asked = pl.col("kind").is_in(("prompt", "steer"))
    return (
        turns.sort("thread_id", "turn_index")
        .group_by("thread_id", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int32).alias("turn_count"),
            (pl.col("human") & asked).sum().cast(pl.Int32).alias("human_turn_count"),
            pl.col("human").any().alias("human"),
            pl.col("end_state").last().alias("last_state"),
            pl.col("abort_reason").last().alias("last_reason"),
            pl.col("final_message").last().is_not_null().alias("answered"),
            asked.sum().alias("asked"),
        )
    )


def _call_totals(tool_calls: pl.DataFrame) -> pl.DataFrame:
    return tool_calls.group_by("thread_id").agg(
        pl.len().cast(pl.Int32).alias("tool_call_count"),
        (pl.col("success") == False).sum().cast(pl.Int32).alias("failed_tool_call_count"),  # noqa: E712
    )


def _ledger(spines: pl.DataFrame) -> pl.DataFrame:
    """Home, start and state of each thread by its sources; `folder`: where a spine's artifacts lie, relative to the
    home."""
    counted = spines.filter(~pl.col("status").is_in(("superseded", "quarantined", "excluded")))
    # An exported bundle keeps the spine in a folder of its own beside the artifacts.
    folder = pl.col("path").filter(pl.col("source") == "spine").first().str.replace(r"(^|/)spine$", "")
    return (
        counted.sort("thread_id", "source", descending=[False, True])
        .group_by("thread_id", maintain_order=True)
        .agg(
            pl.col("home", "machine").first(),
            pl.col("started_at").min(),
            (pl.col("status") == "active").any().alias("active"),
            folder.alias("folder"),
        )
    )


def _outcome() -> tuple[pl.Expr, pl.Expr]:
    """(outcome, what it was read from), by the last turn. A recorded end of the turn is no proof of success, but the
    agent's own word that it is done."""
    state, reason = pl.col("last_state"), pl.col("last_reason")
    cases = [
        (state.is_null(), "unknown", pl.lit("nobody asked for anything")),
        (pl.col("active"), "unknown", pl.lit("still active")),
        (state == "completed", "completed", pl.lit("the last turn ended with task_complete")),
        (state == "errored", "errored", pl.lit("the last turn ended in an error")),
        (
            (state == "aborted") & reason.is_in(("interrupted", "approval_abort")).fill_null(False),
            "aborted",
            pl.format("the last turn was aborted: {}", reason),
        ),
        (
            state == "aborted",
            "aborted",
            pl.format("the last turn was aborted: {}", reason.fill_null("no reason recorded")),
        ),
        (state == "open", "abandoned", pl.lit("the last turn has no end on record")),
        (pl.col("answered"), "completed", pl.lit("this version records no turn ends; the last prompt has an answer")),
    ]
    outcome, why = pl.lit("abandoned"), pl.lit("the last prompt has no answer on record")
    for condition, name, words in reversed(cases):
        test = condition.fill_null(False)
        outcome = pl.when(test).then(pl.lit(name)).otherwise(outcome)
        why = pl.when(test).then(words).otherwise(why)
    return outcome, why


def _finished(frame: pl.DataFrame, settings: CanonSettings) -> pl.DataFrame:
    outcome, why = _outcome()
    url = pl.coalesce("git_url", "meta_url")
    cwd = pl.coalesce("meta_cwd", "stated_cwd")
    frame = frame.with_columns(
        url.alias("repository_url"),
        cwd.alias("cwd"),
        pl.col("human").fill_null(False),
        pl.col("active").fill_null(False),
    )
    short = pl.coalesce("repository_url", "cwd").str.strip_chars_end("/\\").str.extract(r"([^/\\:]+?)(?:\.git)?$")
    is_eval = pl.col("originator").is_in(settings.eval_originators).fill_null(False)
    for pattern in settings.eval_cwd:
        is_eval = is_eval | pl.col("cwd").str.contains(pattern).fill_null(False)
    own = pl.col("session_source").is_in(settings.own_sources).fill_null(False)
    exclusion = (
        pl.when(is_eval).then(pl.lit("evaluation trial"))
        .when(own).then(pl.lit("Codex's own housekeeping"))
        .when(is_subagent()).then(pl.lit("started by an agent"))
        .when(is_automation(settings) & ~pl.col("human")).then(pl.lit("machine-driven"))
    )  # fmt: skip
    return frame.with_columns(
        pl.coalesce("parent_thread_id", "recorded_parent").alias("parent_thread_id"),
        pl.col("home").fill_null(""),
        pl.coalesce("started_at", "first_at").alias("started_at"),
        short.alias("repository"),
        pl.coalesce("git_commit", "meta_commit").alias("commit_hash"),
        pl.coalesce("git_branch", "meta_branch").alias("branch"),
        pl.concat_str("folder", pl.lit("/"), "diff_path").str.strip_chars_start("/").alias("starting_diff_path"),
        pl.col("turn_count", "human_turn_count", "tool_call_count", "failed_tool_call_count").fill_null(0),
        pl.when(pl.col("boundaries") > 0).then("boundaries").otherwise("compacted").alias("compaction_count"),
        exclusion.alias("exclusion_reason"),
        exclusion.is_not_null().alias("excluded"),
        is_eval.alias("is_eval"),
        outcome.alias("outcome"),
        why.alias("outcome_reason"),
    )
