"""A second look at the words: word and character n-grams, weighed by one regression per category.

Cues are what somebody thought of; n-grams are what the training sessions hold. Their log-odds are features of the message
beside the others (group `text`), so that the course of the session still decides. What belongs here: extracting n-grams
and applying weights. What does not: training (`signals/judges/train.py`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

_PACKED = r"[\u3040-\u30ff\u3400-\u9fff\uff66-\uff9f]+"
_TOKEN = re.compile(rf"{_PACKED}|[^\W\d_]+|[?!？！]+")
_IS_PACKED = re.compile(_PACKED)
_MARKS = str.maketrans("？！", "?!")
_START = "^"
_LONGEST_CHARACTERS = 4
_FEWEST = 8


def ngrams(prose: str) -> frozenset[str]:
    """Words and pairs of neighbouring words; in scripts that pack words, 1 to 4 characters.

    `^` stands for the beginning of the message. Repeated marks ("??!") count as two of the first.
    """
    found: set[str] = set()
    before = _START
    for token in _TOKEN.findall(prose.lower().replace("’", "'")):
        if _IS_PACKED.match(token):
            sizes = range(1, _LONGEST_CHARACTERS + 1)
            found.update(token[at : at + size] for size in sizes for at in range(len(token) - size + 1))
            if before == _START:
                found.add(_START + token[:2])
            before = ""
            continue
        word = token.translate(_MARKS)
        if word[0] in "?!":
            word = word[0] * min(2, len(word))
        found.update((word, f"{before} {word}"))
        before = word
    return frozenset(found)


def scale(found: frozenset[str]) -> float:
    """What each n-gram of a message counts: less in a long one. Very short ones are not blown up."""
    return 1 / math.sqrt(max(_FEWEST, len(found)))


@dataclass(frozen=True)
class NgramModel:
    """Per category a bias, and per n-gram the weights in the order of `categories`."""

    categories: tuple[str, ...]
    bias: tuple[float, ...]
    weights: Mapping[str, tuple[float, ...]]

    def features(self, prose: str) -> dict[str, float]:
        """`text.<category>` -> log-odds that the words alone show it."""
        found = ngrams(prose)
        totals = [0.0] * len(self.categories)
        for ngram in sorted(found & self.weights.keys()):
            for place, weight in enumerate(self.weights[ngram]):
                totals[place] += weight
        share = scale(found)
        return {
            f"text.{category}": bias + share * total
            for category, bias, total in zip(self.categories, self.bias, totals, strict=True)
        }

    def as_json(self) -> str:
        """One line per n-gram, so that a change of weights can be read in a diff."""
        head = json.dumps({"categories": self.categories, "bias": self.bias})
        rows = (f"{json.dumps(ngram, ensure_ascii=False)}: {list(row)}" for ngram, row in sorted(self.weights.items()))
        return head[:-1] + ', "weights": {\n' + ",\n".join(rows) + "\n}}\n"


def parse(text: str) -> NgramModel:
    """The model that `as_json` wrote."""
    content = json.loads(text)
    weights = {ngram: tuple(row) for ngram, row in content["weights"].items()}
    return NgramModel(tuple(content["categories"]), tuple(content["bias"]), weights)
