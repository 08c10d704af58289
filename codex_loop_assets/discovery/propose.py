"""Proposals of categories for clusters that no category explains.

One open proposal per cluster; it keeps its id while the cluster stays what it was; a rejected one does not come back
until the cluster has become much larger. What does not belong here: deciding (governance), and whether a cluster is
explained (explained).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from codex_loop_assets.discovery.backtest import Backtest, backtest
from codex_loop_assets.discovery.explained import NOVEL, Explanation, explain
from codex_loop_assets.discovery.governance import decided_by, with_decisions
from codex_loop_assets.discovery.state import LIVE, ClusterState
from codex_loop_assets.tables import TABLES

if TYPE_CHECKING:
    import numpy as np

OPEN, SUPERSEDED, REJECTED = "open", "superseded", "rejected"


class Drafter(Protocol):
    """Words a proposal."""

    def draft(
        self, cluster: Mapping[str, Any], positives: Sequence[str], hard_negatives: Sequence[str]
    ) -> dict[str, Any]:
        """name, definition, inclusion_criteria, exclusion_criteria, severity_rule, recommended_action."""


def propose(
    state: ClusterState,
    signals: pl.DataFrame,
    vectors: Mapping[str, np.ndarray],
    categories: Mapping[str, Mapping[str, Any]],
    decisions: Sequence[Mapping[str, Any]],
    previous: pl.DataFrame | None,
    settings: Mapping[str, Any],
    drafter: Drafter | None = None,
) -> pl.DataFrame:
    """The `schema_proposals` frame of the state's day: earlier proposals with what became of them, and new ones.

    `signals`: as given to `cluster.advance`. `categories`: name -> fields of every category of the schema (status
    built_in, promoted or retired). `decisions`: the whole log; only those taken by the end of the day count.
    `previous`: the frame of the newest earlier day. `settings`: the `proposals` table.
    """
    earlier = (
        with_decisions(previous, decided_by(decisions, state.day))
        if previous is not None
        else TABLES["schema_proposals"].empty()
    )
    specific = frozenset(name for name, fields in categories.items() if fields["status"] == "promoted")
    members = state.members.drop_nulls("cluster_id").select("signal_id", "cluster_id")
    known = signals.join(state.members.select("signal_id"), on="signal_id", how="semi").sort("signal_id")
    rows = {row["proposal_id"]: row | {"dt": state.day} for row in earlier.iter_rows(named=True)}
    live = {row["cluster_id"]: row for row in state.clusters.filter(pl.col("status") == LIVE).iter_rows(named=True)}
    for cluster_id, cluster in live.items():
        everyone = known.filter(pl.col("type") == cluster["type"])
        own = everyone.join(members.filter(pl.col("cluster_id") == cluster_id), on="signal_id", how="semi")
        if own.height < settings["minimum_samples"] or own["thread_id"].n_unique() < settings["minimum_sessions"]:
            continue
        explanation = explain(own, everyone, vectors, specific, settings)
        if not explanation.explained:
            _consider(
                rows,
                cluster,
                own,
                everyone,
                vectors,
                explanation,
                categories,
                settings,
                drafter or TemplateDrafter(settings),
            )
        else:
            _supersede(rows, cluster_id, explanation.reason)
    for row in rows.values():
        if row["status"] == OPEN and row["cluster_id"] not in live:
            row |= {"status": SUPERSEDED, "decision_reason": "its cluster has merged or dissolved"}
    return TABLES["schema_proposals"].frame(list(rows.values()))


def _consider(rows, cluster, own, everyone, vectors, explanation, categories, settings, drafter) -> None:
    """Bring the cluster's open proposal up to date, or open one, unless it was decided and nothing much has changed."""
    of_cluster = [row for row in rows.values() if row["cluster_id"] == cluster["cluster_id"]]
    open_rows = [row for row in of_cluster if row["status"] == OPEN]
    rejected = max((row["sample_count"] for row in of_cluster if row["status"] == REJECTED), default=0)
    if any(row["status"] == "approved" for row in of_cluster):
        return
    if not open_rows and own.height < rejected * settings["return_growth"]:
        return
    evidence = _evidence(cluster, own, everyone, vectors, settings)
    facts = _facts(cluster, own, explanation, evidence, settings)
    ids = set(own["signal_id"])
    for row in open_rows:
        positives = [item["signal_id"] for item in json.loads(row["positives"])]
        if sum(key in ids for key in positives) * 2 >= len(positives):
            row |= facts | {"positives": row["positives"], "hard_negatives": row["hard_negatives"]}
            return
        row |= {"status": SUPERSEDED, "decision_reason": "most of what it was made from has left the cluster"}
    taken = set(categories) | {row["name"] for row in rows.values() if row["status"] in (OPEN, "approved")}
    positives, negatives = (
        [item["text"] for item in json.loads(facts[key])] for key in ("positives", "hard_negatives")
    )
    words = drafter.draft(cluster, positives, negatives)
    words["name"] = free_name(words["name"], taken)
    proposal_id = _proposal_id(cluster["cluster_id"], facts["positives"])
    fixed = {
        "dt": cluster["dt"],
        "proposal_id": proposal_id,
        "cluster_id": cluster["cluster_id"],
        "type": cluster["type"],
        "status": OPEN,
    }
    rows[proposal_id] = fixed | words | facts


def _supersede(rows, cluster_id, reason) -> None:
    for row in rows.values():
        if row["cluster_id"] == cluster_id and row["status"] == OPEN:
            row |= {"status": SUPERSEDED, "decision_reason": reason}


