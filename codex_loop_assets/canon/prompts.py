"""Which records are somebody asking for something: one row per prompt, however many records repeat it.

The same prompt is in up to five records. What counts is the best kind of record that its run has: submissions
(spines), else `user_message` events, else bare messages (builds before September 2025). The first record of a prompt
stands for it.
"""

from __future__ import annotations

import polars as pl

from codex_loop_assets.canon.kinds import ACTION_OPS, PROMPT_OPS, TURN_ENDS, USER_WORDS
from codex_loop_assets.canon.settings import CanonSettings

_KIND = {
    "run_user_shell_command": "shell", "user_shell_command": "shell", "review": "review",
    "entered_review_mode": "review",
    "compact": "compact", "undo": "undo", "undo_completed": "undo",
}  # fmt: skip


def find(events: pl.DataFrame, settings: CanonSettings) -> pl.DataFrame:
    """Prompts of `events` (which has `thread` numbers and is in reading order): its rows, with `turn_kind`
    (prompt, steer, shell, review, compact, undo)."""
    detail = pl.col("detail").fill_null("")
    words = events.filter(
        pl.col("kind").is_in(USER_WORDS)
        & (pl.col("role") == "user")
        & pl.col("text").is_not_null().or_(detail.str.starts_with('{"echo"'))
        & ~detail.str.starts_with('{"scaffold"')
    ).with_columns(detail.str.starts_with('{"echo"').alias("echo"))
    runs = _best_records(events)
    words = words.with_columns((~pl.col("echo")).cum_sum().over("thread", "run").alias("chain")).join(
        runs, on=("thread", "run")
    )
    heads = _heads(words, settings)
    actions = _actions(events, runs)
    found = pl.concat([heads.select(*events.columns, "turn_kind"), actions.select(*events.columns, "turn_kind")])
    return _with_steering(found.sort("thread", "ordinal"), events)


def _best_records(events: pl.DataFrame) -> pl.DataFrame:
    """Per run: whether it records submissions, whether it records user_message events."""
    real_message = (pl.col("kind") == "user_message") & ~pl.col("detail").fill_null("").str.starts_with('{"scaffold"')
    return events.group_by("thread", "run", maintain_order=True).agg(
        pl.col("kind").is_in((*PROMPT_OPS, *ACTION_OPS)).any().alias("has_submissions"),
        real_message.any().alias("has_messages"),
    )


def _heads(words: pl.DataFrame, settings: CanonSettings) -> pl.DataFrame:
    chain = ("thread", "run", "chain")
    told = words.with_columns((pl.col("kind") == "user_message").any().over(chain).alias("told"))
    by_message = pl.col("has_messages") & ~pl.col("has_submissions")
    # Before that build, a message typed while the agent worked was stored as a response item only.
    bare_steer = (
        by_message
        & ~pl.col("told")
        & (pl.col("source") == "rollout")
        & (pl.col("ts") < settings.steering_recorded_since)
        & (pl.col("chain") > pl.col("chain").min().over("thread", "run"))
    )
    counts = (
        (pl.col("has_submissions") & pl.col("kind").is_in(PROMPT_OPS))
        | (by_message & pl.col("told"))
        | (~pl.col("has_messages") & ~pl.col("has_submissions"))
        | bare_steer
    )
    return told.filter(~pl.col("echo") & counts).with_columns(
        pl.when(bare_steer).then(pl.lit("steer")).otherwise(pl.lit("prompt")).alias("turn_kind")
    )


def _actions(events: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """What a user does without a prompt: recorded as submissions in spines, visible by its result in rollouts."""
    found = events.filter(pl.col("kind").is_in(_KIND.keys())).join(runs, on=("thread", "run"))
    return found.filter(pl.col("kind").is_in(ACTION_OPS) | ~pl.col("has_submissions")).with_columns(
        pl.col("kind").replace_strict(_KIND, default=None, return_dtype=pl.String).alias("turn_kind")
    )


def _with_steering(prompts: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Mark prompts sent while a turn was running, and give them that turn's id."""
    marks = events.filter(pl.col("kind").is_in(("task_started", *TURN_ENDS))).select(
        "thread", "run", "ordinal", pl.col("kind").alias("mark"), pl.col("turn_id").alias("running")
    )
    if marks.is_empty() or prompts.is_empty():
        return prompts
    prompts = prompts.sort("ordinal").join_asof(
        marks.sort("ordinal"), on="ordinal", by=["thread", "run"], strategy="backward", check_sortedness=False
    )
    started = (
        marks.filter(pl.col("mark") == "task_started")
        .select("thread", "run", pl.col("running").alias("turn_id"))
        .unique()
    )
    prompts = prompts.join(
        started.with_columns(pl.lit(True).alias("own_turn")),
        on=("thread", "run", "turn_id"),
        how="left",
        nulls_equal=False,
    )
    open_turn = pl.col("mark") == "task_started"
    submitted = pl.col("kind").is_in(PROMPT_OPS)
    # In a spine a steering prompt's own id never starts a turn; in a rollout it is a further message under a running
    # turn's id.
    earlier = pl.int_range(pl.len()).over("thread", "run", "turn_id") > 0
    steer = (
        (pl.col("turn_kind") == "prompt")
        & open_turn
        & ((submitted & pl.col("own_turn").is_null()) | (~submitted & pl.col("own_turn").is_not_null() & earlier))
    )
    return (
        prompts.sort("thread", "ordinal")
        .with_columns(pl.when(steer.fill_null(False)).then(pl.lit("steer")).otherwise("turn_kind").alias("turn_kind"))
        .with_columns(
            pl.when((pl.col("turn_kind") == "steer") & open_turn)
            .then(pl.coalesce("running", "turn_id"))
            .otherwise("turn_id")
            .alias("turn_id")
        )
        .drop("mark", "running", "own_turn")
    )
