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

        `rows`: all live rows (to be told apart from); `facts`: members with cluster_id and description.
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
    """Class-based TF-IDF over the members' descriptions: words that are common here and rare in the other clusters."""

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
    import numpy as np
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

    result: dict[str, list[str]] = {}
    for type_ in sorted(set(types.values())):
        ids = sorted(key for key, value in types.items() if value == type_)
        texts = facts.filter(pl.col("type") == type_)
        groups = dict(
            texts.drop_nulls("cluster_id")
            .group_by("cluster_id")
            .agg(pl.col("description").sort_by("signal_id"))
            .iter_rows()
        )
        rest = texts.filter(pl.col("cluster_id").is_null())["description"].to_list()
        documents = ["\n".join(groups[key][: settings["texts_per_cluster"]]) for key in ids] + [
            "\n".join(rest[: settings["texts_per_cluster"]])
        ]
        stop = sorted(ENGLISH_STOP_WORDS | set(settings["stop_words"]))
        counter = CountVectorizer(
            ngram_range=(1, 2),
            stop_words=stop,
            token_pattern=settings["token_pattern"],
            max_features=settings["vocabulary"],
        )
        try:
            counts = counter.fit_transform(documents).toarray().astype(float)
        except ValueError:  # nothing but stop words
            result |= dict.fromkeys(ids, [])
            continue
        frequency = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        average = counts.sum() / max(len(documents), 1)
        weight = frequency * np.log1p(average / counts.sum(axis=0))
        names = counter.get_feature_names_out()
        for index, key in enumerate(ids):
            order = np.lexsort((np.arange(len(names)), -weight[index].round(9)))
            result[key] = _without_overlap(
                [names[term] for term in order[:60] if counts[index, term] > 0], settings["terms"]
            )
    return result


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
