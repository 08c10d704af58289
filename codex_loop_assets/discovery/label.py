"""Names of clusters for people: telling terms and the most central text. (A model's names: see label_llm.)

What does not belong here: facts about clusters (profile).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import polars as pl


class Labeller(Protocol):
    """Names clusters."""

    def label(self, stale: Sequence[dict], rows: Sequence[dict], facts: pl.DataFrame) -> None:
        """Set `label`, `label_from` and `terms` of each of the `stale` rows of `clusters`.

        `rows`: all live rows (to be told apart from); `facts`: members with type, cluster_id, signal_id, description
        and substance.
        """


def needs_label(before: Mapping[str, Any], now: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether the name is out of date: after a merge or split, or when the size changed a lot since the last naming.

    The size at the last naming is not kept; sizes are compared in steps of a fixed ratio, so that a name changes only
    when the size passes from one step to the next.
    """
    import math

    def step(size: int) -> int:
        return int(math.log(max(size, 1)) / math.log(1 + settings["relabel_growth"]) + 1e-9)

    return before["parent_ids"] != now["parent_ids"] or step(before["size"]) != step(now["size"])


class LocalLabeller:
    """Class-based TF-IDF over what the members are about: words that are common here and rare in the other clusters."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings

    def label(self, stale: Sequence[dict], rows: Sequence[dict], facts: pl.DataFrame) -> None:
        terms = telling_terms({row["cluster_id"]: row["type"] for row in rows}, facts, self._settings)
        for row in stale:
            row["terms"] = terms[row["cluster_id"]]
            shown = row["terms"][: self._settings["terms_in_label"]]
            row["label"] = " · ".join(shown) if shown else _short(row["description"])
            row["label_from"] = "local"


def telling_terms(types: Mapping[str, str], facts: pl.DataFrame, settings: Mapping[str, Any]) -> dict[str, list[str]]:
    """cluster_id -> its most telling terms, against the other clusters and the unclustered signals of the type."""
    result: dict[str, list[str]] = {}
    for type_ in sorted(set(types.values())):
        ids = sorted(key for key, value in types.items() if value == type_)
        texts = facts.filter(pl.col("type") == type_).sort("signal_id")
        groups = dict(texts.group_by("cluster_id").agg("substance").iter_rows())
        documents = ["\n".join(groups.get(key, [])[: settings["texts_per_cluster"]]) for key in [*ids, None]]
        result |= dict(zip(ids, _weighted_terms(documents, settings), strict=False))
    return result


def _weighted_terms(documents: Sequence[str], settings: Mapping[str, Any]) -> list[list[str]]:
    """For each document its terms by class-based TF-IDF: frequency here times log(1 + mean size / frequency
    everywhere)."""
    import numpy as np
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

    counter = CountVectorizer(
        ngram_range=(1, 2),
        stop_words=sorted(ENGLISH_STOP_WORDS | set(settings["stop_words"])),
        token_pattern=settings["token_pattern"],
        max_features=settings["vocabulary"],
    )
    try:
        counts = counter.fit_transform(documents).toarray().astype(float)
    except ValueError:  # scikit-learn's answer to texts of nothing but stop words
        return [[] for _ in documents]
    frequency = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    weight = (frequency * np.log1p(counts.sum() / len(documents) / counts.sum(axis=0))).round(9)
    names = counter.get_feature_names_out()
    found = []
    for row in weight:
        order = np.lexsort((np.arange(len(names)), -row))[: 10 * settings["terms"]]
        found.append(_without_overlap([names[term] for term in order if row[term] > 0], settings["terms"]))
    return found


def _without_overlap(terms: Sequence[str], limit: int) -> list[str]:
    """The first terms none of which repeats a word of one before it."""
    chosen: list[str] = []
    used: set[str] = set()
    for term in terms:
        words = set(re.split(r"\s+", term))
        if not words & used:
            chosen.append(term)
            used |= words
    return chosen[:limit]


def _short(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
