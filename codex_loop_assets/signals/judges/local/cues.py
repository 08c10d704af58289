"""Cues: groups of regular expressions per language, counted in a message's prose.

What belongs here: compiling and counting. What does not: the expressions (config/local_judge.toml) and their weight.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

GROUPS = (
    "persistence", "failure", "success", "praise", "thanks", "time", "accuse", "contrast", "prohibition", "reminder",
    "undo", "giveup", "tone", "tool", "request", "question", "wait", "self_correction", "expected",
)  # fmt: skip
"""Cue groups of the user's words, in feature order."""

AGENT_GROUPS = (
    "claim", "asks", "adds", "fixes", "alters", "cannot", "platform", "admits", "reverses", "diagnoses", "glad",
    "stops",
)  # fmt: skip
"""Cue groups of the agent's words, in feature order."""

_SPACELESS = ("zh", "ja")


class Cues:
    """Counts the cues of the user's words. Cues of English count in every language: people mix it in."""

    def __init__(self, patterns: Mapping[str, Mapping[str, Sequence[str]]]):
        self._compiled = {
            language: {group: _compile(groups[group], language) for group in GROUPS}
            for language, groups in patterns.items()
        }

    def count(self, prose: str, language: str) -> dict[str, int]:
        """Matches per group, at most 3 each: a fourth says nothing that the third did not."""
        own = self._compiled.get(language, self._compiled["en"])
        counts = {group: len(own[group].findall(prose)) for group in GROUPS}
        if language in _SPACELESS:
            english = self._compiled["en"]
            counts = {group: found + len(english[group].findall(prose)) for group, found in counts.items()}
        return {group: min(3, found) for group, found in counts.items()}

    def first(self, prose: str, language: str, group: str) -> str:
        """The first words that match the group, or ''."""
        match = self._compiled.get(language, self._compiled["en"])[group].search(prose)
        return match.group(0) if match else ""


class AgentCues:
    """Tells what the agent's words show, whatever their language.

    Only the beginning counts (and the end, for a question back): what the agent admits, undoes or explains it says
    first, and a long report holds every cue by chance.
    """

    def __init__(self, patterns: Mapping[str, Sequence[str]], head_characters: int):
        self._compiled = {group: re.compile("|".join(patterns[group]), re.IGNORECASE) for group in AGENT_GROUPS}
        self._head = head_characters

    def find(self, text: str) -> dict[str, float]:
        """1.0 per group that matches, else 0.0."""
        head, tail = text[: self._head], text[-self._head :]
        return {
            group: float(bool(pattern.search(tail if group == "asks" else head)))
            for group, pattern in self._compiled.items()
        }


def _compile(patterns: Sequence[str], language: str) -> re.Pattern[str]:
    if language in _SPACELESS:
        return re.compile("|".join(patterns), re.IGNORECASE)
    bounded = [pattern if pattern.startswith("^") else rf"\b(?:{pattern})(?!\w)" for pattern in patterns]
    return re.compile("|".join(bounded), re.IGNORECASE | re.MULTILINE)
