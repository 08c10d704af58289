"""Proposals of categories for clusters that no category explains, and what became of them.

One open proposal per cluster; it keeps its id while the cluster stays what it was; a rejected one does not come back
until the cluster has become much larger. What does not belong here: deciding (governance), whether a cluster is
explained (explained), the examples (examples), the words (draft).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from codex_loop_assets.discovery.confidence import confidence_of
from codex_loop_assets.discovery.draft import WORDS, Drafter, TemplateDrafter, free_name
from codex_loop_assets.discovery.examples import Evidence, Spoken, gather
from codex_loop_assets.discovery.explained import Explanation, explain
from codex_loop_assets.discovery.found_again import FoundAgain, found_again
from codex_loop_assets.discovery.governance import decided_by, with_decisions
from codex_loop_assets.discovery.state import LIVE, WITHDRAWN, ClusterState
from codex_loop_assets.discovery.vectors import Vectors
from codex_loop_assets.discovery.view import VectorTable, View, look
from codex_loop_assets.settings import section
from codex_loop_assets.tables import TABLES

if TYPE_CHECKING:
    import numpy as np

OPEN, APPROVED, REJECTED, SUPERSEDED = "open", "approved", "rejected", "superseded"


def propose(
    state: ClusterState,
    signals: pl.DataFrame,
    vectors: VectorTable | Mapping[str, np.ndarray],
    categories: Mapping[str, Mapping[str, Any]],
    decisions: Sequence[Mapping[str, Any]],
    previous: pl.DataFrame | None,
    settings: Mapping[str, Any],
    *,
    requests: Mapping[str, str] | None = None,
    drafter: Drafter | None = None,
    detector: Mapping[str, Any] | None = None,
) -> Proposed:
    """The proposals of the state's day: earlier ones with what became of them, and new ones; and what waits.

    `signals`: as given to `cluster.advance`. `categories`: name -> fields of every category of the schema (status
    built_in, promoted or retired). `decisions`: the whole log; only those taken by the end of the day count.
    `previous`: the frame of the newest earlier day. `settings`: the `discovery` section. `requests`: thread_id -> opening
    request (text.opening_requests), which teaches a category to tell the request from the trouble. `detector`: how a
    promoted category is looked for (the table `promoted` of the section `local_judge`; the packaged one when absent).
    """
    earlier = TABLES["schema_proposals"].empty() if previous is None else previous
    earlier = with_decisions(earlier, decided_by(decisions, state.day))
    rows = {row["proposal_id"]: row | {"dt": state.day} for row in earlier.iter_rows(named=True)}
    vectors = Vectors.of(vectors) if isinstance(vectors, Mapping) else vectors
    live = state.clusters.filter(pl.col("status") == LIVE)
    # Where a team has a single repository, a pattern cannot be seen in two.
    widest = min(settings["proposals"]["minimum_repositories"], live["repository_count"].max() or 0)
    detector = detector or section("local_judge")["promoted"]
    wanted = {**settings["proposals"], "minimum_repositories": widest, "detector": detector}
    maker = _Maker(rows, categories, requests or {}, drafter or TemplateDrafter(wanted), wanted, [])
    for (type_,), clusters in live.group_by("type", maintain_order=True):
        scene = _scene(state, type_, signals, vectors, settings["clusters"])
        for cluster in clusters.iter_rows(named=True):
            maker.consider(cluster, scene)
    for row in rows.values():
        if row["status"] == OPEN and row["cluster_id"] not in live["cluster_id"]:
            row |= {"status": SUPERSEDED, "decision_reason": "its cluster has merged or dissolved"}
    waiting = [{"dt": state.day} | row for row in maker.waiting]
    return Proposed(TABLES["schema_proposals"].frame(list(rows.values())), TABLES["proposals_waiting"].frame(waiting))


def by_impact(proposals: pl.DataFrame) -> pl.DataFrame:
    """Rows of `schema_proposals`, those first that concern most sessions and can be trusted most."""
    impact = pl.col("session_count") * pl.col("confidence")
    return proposals.sort(impact, "proposal_id", descending=[True, False])


@dataclass(frozen=True)
class Proposed:
    """`frame`: rows of `schema_proposals`. `waiting`: rows of `proposals_waiting`, the patterns that no category explains and
    that lack something before they are proposed."""

    frame: pl.DataFrame
    waiting: pl.DataFrame


@dataclass(frozen=True)
class _Scene:
    """One type's signals: all of them as `known` (without their texts, and with the cluster as `owner`), and what is
    looked at (`view`, its words `spoken`)."""

    known: pl.DataFrame
    view: View
    spoken: Spoken

    def own(self, cluster_id: str) -> pl.DataFrame:
        """The signals of a cluster."""
        return self.known.filter(pl.col("owner") == cluster_id)

    def seen(self, cluster_id: str) -> list[str]:
        """Ids of those members of a cluster that are looked at."""
        return self.view.members.filter(pl.col("cluster_id") == cluster_id)["signal_id"].to_list()


def _scene(
    state: ClusterState, type_: str, signals: pl.DataFrame, vectors: VectorTable, settings: Mapping[str, Any]
) -> _Scene:
    members = state.members.filter(pl.col("type") == type_, pl.col("via").ne_missing(WITHDRAWN))
    view = look(members.sort("signal_id"), vectors, state.day, settings)
    owners = members.select("signal_id", owner="cluster_id")
    known = signals.select("signal_id", "thread_id", "category").join(owners, on="signal_id").sort("signal_id")
    return _Scene(known, view, Spoken.of(signals.join(view.members, on="signal_id", how="semi")))


@dataclass(frozen=True)
class _Maker:
    """Brings the proposals (`rows`, by id) of one cluster after another up to date."""

    rows: dict[str, dict]
    categories: Mapping[str, Mapping[str, Any]]
    requests: Mapping[str, str]
    drafter: Drafter
    settings: Mapping[str, Any]
    waiting: list[dict]

    def consider(self, cluster: Mapping[str, Any], scene: _Scene) -> None:
        """Keep, supersede or open the cluster's proposal."""
        settings, own, seen = self.settings, scene.own(cluster["cluster_id"]), scene.seen(cluster["cluster_id"])
        if len(seen) < 2:
            return
        specific = frozenset(name for name, fields in self.categories.items() if fields["status"] == "promoted")
        looked_at = Vectors(scene.view.members["signal_id"], scene.view.matrix)
        explanation = explain(own, scene.known, looked_at, specific, settings)
        mine = [row for row in self.rows.values() if row["cluster_id"] == cluster["cluster_id"]]
        open_row = next((row for row in mine if row["status"] == OPEN), None)
        if explanation.explained:
            if open_row:
                open_row |= {"status": SUPERSEDED, "decision_reason": explanation.reason}
            return
        rejected_at = max((row["sample_count"] for row in mine if row["status"] == REJECTED), default=0)
        approved = any(row["status"] == APPROVED for row in mine)
        if not open_row and (approved or own.height < rejected_at * settings["return_growth"]):
            return
        if not open_row and (missing := _missing(cluster, own, len(scene.spoken.own(seen)), settings)):
            self.waiting.append({"cluster_id": cluster["cluster_id"], **missing})
            return
        evidence = gather(own, scene.view, scene.spoken, self.requests, settings)
        again = found_again(*_texts_of(evidence), settings["detector"])
        facts = self._facts(cluster, own, explanation, evidence, again)
        if not open_row and (missing := _unproven(facts, evidence, again, settings)):
            self.waiting.append({"cluster_id": cluster["cluster_id"], **missing})
            return
        if open_row and _still_holds(open_row, own):
            open_row |= facts
            return
        if open_row:
            open_row |= {"status": SUPERSEDED, "decision_reason": "most of what it was made from has left the cluster"}
        self._open(cluster, facts, evidence)

    def _facts(
        self,
        cluster: Mapping[str, Any],
        own: pl.DataFrame,
        explanation: Explanation,
        evidence: Evidence,
        again: FoundAgain,
    ) -> dict[str, Any]:
        confidence, reasons = confidence_of(cluster, evidence.backtest, again, self.settings)
        return {
            "positives": json.dumps(evidence.positives, ensure_ascii=False),
            "hard_negatives": json.dumps(evidence.hard_negatives, ensure_ascii=False),
            "overlap": json.dumps(explanation.overlap),
            "backtest": json.dumps(evidence.backtest.as_dict()),
            "sample_count": own.height,
            "session_count": own["thread_id"].n_unique(),
            "confidence": confidence,
            "confidence_reasons": [explanation.reason, *reasons],
        }

    def _open(self, cluster: Mapping[str, Any], facts: dict[str, Any], evidence: Evidence) -> None:
        words = self.drafter.draft(cluster, *_texts_of(evidence))
        if words is None:
            self.waiting.append({"cluster_id": cluster["cluster_id"], "lacks": "words", "need": 1, "have": 0})
            return
        in_use = {row["name"] for row in self.rows.values() if row["status"] in (OPEN, APPROVED)}
        proposal_id = _proposal_id(cluster["cluster_id"], evidence)
        self.rows[proposal_id] = {
            "dt": cluster["dt"],
            "proposal_id": proposal_id,
            "cluster_id": cluster["cluster_id"],
            "type": cluster["type"],
            "status": OPEN,
            **{name: words[name] for name in WORDS},
            "name": free_name(words["name"], set(self.categories) | in_use),
            **facts,
        }


