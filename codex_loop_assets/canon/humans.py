"""Whether a person typed the prompts of a thread.

A thread's prompts are a machine's when another agent wrote them (sub-agents: review, spawned agents, housekeeping),
or when an automation client sent them (`codex exec`, MCP, SDKs) and there is at most one: a script asks once. More
prompts in such a thread mean that somebody read the answer and resumed it, so they count as a person's. Scripted
conversations are thereby misread as a person's; the originator stays in `sessions` for those who know better.
"""

from __future__ import annotations

import polars as pl

from codex_loop_assets.canon.settings import CanonSettings
from codex_loop_assets.canon.timeline import Timeline


def is_subagent() -> pl.Expr:
    """Whether a thread was started by an agent."""
    by_source = pl.col("session_source").str.starts_with("subagent") | pl.col("session_source").str.starts_with(
        "internal"
    )
    return (by_source | pl.col("thread_source").is_in(("subagent", "memory_consolidation"))).fill_null(False)


def is_automation(settings: CanonSettings) -> pl.Expr:
    by_client = pl.col("originator").is_in(settings.automation_originators) | pl.col("session_source").is_in(
        settings.automation_sources
    )
    return by_client.fill_null(False)


def human_threads(line: Timeline) -> pl.DataFrame:
    """(thread, human) for every thread with a prompt."""
    asked = line.prompts.group_by("thread").agg(pl.col("turn_kind").is_in(("prompt", "steer")).sum().alias("asked"))
    scripted = is_automation(line.settings) & (pl.col("asked") <= line.settings.automation_prompts_at_most)
    return asked.join(line.metadata, on="thread", how="left").select(
        "thread", (~is_subagent() & ~scripted).alias("human")
    )