def _proposal_id(cluster_id: str, positives: str) -> str:
    substance = [cluster_id, *sorted(item["signal_id"] for item in json.loads(positives))]
    return "proposal_" + hashlib.sha256("\n".join(substance).encode()).hexdigest()[:12]


def _evidence(cluster, own, everyone, vectors, settings) -> tuple[list[dict], list[dict], Backtest]:
    """Positives (spread from the centre outwards), hard negatives (nearest outsiders), and the back-test."""
    import numpy as np

    inside = [key for key in own["signal_id"] if key in vectors]
    outside = [key for key in everyone["signal_id"] if key in vectors and key not in set(inside)]
    matrix = np.stack([vectors[key] for key in inside])
    others = np.stack([vectors[key] for key in outside]) if outside else np.empty((0, matrix.shape[1]), np.float32)
    centre = matrix.mean(axis=0)
    texts = {
        row["signal_id"]: spoken_text(row)
        for row in everyone.select("signal_id", "description", "evidence").iter_rows(named=True)
    }
    order = [inside[index] for index in np.argsort(-(matrix @ centre).round(6), kind="stable")]
    near = [outside[index] for index in np.argsort(-(others @ centre).round(6), kind="stable")]
    positives = _spread(_distinct(order, texts), settings["positives"])
    spoken = {texts[key] for key in positives}
    negatives = [key for key in _distinct(near, texts) if texts[key] not in spoken][: settings["hard_negatives"]]
    listed = [[{"signal_id": key, "text": texts[key]} for key in keys] for keys in (positives, negatives)]
    return listed[0], listed[1], backtest(matrix, others)


def spoken_text(signal: Mapping[str, Any]) -> str:
    """The words behind a signal, as a detector would meet them: the first quotation of its evidence, else its
    description."""
    quotes = [item["quote"] for item in json.loads(signal["evidence"]) if item.get("quote")]
    return quotes[0] if quotes else signal["description"]


def _distinct(ids: Sequence[str], texts: Mapping[str, str]) -> list[str]:
    first: dict[str, str] = {}
    for key in ids:
        first.setdefault(texts[key], key)
    return list(first.values())


def _spread(ids: Sequence[str], limit: int) -> list[str]:
    """`limit` of the ids at even steps, the first included: only the most central ones would teach too narrow a
    threshold."""
    if len(ids) <= limit:
        return list(ids)
    return [ids[index * len(ids) // limit] for index in range(limit)]


def _facts(cluster, own, explanation: Explanation, evidence, settings) -> dict[str, Any]:
    positives, negatives, test = evidence
    confidence, reasons = confidence_of(cluster, test, settings)
    return {
        "positives": json.dumps(positives, ensure_ascii=False),
        "hard_negatives": json.dumps(negatives, ensure_ascii=False),
        "overlap": json.dumps(explanation.overlap),
        "backtest": json.dumps(test.as_dict()),
        "sample_count": own.height,
        "session_count": own["thread_id"].n_unique(),
        "confidence": confidence,
        "confidence_reasons": [explanation.reason, *reasons],
    }


def confidence_of(cluster: Mapping[str, Any], test: Backtest, settings: Mapping[str, Any]) -> tuple[float, list[str]]:
    """0 to 1 and why: the weighted mean of how well it separates, how tight it is, and how widely and how long it was
    seen."""
    parts = {
        "separation": (
            test.f1,
            f"a detector learnt from it scores F1 {test.f1:.2f} on history ({test.others_found} of {test.others} others found)",
        ),
        "cohesion": (
            min(1.0, max(0.0, cluster["cohesion"])),
            f"mean similarity to its centre {cluster['cohesion']:.2f}",
        ),
        "samples": (min(1.0, cluster["size"] / settings["enough_samples"]), f"{cluster['size']} signals"),
        "sessions": (
            min(1.0, cluster["session_count"] / settings["enough_sessions"]),
            f"{cluster['session_count']} sessions",
        ),
        "age": (
            min(1.0, (cluster["dt"] - cluster["born"]).days / settings["enough_days"]),
            f"{(cluster['dt'] - cluster['born']).days} days old",
        ),
    }
    weights = settings["weights"]
    confidence = sum(weights[name] * value for name, (value, _) in parts.items()) / sum(weights[name] for name in parts)
    return round(confidence, 3), [words for _, words in parts.values()]


def free_name(name: str, taken: set[str]) -> str:
    """A valid category name that is not taken, from any words."""
    base = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:48]
    base = base if re.match(r"[a-z]", base) and base != NOVEL else f"pattern_{base}".rstrip("_")
    candidates = [base, *(f"{base}_{number}" for number in range(2, len(taken) + 3))]
    return next(candidate for candidate in candidates if candidate not in taken)


class TemplateDrafter:
    """Words from the cluster's own facts, without a model."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings

    def draft(
        self, cluster: Mapping[str, Any], positives: Sequence[str], hard_negatives: Sequence[str]
    ) -> dict[str, Any]:
        terms = cluster["terms"] or ["pattern"]
        words = {
            "label": cluster["label"],
            "terms": ", ".join(terms),
            "example": positives[0] if positives else cluster["description"],
        }
        texts = self._settings["template"]
        return {
            "name": "_".join(terms[: self._settings["terms_in_name"]]),
            "definition": texts["definition"].format(**words),
            "inclusion_criteria": [
                texts["inclusion"].format(**words),
                *(texts["like"].format(text=text) for text in positives[:3]),
            ],
            "exclusion_criteria": [texts["unlike"].format(text=text) for text in hard_negatives[:3]],
            "severity_rule": texts["severity"].format(severity=round(cluster["severity"])),
            "recommended_action": cluster["action"],
        }
