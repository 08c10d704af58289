"""What could have been seen: which category each kind of record can show, and which each session could.

A rate counts only sessions in which the thing could have been seen, and a category that a record cannot hold is unknown
there, never zero. What does not belong here: finding anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import polars as pl

from codex_loop_assets.settings import section
from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.signals.schema import SignalSchema

SOURCES = (
    ("spine", "spine_v1"), ("rollout", "A"), ("rollout", "B"), ("rollout", "C"), ("rollout", "D"), ("rollout", "E"),
)  # fmt: skip
TABLE_SCHEMA = {
    "category": pl.String,
    "source": pl.String,
    "era": pl.String,
    "observable": pl.String,
    "missing": pl.List(pl.String),
}
SESSION_SCHEMA = {
    "thread_id": pl.String,
    "category": pl.String,
    "observable": pl.Boolean,
    "missing": pl.List(pl.String),
}


def facts() -> dict[str, dict[str, Any]]:
    """The facts of config/observability.toml: name -> {doc, one of yes/no/seen per era, kinds?, tools?}."""
    return section("observability")["facts"]


def observability(schema: SignalSchema) -> pl.DataFrame:
    """Category x source x era -> observable: `yes`, `no`, or `seen` (only where the session itself shows the needed
    record).

    Columns: category, source, era, observable, missing (facts that the era does not hold, or does not hold reliably).
    """
    rows = []
    for name, category in sorted(schema.active().items()):
        for source, era in SOURCES:
            holds = {need: facts()[need][era] for need in category.needs}
            worst = "no" if "no" in holds.values() else "seen" if "seen" in holds.values() else "yes"
            missing = [need for need, held in holds.items() if held != "yes"]
            rows.append({"category": name, "source": source, "era": era, "observable": worst, "missing": missing})
    return pl.DataFrame(rows, schema=TABLE_SCHEMA)


def session_observability(canon: CanonTables, schema: SignalSchema) -> pl.DataFrame:
    """Per session and category whether it could have been seen there.

    Columns: thread_id, category, observable, missing (the facts that session lacks). A session without an era in
    `spines` (an unreadable source) can show nothing.
    """
    held = _held_facts(canon)
    rows = [
        {"facts": list(combination), "category": name, "observable": not missing, "missing": missing}
        for combination in sorted({tuple(facts) for facts in held["facts"].to_list()})
        for name, category in sorted(schema.active().items())
        for missing in [[need for need in category.needs if need not in combination]]
    ]
    told = pl.DataFrame(rows, schema={"facts": pl.List(pl.String), **dict(list(SESSION_SCHEMA.items())[1:])})
    # Few combinations of facts occur, so categories are decided once for each and not once for each session.
    key = pl.col("facts").list.join("|").alias("combination")
    joined = held.with_columns(key).join(told.with_columns(key).drop("facts"), on="combination", how="left")
    return joined.select(*SESSION_SCHEMA).sort("thread_id", "category")


def looked_for(exposure: pl.DataFrame, coverage: pl.DataFrame) -> pl.DataFrame:
    """Rows (thread_id, category) of `exposure` without the categories that every judge of the thread left out.

    `coverage` has the rows of `judge_coverage` of the same threads; a judge that wrote down nothing left out nothing.
    """
    judges = pl.col("detector").n_unique().over("thread_id").alias("judges")
    per_judge = coverage.select("thread_id", "detector", judges, pl.col("left_out").alias("category"))
    unseen = (
        per_judge.explode("category")
        .drop_nulls("category")
        .group_by("thread_id", "category")
        .agg(leaving=pl.col("detector").n_unique(), judges=pl.col("judges").first())
        .filter(pl.col("leaving") == pl.col("judges"))
    )
    return exposure.join(unseen, on=["thread_id", "category"], how="anti", maintain_order="left")


def _held_facts(canon: CanonTables) -> pl.DataFrame:
    """(thread_id, facts): the facts that each session's records hold, sorted."""
    eras, seen = _eras(canon), _seen_facts(canon)
    rows = []
    for thread, approvals in canon.sessions.select("thread_id", "approvals_observable").iter_rows():
        held = _held(eras.get(thread, ()), seen.get(thread, frozenset()))
        rows.append({"thread_id": thread, "facts": sorted(held | ({"approvals", "refusals"} if approvals else set()))})
    return pl.DataFrame(rows, schema={"thread_id": pl.String, "facts": pl.List(pl.String)})


def _eras(canon: CanonTables) -> dict[str, tuple[str, ...]]:
    """Eras of the records that each thread was built from. A spine that covers the thread supersedes its rollout."""
    used = canon.spines.filter(
        pl.col("era").is_not_null() & pl.col("status").is_in(("ingested", "active", "vanished", "partially_superseded"))
    )
    frame = used.group_by("thread_id").agg(pl.col("era").unique().sort())
    return {thread: tuple(eras) for thread, eras in frame.iter_rows()}


def _seen_facts(canon: CanonTables) -> dict[str, frozenset[str]]:
    """Facts of which a thread holds at least one record, for those that name their kinds or tools."""
    found: dict[str, set[str]] = {}
    for name, fact in facts().items():
        threads = [canon.events.filter(pl.col("kind").is_in(fact.get("kinds", ())))["thread_id"]]
        threads.append(canon.tool_calls.filter(pl.col("name").is_in(fact.get("tools", ())))["thread_id"])
        for thread in pl.concat(threads).unique():
            found.setdefault(thread, set()).add(name)
    return {thread: frozenset(names) for thread, names in found.items()}


@cache
def _held(eras: tuple[str, ...], seen: frozenset[str]) -> frozenset[str]:
    """Facts that records of these eras hold together. A record of a fact proves it, whatever its era usually holds."""

    def holds(name: str, fact: Mapping[str, Any]) -> bool:
        return name in seen or any(fact[era] == "yes" for era in eras if era in fact)

    return frozenset(name for name, fact in facts().items() if holds(name, fact))
