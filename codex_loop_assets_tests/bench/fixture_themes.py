"""The fixtures' signals, made by the product's own stages, with the planted theme of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.metrics import adjusted_rand_score

from codex_loop_assets import canon
from codex_loop_assets.discovery.cluster import advance
from codex_loop_assets.discovery.embed import WordLlamaEmbedder, space_of
from codex_loop_assets.discovery.state import ClusterState
from codex_loop_assets.discovery.text import signal_texts
from codex_loop_assets.settings import section
from codex_loop_assets.signals.judges.local import LocalJudge
from codex_loop_assets.signals.judges.run import judge_day
from codex_loop_assets.signals.merge import merge
from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.signals.rules import detect
from codex_loop_assets.signals.schema import load_schema
from codex_loop_assets.tables import TABLES
from codex_loop_assets.traces.day import build_day
from codex_loop_assets.traces.discover import discover, locate
from codex_loop_assets.traces.homes import CodexHome

FIXTURES = Path(__file__).parents[2] / "fixtures"
NOW = datetime(2026, 3, 24, tzinfo=UTC)


@dataclass(frozen=True)
class FixtureThemes:
    """`final`: signal_id -> the theme it belongs to at the end, for signals of planted themes that have one."""

    signals: pl.DataFrame
    sessions: pl.DataFrame
    vectors: dict[str, np.ndarray]
    final: dict[str, str]
    space: str

    @classmethod
    def read(cls) -> FixtureThemes:
        """Detect without a key, embed with the local model, and look the themes up in the truth file."""
        signals, sessions = _detected()
        settings = section("discovery")
        embedder = WordLlamaEmbedder(settings["embedding"]["wordllama"])
        texts = signal_texts(signals, settings["text"])
        vectors = dict(zip(texts, embedder.embed(list(texts.values())), strict=True))
        return cls(signals, sessions, vectors, _final_themes(signals), space_of(embedder))

    def walk(self) -> Iterator[ClusterState]:
        """The state of each day, from the first to the last with signals."""
        state = None
        for number in range((self.signals["dt"].max() - self.signals["dt"].min()).days + 1):
            state = self.step(state, self.signals["dt"].min() + timedelta(days=number))
            yield state

    def found(self, state: ClusterState) -> list[tuple[str, str]]:
        """The theme of each planted signal and the cluster that it is in; one in none is alone."""
        clusters = dict(state.members.select("signal_id", "cluster_id").iter_rows())
        return [(theme, clusters.get(key) or key) for key, theme in self.final.items()]

    def score(self, state: ClusterState) -> float:
        """Adjusted Rand index of the state's clusters against the planted themes."""
        pairs = self.found(state)
        return adjusted_rand_score([theme for theme, _ in pairs], [cluster for _, cluster in pairs])

    def step(self, state: ClusterState | None, day: date) -> ClusterState:
        """The state of one more day."""
        settings = section("discovery")
        return advance(
            state,
            day,
            self.signals,
            self.vectors,
            settings,
            embedding_model=self.space,
            newest=state,
            sessions=self.sessions,
        )


def unexplained_moves(before: ClusterState, after: ClusterState) -> float:
    """Share of members with another cluster than the day before that no merge or split of the day explains."""
    ended = after.events.filter(pl.col("kind") == "merge")["cluster_id"]
    parted = after.events.filter(pl.col("kind") == "split")["other_id"]
    both = before.members.drop_nulls("cluster_id").join(after.members, on="signal_id")
    moved = both.filter(pl.col("cluster_id") != pl.col("cluster_id_right").fill_null(""))
    return moved.filter(~pl.col("cluster_id").is_in([*ended, *parted])).height / both.height


def _detected() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Signals (with dt) and sessions of all days."""
    by_day: dict[date, list] = {}
    for reference in discover([CodexHome("fixtures", FIXTURES / "codex_home")]):
        by_day.setdefault(locate(reference)[0].date(), []).append(reference)
    schema, judge = load_schema(), LocalJudge()
    found, sessions = [], []
    for day in sorted(by_day):
        made = build_day(day, by_day[day], TABLES["spines"].empty(), TABLES["events"].empty(), now=NOW)
        turns, calls = canon.turns.build(made.events, made.spines), canon.tool_calls.build(made.events, made.spines)
        tables = CanonTables(
            made.spines, made.events, canon.sessions.build(made.events, made.spines, turns, calls), turns, calls
        )
        semantic, _ = judge_day(tables, schema, judge, NOW, section("judges"))
        merged, _ = merge(detect(tables, schema, section("rules")), semantic, schema)
        found.append(merged.with_columns(dt=pl.lit(day)))
        sessions.append(tables.sessions)
    return pl.concat(found), pl.concat(sessions)


def _final_themes(signals: pl.DataFrame) -> dict[str, str]:
    """By the records that the truth file names for each member of a theme."""
    themes = json.loads((FIXTURES / "truth.json").read_text("utf-8"))["themes"]
    places = {
        (member["thread_id"], member["run"], seq): theme["final"]
        for theme in themes
        for member in theme["members"]
        for seq in (member["seq_start"], *member.get("also_seq", []))
    }
    friction = signals.filter(pl.col("type") == "friction")
    keys = friction.select("signal_id", "thread_id", "run", "seq_start").iter_rows()
    return {key: theme for key, *place in keys if (theme := places.get(tuple(place)))}
