"""Categories that people promoted: found by likeness to their positives, with a threshold learnt from the examples.

No weights were trained for them, so each is a nearest-example detector: a message shows the category when it is as
like a positive as the positives are like one another, more than any hard negative is, and nearer to a positive than to
a hard negative. All messages are looked at. What does not belong here: the built-in categories (`decision`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from codex_loop_assets.signals.judges.local import similarity
from codex_loop_assets.signals.judges.local.embedding import embed

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Examples:
    """Texts with their vectors and character n-grams."""

    texts: tuple[str, ...]
    vectors: np.ndarray
    grams: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Examples:
        kept = tuple(text for text in texts if text.strip())
        return cls(kept, embed(kept), tuple(similarity.grams(text) for text in kept))

    def likeness(self, other: Examples) -> np.ndarray:
        """Likeness of each text here to each text there, 0 to 1: the better of word vectors and characters.

        Word vectors of the small local model know next to no Chinese or Japanese; characters do.
        """
        import numpy as np

        characters = [[similarity.dice(left, right) for right in other.grams] for left in self.grams]
        shape = (len(self.texts), len(other.texts))
        return np.maximum(self.vectors @ other.vectors.T, np.array(characters, dtype=np.float32).reshape(shape))


@dataclass(frozen=True)
class PromotedDetector:
    """A promoted category as learnt from its examples. `precision` is the share of right answers on them, smoothed."""

    positives: Examples
    negatives: Examples
    threshold: float
    precision: float

    def confidences(self, messages: Examples) -> list[float | None]:
        """Confidence per message, None where the category is not shown."""
        if not messages.texts or not self.positives.texts:
            return [None] * len(messages.texts)
        near = messages.likeness(self.positives).max(axis=1)
        far = messages.likeness(self.negatives).max(axis=1) if self.negatives.texts else near * 0.0
        shown = (near >= self.threshold) & (near > far)
        return [self.precision if found else None for found in shown]


def learn(positives: Sequence[str], hard_negatives: Sequence[str], settings: Mapping[str, Any]) -> PromotedDetector:
    """The detector of a category; `settings` is the table `promoted` of the section `local_judge`.

    The threshold is the one with the best F1 when each positive is judged by the others and each hard negative by all,
    never below the configured floor: unlike examples must not teach that everything is alike.
    """
    good, bad = Examples.of(positives), Examples.of(hard_negatives)
    if len(good.texts) < 2:
        return PromotedDetector(good, bad, settings["threshold_alone"], settings["confidence_alone"])
    inside = _without_self(good.likeness(good))
    outside = bad.likeness(good).max(axis=1) if bad.texts else inside[:0]
    candidates = sorted({settings["floor"], *(float(value) for value in inside if value > settings["floor"])})
    threshold = max(candidates, key=lambda limit: (_f1(inside, outside, limit), limit))
    hits, wrong = int((inside >= threshold).sum()), int((outside >= threshold).sum())
    return PromotedDetector(good, bad, threshold, (hits + 1) / (hits + wrong + 2))


def _without_self(likeness: np.ndarray) -> np.ndarray:
    import numpy as np

    others = likeness.copy()
    np.fill_diagonal(others, -1.0)
    return others.max(axis=1)


def _f1(inside: np.ndarray, outside: np.ndarray, threshold: float) -> float:
    hits, wrong = int((inside >= threshold).sum()), int((outside >= threshold).sum())
    return 2 * hits / (len(inside) + hits + wrong) if hits else 0.0