def _missing(
    cluster: Mapping[str, Any], own: pl.DataFrame, own_words: int, settings: Mapping[str, Any]
) -> dict[str, Any] | None:
    """What a cluster lacks before it is worth a person's time; None when nothing. `own_words`: different texts in people's
    own words: a category is looked for in what people write, so it is learnt from what people wrote."""
    facts = {
        "samples": own.height,
        "sessions": own["thread_id"].n_unique(),
        "repositories": cluster["repository_count"],
        "own_words": own_words,
    }
    return _short_of(facts, settings)


def _unproven(
    facts: Mapping[str, Any], evidence: Evidence, again: FoundAgain, settings: Mapping[str, Any]
) -> dict[str, Any] | None:
    known = {"f1": evidence.backtest.f1, "found_again": again.found, "confidence": facts["confidence"]}
    return _short_of(known, settings)


def _texts_of(evidence: Evidence) -> tuple[list[str], list[str]]:
    """The texts of the positives and of the hard negatives."""
    return [item["text"] for item in evidence.positives], [item["text"] for item in evidence.hard_negatives]


def _short_of(facts: Mapping[str, float], settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The first fact below its minimum: lacks, need, have."""
    rows = ({"lacks": name, "need": settings[f"minimum_{name}"], "have": have} for name, have in facts.items())
    return next((row for row in rows if row["have"] < row["need"]), None)


def _still_holds(row: Mapping[str, Any], own: pl.DataFrame) -> bool:
    """Whether at least half of the positives that a proposal shows are still members of its cluster."""
    shown = [item["signal_id"] for item in json.loads(row["positives"])]
    members = set(own["signal_id"])
    return sum(key in members for key in shown) * 2 >= len(shown)


def _proposal_id(cluster_id: str, evidence: Evidence) -> str:
    substance = [cluster_id, *sorted(item["signal_id"] for item in evidence.positives)]
    return "proposal_" + hashlib.sha256("\n".join(substance).encode()).hexdigest()[:12]
