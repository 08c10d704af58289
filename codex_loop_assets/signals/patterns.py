"""Lists of patterns from configuration as one compiled pattern. Case is ignored and `^` means the start of a line."""

from __future__ import annotations

import re
from collections.abc import Sequence


def any_of(patterns: Sequence[str]) -> re.Pattern[str]:
    """Matches where any of the patterns does."""
    return re.compile(alternatives(patterns), re.I | re.M)


def whole_words(patterns: Sequence[str]) -> re.Pattern[str]:
    """Matches where any of the patterns does as a whole word or words."""
    return re.compile(rf"\b(?:{alternatives(patterns)})\b", re.I | re.M)


def alternatives(patterns: Sequence[str]) -> str:
    """The patterns as the source of one, for engines that compile it themselves."""
    return "|".join(f"(?:{pattern})" for pattern in patterns)
