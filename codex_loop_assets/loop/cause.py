"""What makes a pattern one problem, and whether two patterns are the same one.

What belongs here: choosing the concrete thing that a pattern's sessions share, and counting how often the signals of two
patterns stand side by side. What does not: finding facts (`evidence`), when a ticket opens (`tickets`).

Clusters group moments by their words. That people are dissatisfied in similar words is no problem that a change could
solve; that they trip over the same message, command or file is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from codex_loop_assets.loop.evidence import Evidence, Fact


@dataclass(frozen=True)
class Cause:
    """The fact that a pattern's sessions share, and the share of them that have it."""

    fact: Fact
    share: float

    def as_dict(self) -> dict[str, str]:
        """What a ticket's history remembers of it."""
        return {"name": self.fact.name, "value": self.fact.value}


def cause(evidence: Evidence, facts: Mapping[str, Fact], terms: Sequence[str], settings: Mapping) -> Cause | None:
    """The first of the facts of `cause.share` (in that order) that enough sessions have; None where there is none.

    `terms` are the words that tell the pattern from others: what people say everywhere ("do that instead") is no cause.
    """
    limits = settings["cause"]
    total = evidence.signals["thread_id"].n_unique()
    for name, least in limits["share"].items():
        fact = facts.get(name)
        if not fact or fact.sessions < limits["minimum_sessions"] or fact.sessions / total < least:
            continue
        if name == "path" and not _one_repository(facts, total, limits["path_repository"]):
            continue
        if name == "phrase" and not any(term.lower() in fact.value.lower() for term in terms):
            continue
        return Cause(fact, fact.sessions / total)
    return None


def having(evidence: Evidence, name: str, value: str) -> pl.Series:
    """thread_id of the sessions whose records show the thing a ticket is called after."""
    column, frame = {
        "message": ("evidence", evidence.signals),
        "error": ("output", evidence.calls),
        "denied_command": ("command", evidence.calls),
        "phrase": ("user_message", evidence.turns),
        "path": ("paths", evidence.calls),
    }[name]
    there = pl.col(column).list.contains(value) if name == "path" else pl.col(column).str.contains(value, literal=True)
    return frame.filter(there.fill_null(False))["thread_id"].unique().sort()


def still_shared(evidence: Evidence, name: str, value: str, settings: Mapping) -> bool:
    """Whether enough sessions still have what a ticket was opened for; False once a split took it elsewhere."""
    total = max(1, evidence.signals["thread_id"].n_unique())
    return len(having(evidence, name, value)) >= settings["cause"]["share"][name] * total


def _one_repository(facts: Mapping[str, Fact], total: int, least: float) -> bool:
    return "repository" in facts and facts["repository"].sessions / total >= least


def recorded(evidence: Evidence, root: Cause | None, settings: Mapping) -> float:
    """The share of signals that rest on a record (a failure, a refusal, an edit) instead of on what somebody said. Where
    people's phrase is what the sessions share (`root`), only records of sessions with that phrase are about it."""
    signals = evidence.signals
    if root and root.fact.name == "phrase":
        saying = having(evidence, root.fact.name, root.fact.value)
        signals = signals.filter(pl.col("thread_id").is_in(saying.implode()))
    return float(signals["category"].is_in(settings["cause"]["recorded_categories"]).mean() or 0.0)


@dataclass(frozen=True)
class Neighbour:
    """Another pattern whose signals stand beside this one's: in `sessions` of the `of` sessions of the smaller of the
    two."""

    cluster_id: str
    sessions: int
    of: int

    @property
    def share(self) -> float:
        return self.sessions / self.of


def beside(cluster_id: str, placed: pl.DataFrame, settings: Mapping) -> list[Neighbour]:
    """Friction patterns that are the same problem as this one, the closest first: a failing start of a server and the
    complaint about it in the next message are found by different detectors and are one problem.

    `placed` has a row per member signal of every live friction pattern: cluster_id, thread_id, run, turn_index.
    """
    limits = settings["cause"]
    own = placed.filter(pl.col("cluster_id") == cluster_id)
    others = placed.filter(pl.col("cluster_id") != cluster_id)
    near = others.join(own.select("thread_id", "run", at="turn_index"), on=["thread_id", "run"]).filter(
        (pl.col("turn_index") - pl.col("at")).abs() <= limits["same_turns"]
    )
    shared = dict(near.group_by("cluster_id").agg(pl.col("thread_id").n_unique()).iter_rows())
    sizes = dict(placed.group_by("cluster_id").agg(pl.col("thread_id").n_unique()).iter_rows())
    found = [
        Neighbour(name, count, min(sizes[name], sizes[cluster_id]))
        for name, count in shared.items()
        if count >= limits["minimum_sessions"]
    ]
    same = [neighbour for neighbour in found if neighbour.share >= limits["same_problem"]]
    return sorted(same, key=lambda neighbour: (-neighbour.share, -neighbour.sessions, neighbour.cluster_id))


def placed(members: pl.DataFrame, live: pl.Series, signals: pl.DataFrame, turns: pl.DataFrame) -> pl.DataFrame:
    """Where the member signals of the live friction patterns stand, as `beside` wants them. `members` are those of one
    day."""
    chosen = members.filter(pl.col("cluster_id").is_in(live.implode())).select("signal_id", "cluster_id")
    where = signals.select("signal_id", "thread_id", "run", "seq_start").join(chosen, on="signal_id")
    starts = turns.select("thread_id", "run", "turn_index", turn_start="seq_start").sort("turn_start")
    joined = where.sort("seq_start").join_asof(
        starts, left_on="seq_start", right_on="turn_start", by=["thread_id", "run"], check_sortedness=False
    )
    return joined.select("cluster_id", "thread_id", "run", pl.col("turn_index").fill_null(0).cast(pl.Int64))
