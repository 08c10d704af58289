"""The fixtures' signals, made by the product's own stages, with the planted theme of each."""

from __future__ import annotations

import json
from collections import Counter
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
from codex_loop_assets.discovery.governance import category_of
from codex_loop_assets.discovery.propose import by_impact, propose
from codex_loop_assets.discovery.state import ClusterState
from codex_loop_assets.discovery.text import opening_requests, signal_texts
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

BUILT_IN = {"status": "built_in"}
FIXTURES = Path(__file__).parents[2] / "fixtures"
NOW = datetime(2026, 3, 24, tzinfo=UTC)


@dataclass(frozen=True)
class Promoted:
    """What promoted categories found on later days, strictly by theme: messages found, those of the category's theme
    (and how many of these no detector had flagged), and messages of the themes that there were to find (and unflagged
    ones)."""

    found: int
    right: int
    right_unflagged: int
    wanted: int
    wanted_unflagged: int


@dataclass(frozen=True)
class FixtureThemes:
    """`days`: what was said on each day. `final`: signal_id -> the theme it belongs to at the end, for signals of planted
    themes that have one. `spoken`: the same for people's messages, by thread, run and seq."""

    days: dict[date, CanonTables]
    signals: pl.DataFrame
    sessions: pl.DataFrame
    vectors: dict[str, np.ndarray]
    final: dict[str, str]
    spoken: dict[tuple[str, int, int], str]
    space: str

    @classmethod
    def read(cls, root: Path = FIXTURES) -> FixtureThemes:
        """Detect without a key, embed with the local model, and look the themes up in the truth file."""
        days, signals = _detected(root)
        sessions = pl.concat([tables.sessions for tables in days.values()])
        settings = section("discovery")
        embedder = WordLlamaEmbedder(settings["embedding"]["wordllama"])
        texts = signal_texts(signals, settings["text"])
        vectors = dict(zip(texts, embedder.embed(list(texts.values())), strict=True))
        final, spoken = _final_themes(root, signals)
        return cls(days, signals, sessions, vectors, final, spoken, space_of(embedder))

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

    def promote(self, state: ClusterState) -> dict[str, dict]:
        """The theme of each proposal of the state's day that is mostly of one theme -> the category, as if approved."""
        settings = section("discovery")
        before = [tables.turns for day, tables in self.days.items() if day <= state.day]
        signals = self.signals.filter(pl.col("dt") <= state.day)
        categories = dict.fromkeys(signals["category"].unique(), BUILT_IN)
        asked = opening_requests(pl.concat(before), settings["text"])
        made = propose(state, signals, self.vectors, categories, [], None, settings, requests=asked).frame
        members = dict(state.members.group_by("cluster_id").agg("signal_id").iter_rows())
        promoted: dict[str, dict] = {}
        for row in by_impact(made).iter_rows(named=True):
            themes = Counter(self.final.get(key) for key in members[row["cluster_id"]])
            theme, count = themes.most_common(1)[0]
            if theme and count * 2 >= themes.total():
                promoted.setdefault(theme, category_of(row))
        return promoted

    def found_later(self, state: ClusterState, promoted: dict[str, dict]) -> Promoted:
        """What the categories find after the state's day, in all messages."""
        approvals = [
            {"kind": "approve", "category": fields, "category_name": fields["name"]} for fields in promoted.values()
        ]
        schema, judge = load_schema(approvals), LocalJudge()
        later = [tables for day, tables in self.days.items() if day > state.day]
        findings = pl.concat([judge_day(tables, schema, judge, NOW, section("judges"))[0] for tables in later])
        theme_of = {fields["name"]: theme for theme, fields in promoted.items()}
        findings = findings.filter(pl.col("category").is_in(list(theme_of)))
        flagged = set(self.signals.select("thread_id", "run", "seq_start").iter_rows())
        hits = findings.select("category", "thread_id", "run", "seq_start").iter_rows()
        pairs = [(theme_of[category], tuple(place)) for category, *place in hits]
        right = [place for theme, place in pairs if self.spoken.get(place) == theme]
        there = {
            (turn["thread_id"], turn["run"], turn["seq_start"])
            for tables in later
            for turn in tables.turns.filter("human").iter_rows(named=True)
        }
        wanted = [place for place in there if self.spoken.get(place) in promoted]
        unflagged = [sum(place not in flagged for place in places) for places in (right, wanted)]
        return Promoted(len(pairs), len(right), unflagged[0], len(wanted), unflagged[1])

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


def _detected(root: Path) -> tuple[dict[date, CanonTables], pl.DataFrame]:
    """The tables of each day, and the signals (with dt) of all."""
    by_day: dict[date, list] = {}
    for reference in discover([CodexHome("fixtures", root / "codex_home")]):
        by_day.setdefault(locate(reference)[0].date(), []).append(reference)
    schema, judge = load_schema(), LocalJudge()
    found, days = [], {}
    for day in sorted(by_day):
        made = build_day(day, by_day[day], TABLES["spines"].empty(), TABLES["events"].empty(), now=NOW)
        turns, calls = canon.turns.build(made.events, made.spines), canon.tool_calls.build(made.events, made.spines)
        tables = CanonTables(
            made.spines, made.events, canon.sessions.build(made.events, made.spines, turns, calls), turns, calls
        )
        semantic, _ = judge_day(tables, schema, judge, NOW, section("judges"))
        merged, _ = merge(detect(tables, schema, section("rules")), semantic, schema)
        found.append(merged.with_columns(dt=pl.lit(day)))
        days[day] = tables
    return days, pl.concat(found)


def _final_themes(root: Path, signals: pl.DataFrame) -> tuple[dict[str, str], dict[tuple[str, int, int], str]]:
    """By the records that the truth file names for each member of a theme: of signals, and of messages."""
    places, spoken = {}, {}
    for theme in json.loads((root / "truth.json").read_text("utf-8"))["themes"]:
        for member in theme["members"]:
            records = {member["seq_start"], *member.get("also_seq", [])}
            places |= {(member["thread_id"], member["run"], seq): theme["final"] for seq in records}
            if member.get("category") != "exec_failure":
                records.add(member["turn_seq_start"])
                spoken |= {(member["thread_id"], member["run"], seq): theme["final"] for seq in records}
    friction = signals.filter(pl.col("type") == "friction")
    keys = friction.select("signal_id", "thread_id", "run", "seq_start").iter_rows()
    return {key: theme for key, *place in keys if (theme := places.get(tuple(place)))}, spoken
