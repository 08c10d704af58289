"""Lists of patterns from configuration as one compiled pattern. Case is ignored and `^` means the start of a line.

`matching` looks through many texts at once with Polars' engine, which is some fifty times as fast as Python's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import polars as pl

# A piece of a pattern's source: an escape, a class, the opening of a look-around, a counted repetition of ten or more.
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<around>\(\?<?[=!])|\{(?P<least>\d+),\d\d+\}|.", re.S)


def any_of(patterns: Sequence[str]) -> re.Pattern[str]:
    """Matches where any of the patterns does."""
    return re.compile(alternatives(patterns), re.I | re.M)


def whole_words(patterns: Sequence[str]) -> re.Pattern[str]:
    """Matches where any of the patterns does as a whole word or words."""
    return re.compile(rf"\b(?:{alternatives(patterns)})\b", re.I | re.M)


def alternatives(patterns: Sequence[str]) -> str:
    """The patterns as the source of one, for engines that compile it themselves."""
    return "|".join(f"(?:{pattern})" for pattern in patterns)


def matching(texts: pl.Series, *patterns: re.Pattern[str]) -> list[pl.Series]:
    """Of each pattern, which of the texts it is found in; a null holds nothing.

    Polars' engine sorts out what cannot match; where the pattern had to be widened for it, Python has the last word.
    """
    column = pl.Series("text", texts)
    try:
        found = _searched(column, patterns)
    except pl.exceptions.ComputeError:
        return [_confirmed(column, column.is_not_null(), pattern) for pattern in patterns]
    return [
        may if _columnar(pattern)[1] or not may.any() else _confirmed(column, may, pattern)
        for may, pattern in zip(found, patterns, strict=True)
    ]


def perhaps_matching(texts: pl.Series, *patterns: re.Pattern[str]) -> list[pl.Series]:
    """The same without the last word: some texts more, for a caller that looks at each of them anyhow."""
    try:
        return _searched(texts, patterns)
    except pl.exceptions.ComputeError:
        return [texts.is_not_null() for _ in patterns]


def _searched(texts: pl.Series, patterns: Sequence[re.Pattern[str]]) -> list[pl.Series]:
    searches = (pl.col(texts.name).str.contains(_columnar(pattern)[0]).fill_null(False) for pattern in patterns)
    return texts.to_frame().select(search.alias(str(place)) for place, search in enumerate(searches)).get_columns()


def _confirmed(texts: pl.Series, may: pl.Series, pattern: re.Pattern[str]) -> pl.Series:
    rows = may.arg_true()
    found = [pattern.search(text) is not None for text in texts.gather(rows)]
    return may.scatter(rows, pl.Series(found, dtype=pl.Boolean))


@lru_cache(maxsize=256)
def _columnar(pattern: re.Pattern[str]) -> tuple[str, bool]:
    """(source for Polars' engine, whether it matches the same texts, or else more)."""
    flags = "".join(letter for letter, flag in (("i", re.I), ("m", re.M), ("s", re.S)) if pattern.flags & flag)
    widened = _widened(pattern.pattern)
    return (f"(?{flags})" if flags else "") + widened, widened == pattern.pattern


def _widened(source: str) -> str:
    """The source of a pattern without what that engine has not (look-around), or is slow at: word boundaries in text
    beyond ASCII, and long counted repetitions."""
    kept, depth = [], 0
    for token in _TOKEN.finditer(source):
        text = token[0]
        if depth:
            depth += text.startswith("(") - (text == ")")
        elif token["around"]:
            depth = 1
        elif token["least"]:
            kept.append(f"{{{token['least']},}}")
        elif text not in (r"\b", r"\B"):
            kept.append(text)
    return "".join(kept)
