"""Words of a message, in any script: what is counted, compared and looked at for how a message opens."""

from __future__ import annotations

import re

# Chinese and Japanese are written without spaces: a whole sentence would count as one word.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_RUN = re.compile(rf"[{_UNSPACED}]+|[^\W{_UNSPACED}]+")
_UNSPACED_RUN = re.compile(rf"[{_UNSPACED}]")


def words(text: str) -> list[str]:
    """Words in lower case, in order; of text without spaces, its overlapping pairs of characters."""
    found = []
    for run in _RUN.findall(text.lower()):
        if len(run) > 2 and _UNSPACED_RUN.match(run):
            found += [run[place : place + 2] for place in range(len(run) - 1)]
        else:
            found.append(run)
    return found


def opens(text: list[str], openings: list[str]) -> bool:
    """Whether words begin with one of the openings."""
    return any(text[: len(opening)] == opening for opening in map(words, openings) if opening)
