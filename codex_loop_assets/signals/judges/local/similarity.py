"""How much two messages of a session say the same: by characters, by pasted lines, by names and numbers.

Characters work in every language, also in those written without spaces, where word embeddings of small models do not.
What does not belong here: what a likeness means (`features`).
"""

from __future__ import annotations

import re

_SPACES = re.compile(r"[\W_]+")
_NAME = re.compile(r"[A-Za-z_][\w./-]*[_./\d-][\w./-]*|\d[\d.,:]*|[A-Z][a-z]+[A-Z]\w*|[A-Z]{2,}\w*")
_WORD = re.compile(r"[^\W\d_]{4,}|[\u4e00-\u9fff\u30a0-\u30ff]{2}")
_NUMBERS = re.compile(r"\d+")


def grams(text: str, size: int = 3) -> frozenset[str]:
    """Character n-grams of the text, case, punctuation and white space aside (bigrams where a script packs words)."""
    folded = _SPACES.sub(" ", text.lower()).strip()
    if re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", folded):
        size = 2
    return frozenset(folded[start : start + size] for start in range(max(0, len(folded) - size + 1)))


def dice(left: frozenset[str], right: frozenset[str]) -> float:
    """Dice likeness of two sets, 0 to 1; 0 where either is empty."""
    return 2 * len(left & right) / (len(left) + len(right)) if left and right else 0.0


def same_numbers(left: str, right: str) -> bool:
    """Whether two texts hold the same numbers: "step 2" and "step 3" are alike, but not the same request."""
    return frozenset(_NUMBERS.findall(left)) == frozenset(_NUMBERS.findall(right))


def containment(part: frozenset[str], whole: frozenset[str]) -> float:
    """Share of `part` that is in `whole`; 0 where `part` is empty."""
    return len(part & whole) / len(part) if part else 0.0


def pasted_lines(pasted: str) -> frozenset[str]:
    """The telling lines of pasted text, numbers folded so that times and line numbers do not hide a repetition."""
    folded = (_NUMBERS.sub("0", line.strip()) for line in pasted.splitlines())
    return frozenset(line for line in folded if len(line) >= 12)


def names(text: str) -> frozenset[str]:
    """Identifiers, file names and numbers that the text mentions."""
    return frozenset(found.lower().strip(".,:") for found in _NAME.findall(text))


def words(text: str) -> frozenset[str]:
    """Content words (4 letters and more, cut to 6 to fold endings; pairs of characters in Chinese and Japanese)."""
    return frozenset(found.lower()[:6] for found in _WORD.findall(text))
