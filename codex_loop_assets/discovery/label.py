"""Names of clusters for people: telling terms and the most central text. (A model's names: see label_llm.)

What does not belong here: facts about clusters (profile).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import polars as pl

_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_CONTENT = re.compile(r"[\u30a1-\u30fa\u30fc\u3400-\u9fff]{2,}")
# Identifiers and file names with digits (test_42, v1) name one case, not a pattern.
_NUMBERED = re.compile(r"\d{2,}|_")


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
    """Class-based TF-IDF over what the members are about (words that are common here and rare in the other clusters),
    and the example that says most of it in a few words."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings

    def label(self, stale: Sequence[dict], rows: Sequence[dict], facts: pl.DataFrame) -> None:
        terms = telling_terms({row["cluster_id"]: row["type"] for row in rows}, facts, self._settings)
        texts = dict(facts.select("signal_id", "description").iter_rows())
        for row in stale:
            row["terms"] = terms[row["cluster_id"]]
            examples = [texts[key] for key in row["exemplar_ids"] if key in texts]
            row["label"] = readable_label(row["terms"], examples or [row["description"]], self._settings)
            row["label_from"] = "local"


def readable_label(terms: Sequence[str], examples: Sequence[str], settings: Mapping[str, Any]) -> str:
    """A few telling terms and, as terms alone tell little, what the example that holds most of them says."""
    shown = list(terms[: settings["terms_in_label"]])
    phrases = [_phrase(text, settings) for text in examples]
    best = max(phrases, key=lambda text: sum(term in text.lower() for term in shown))
    lead = " · ".join(shown) + ": " if shown else ""
    return lead + _short(best, max(20, settings["label_characters"] - len(lead)))


def _phrase(description: str, settings: Mapping[str, Any]) -> str:
    """What a description says, on one line, without what is said around it."""
    for rule in settings["phrases"]:
        description = re.sub(rule["pattern"], rule["replacement"], description)
    return " ".join(description.split()).strip(" ;,") or "no description"


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
    from sklearn.feature_extraction.text import CountVectorizer

    stop_words = _stop_words(tuple(settings["stop_word_languages"])) | set(settings["stop_words"])
    counter = CountVectorizer(
        analyzer=lambda text: term_candidates(text, stop_words, settings["token_pattern"]),
        max_features=settings["vocabulary"],
    )
    try:
        counts = counter.fit_transform(documents).toarray().astype(float)
    except ValueError:  # scikit-learn's answer to texts of nothing but stop words
        return [[] for _ in documents]
    frequency = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    weight = frequency * np.log1p(counts.sum() / len(documents) / counts.sum(axis=0))
    names = counter.get_feature_names_out()
    # A piece of a Chinese or Japanese word is as frequent as the word: the longer of the two says more.
    weight = (weight * np.array([len(name) if _UNSPACED.search(name) else 1 for name in names])).round(9)
    found = []
    for row in weight:
        order = np.lexsort((np.arange(len(names)), -row))[: 20 * settings["terms"]]
        found.append(_without_overlap([names[term] for term in order if row[term] > 0], settings["terms"]))
    return found


def term_candidates(text: str, stop_words: Collection[str], token_pattern: str) -> list[str]:
    """The words of a text that may name something, and pairs of them that stand together; of Chinese and Japanese,
    which put no space between words, two to four characters in a row (Japanese endings, in hiragana, are left out)."""
    terms: list[str] = []
    for line in text.lower().split("\n"):
        before = None
        for word in re.findall(token_pattern, line):
            if _UNSPACED.search(word):
                runs = _CONTENT.findall(word)
                terms += [
                    run[at : at + size] for run in runs for size in (2, 3, 4) for at in range(len(run) - size + 1)
                ]
                before = None
            elif word in stop_words or _NUMBERED.search(word):
                before = None
            else:
                terms += [word] if before is None else [word, f"{before} {word}"]
                before = word
    return terms


@lru_cache(maxsize=4)
def _stop_words(languages: tuple[str, ...]) -> frozenset[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
    from stop_words import get_stop_words

    words = {word for language in languages for word in get_stop_words(language)}
    return frozenset(part for word in words for part in word.lower().split()) | ENGLISH_STOP_WORDS


def _without_overlap(terms: Sequence[str], limit: int) -> list[str]:
    """The first terms none of which repeats a word of one before it."""
    chosen: list[str] = []
    used: set[str] = set()
    for term in terms:
        words = set(re.split(r"\s+", term))
        pieces = _UNSPACED.search(term) and any(term in other or set(term) & set(other) for other in chosen)
        if not words & used and not pieces:
            chosen.append(term)
            used |= words
    return chosen[:limit]


def _short(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    cut = text[: length - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut[length // 2 :] else cut).rstrip(" ,;:") + "…"
