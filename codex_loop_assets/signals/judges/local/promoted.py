"""Categories that people promoted: found by likeness to their positives, with a threshold learnt from the examples.

No weights were trained for them, so each is a nearest-example detector with a second witness: a message shows the
category when it is like a positive and uses the words that tell the positives from the hard negatives, so much so that
the two together lie well above what any hard negative reaches, and when it is nearer to a positive than to a hard
negative. All messages are looked at. What does not belong here: the built-in categories (`decision`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from codex_loop_assets.signals.judges.local import similarity
from codex_loop_assets.signals.judges.local.embedding import embed

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Examples:
    """Texts with their vectors, character n-grams and words."""

    texts: tuple[str, ...]
    vectors: np.ndarray
    grams: tuple[frozenset[str], ...]
    words: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Examples:
        kept = tuple(text for text in texts if text.strip())
        grams = tuple(similarity.grams(text) for text in kept)
        return cls(kept, embed(kept), grams, tuple(_words(text) for text in kept))

    def likeness(self, other: Examples) -> np.ndarray:
        """Likeness of each text here to each text there, 0 to 1: the better of word vectors and characters.

        Word vectors of the small local model know next to no Chinese or Japanese; characters do.
        """
        import numpy as np

        characters = [[similarity.dice(left, right) for right in other.grams] for left in self.grams]
        shape = (len(self.texts), len(other.texts))
        return np.maximum(self.vectors @ other.vectors.T, np.array(characters, dtype=np.float32).reshape(shape))

    def only(self, kept: Sequence[int]) -> Examples:
        """The texts at these places."""
        parts = (tuple(part[place] for place in kept) for part in (self.texts, self.grams, self.words))
        texts, grams, words = parts
        return Examples(texts, self.vectors[list(kept)], grams, words)


@dataclass(frozen=True)
class Telling:
    """Words that several positives share and few hard negatives have: word -> weight; `usual` is the weight that a
    typical positive carries (0: there are no such words)."""

    weights: Mapping[str, float]
    usual: float

    @classmethod
    def of(cls, positives: Sequence[frozenset[str]], negatives: Sequence[frozenset[str]]) -> Telling:
        import statistics

        here, there = Counter(_flat(positives)), Counter(_flat(negatives))
        weights = {}
        for word in sorted(word for word, count in here.items() if count > 1):
            share, elsewhere = here[word] / len(positives), (there[word] + 0.5) / (len(negatives) + 1)
            weights[word] = max(0.0, math.log(share / elsewhere)) * share
        carried = [sum(weights.get(word, 0.0) for word in words) for words in positives]
        return cls(weights, statistics.median(carried) if carried else 0.0)

    def strength(self, words: frozenset[str]) -> float:
        """0 to 1: how much of what a typical positive carries is among the words."""
        return min(1.0, sum(self.weights.get(word, 0.0) for word in words) / self.usual)


@dataclass(frozen=True)
class PromotedDetector:
    """A promoted category as learnt from its examples. `precision` is the share of right answers on them, smoothed;
    `likeness_weight` the share of likeness in a score, the rest is the words'."""

    positives: Examples
    negatives: Examples
    telling: Telling
    likeness_weight: float
    threshold: float
    precision: float

    def confidences(self, messages: Examples) -> list[float | None]:
        """Confidence per message, None where the category is not shown."""
        if not messages.texts or not self.positives.texts:
            return [None] * len(messages.texts)
        near = messages.likeness(self.positives).max(axis=1)
        far = messages.likeness(self.negatives).max(axis=1) if self.negatives.texts else near * 0.0
        shown = (_scores(near, messages.words, self.telling, self.likeness_weight) >= self.threshold) & (near > far)
        return [self.precision if found else None for found in shown]


def learn(positives: Sequence[str], hard_negatives: Sequence[str], settings: Mapping[str, Any]) -> PromotedDetector:
    """The detector of a category; `settings` is the table `promoted` of the section `local_judge`.

    Each positive is scored by the others, each hard negative by all. The threshold lies between the best hard negative
    and what most positives reach, `margin` of the way up: too little is found rather than too much, for people look at
    what is found. It is never below the floor: unlike examples must not teach that everything is alike.
    """
    import numpy as np

    good, bad = _kin(Examples.of(list(dict.fromkeys(positives))), settings["outlier"]), Examples.of(hard_negatives)
    telling, weight = Telling.of(good.words, bad.words), settings["likeness_weight"]
    if len(good.texts) < 2:
        return PromotedDetector(good, bad, telling, 1.0, settings["threshold_alone"], settings["confidence_alone"])
    inside = _without_self(good, bad, weight)
    near = bad.likeness(good).max(axis=1) if bad.texts else inside[:0]
    outside = _scores(near, bad.words, telling, weight)
    reached, best = float(np.quantile(inside, settings["reached_by_all_but"])), float(outside.max(initial=0.0))
    threshold = max(settings["floor"], best + settings["margin"] * max(0.0, reached - best))
    hits, wrong = int((inside >= threshold).sum()), int((outside >= threshold).sum())
    return PromotedDetector(good, bad, telling, weight, threshold, (hits + 1) / (hits + wrong + 2))


def _kin(examples: Examples, outlier: float) -> Examples:
    """The examples without those that are like few others: one stray member would make its neighbours the category."""
    import numpy as np

    if len(examples.texts) <= 3:
        return examples
    likeness = examples.likeness(examples)
    mean = (likeness.sum(axis=1) - np.diag(likeness)) / (len(examples.texts) - 1)
    kept = np.flatnonzero(mean >= outlier).tolist()
    return examples.only(kept) if len(kept) > 1 else examples


def _without_self(good: Examples, bad: Examples, weight: float) -> np.ndarray:
    """The score of each positive by the other ones."""
    import numpy as np

    likeness = good.likeness(good)
    np.fill_diagonal(likeness, -1.0)
    near = likeness.max(axis=1)
    scores = []
    for place, words in enumerate(good.words):
        others = Telling.of([*good.words[:place], *good.words[place + 1 :]], bad.words)
        scores.append(_scores(near[place : place + 1], [words], others, weight)[0])
    return np.array(scores)


def _scores(near: np.ndarray, words: Sequence[frozenset[str]], telling: Telling, weight: float) -> np.ndarray:
    """Likeness and the strength of the telling words, weighed; likeness alone where no words are telling."""
    import numpy as np

    if not telling.usual:
        return near
    strength = np.array([telling.strength(found) for found in words], dtype=float)
    return weight * near + (1 - weight) * strength


def _words(text: str) -> frozenset[str]:
    """Content words and names; bare numbers tell no category."""
    return similarity.words(text) | frozenset(name for name in similarity.names(text) if not name.isdigit())


def _flat(documents: Sequence[frozenset[str]]) -> list[str]:
    return [word for words in documents for word in words]
