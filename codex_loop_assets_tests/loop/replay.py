"""The fixtures' last thirty days lived again, each with what was known on it: sessions to signals, clusters and ticket
events, by the product's own functions."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import polars as pl

from codex_loop_assets import canon
from codex_loop_assets.discovery.cluster import advance
from codex_loop_assets.discovery.embed import WordLlamaEmbedder, space_of
from codex_loop_assets.discovery.registry import cluster_registry, clusters_to_refresh
from codex_loop_assets.discovery.state import ClusterState
from codex_loop_assets.discovery.text import signal_texts
from codex_loop_assets.loop import life, tickets
from codex_loop_assets.settings import section
from codex_loop_assets.signals.judges.local import LocalJudge
from codex_loop_assets.signals.judges.run import judge_day
from codex_loop_assets.signals.merge import merge
from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.signals.observability import session_observability
from codex_loop_assets.signals.rules import detect
from codex_loop_assets.signals.schema import load_schema
from codex_loop_assets.tables import TABLES
from codex_loop_assets.traces.day import build_day
from codex_loop_assets.traces.discover import discover, locate
from codex_loop_assets.traces.homes import CodexHome

FIXTURES = Path(__file__).parents[2] / "fixtures"
NOW = datetime(2026, 3, 24, tzinfo=UTC)
DAYS = 30


@dataclass
class Detected:
    """What all days show: canonical tables, signals with their day, and what each session could show."""

    tables: dict[str, pl.DataFrame]
    signals: pl.DataFrame
    exposure: pl.DataFrame
    days: list[date]

    def known_on(self, day: date) -> dict[str, pl.DataFrame]:
        """Sessions, turns, calls and signals of the sessions that had started by then."""
        sessions = self.tables["sessions"].filter(pl.col("started_at").dt.date() <= day)
        parts = {name: frame.join(sessions.select("thread_id"), on="thread_id", how="semi")
                 for name, frame in self.tables.items()}  # fmt: skip
        return parts | {"signals": self.signals.filter(pl.col("dt") <= day).drop("dt")}


@dataclass
class Replay:
    """The days as lived: the log of ticket events, the last cluster state, and what was known at the end."""

    detected: Detected
    log: list[life.Event] = field(default_factory=list)
    states: list[ClusterState] = field(default_factory=list)

    def frames(self, state: ClusterState | None = None) -> dict[str, pl.DataFrame]:
        """The tables that a ticket is made from, as of a cluster state (default: the last)."""
        state = state or self.states[-1]
        empty = {name: TABLES[name].empty() for name in ("harbor_datasets", "task_validations", "scorecard")}
        return empty | self.detected.known_on(state.day) | {
            "clusters": state.clusters, "cluster_members": state.members, "cluster_registry": cluster_registry(state),
        }  # fmt: skip

    def open(self) -> dict[str, life.State]:
        """Tickets that are not part of another one, by id."""
        return {name: state for name, state in life.fold(self.log).items() if state.status != "merged"}

    def threads_of(self, cluster_id: str) -> list[str]:
        """The session of each member signal."""
        members = self.states[-1].members.filter(pl.col("cluster_id") == cluster_id)
        return self.detected.signals.join(members.select("signal_id"), on="signal_id", how="semi")[
            "thread_id"
        ].to_list()


def truth() -> dict:
    return json.loads((FIXTURES / "truth.json").read_text("utf-8"))


@cache
def lived() -> Replay:
    """The replay, made once for all tests."""
    detected = _detected()
    replay = Replay(detected)
    settings = section("discovery")
    embedder = WordLlamaEmbedder(settings["embedding"]["wordllama"])
    texts = signal_texts(detected.signals, settings["text"])
    vectors = dict(zip(texts, embedder.embed(list(texts.values())), strict=True))
    state, made = None, {}
    for day in detected.days[-DAYS:]:
        # The first day takes in everything before it, as a home does that starts with sessions at hand.
        state = advance(
            state, day, detected.signals, vectors, settings,
            embedding_model=space_of(embedder), newest=state, sessions=detected.tables["sessions"],
        )  # fmt: skip
        replay.states.append(state)
        frames = replay.frames(state)
        changed = clusters_to_refresh(frames["cluster_registry"], made)
        for cluster_id in sorted({*changed, *(ticket.cluster_id for ticket in replay.open().values())}):
            replay.log += tickets.decide(cluster_id, frames, replay.log, day).events
        made = dict(frames["cluster_registry"].select("cluster_id", "fingerprint").iter_rows())
    return replay


def _detected() -> Detected:
    by_day: dict[date, list] = {}
    for reference in discover([CodexHome("fixtures", FIXTURES / "codex_home")]):
        by_day.setdefault(locate(reference)[0].date(), []).append(reference)
    schema, judge = load_schema(), LocalJudge()
    parts: dict[str, list[pl.DataFrame]] = {}
    for day in sorted(by_day):
        made = build_day(day, by_day[day], TABLES["spines"].empty(), TABLES["events"].empty(), now=NOW)
        built = canon.everything.build(made.events, made.spines)
        tables = CanonTables(made.spines, made.events, built.sessions, built.turns, built.tool_calls)
        semantic, _ = judge_day(tables, schema, judge, NOW, section("judges"))
        found, _ = merge(detect(tables, schema, section("rules")), semantic, schema)
        seen = session_observability(tables, schema).filter(pl.col("observable")).select("thread_id", "category")
        for name, frame in (
            ("sessions", built.sessions), ("turns", built.turns), ("tool_calls", built.tool_calls),
            ("signals", found.with_columns(dt=pl.lit(day))), ("exposure", seen),
        ):  # fmt: skip
            parts.setdefault(name, []).append(frame)
    whole = {name: pl.concat(frames) for name, frames in parts.items()}
    signals, exposure = whole.pop("signals"), whole.pop("exposure")
    return Detected(whole, signals, exposure, sorted(by_day))
