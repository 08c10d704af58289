"""The regex baseline: a score of expressions on the user's message, nothing else.

It is what a judge must beat to be worth its keep, and is run to be compared with. Its expressions also stand for
themselves where the local judge is no better (`local/shipping`), and are among its features.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from codex_loop_assets import settings as configuration
from codex_loop_assets.signals.judges.base import Finding, JudgeResult, Transcript
from codex_loop_assets.signals.schema import SignalSchema


class Expressions:
    """Regular expressions by category. `rows` are the `patterns` of the section `regex_baseline`."""

    def __init__(self, rows: Sequence[Mapping[str, str]]):
        self._patterns: dict[str, list[re.Pattern[str]]] = {}
        for row in rows:
            self._patterns.setdefault(row["category"], []).append(re.compile(row["pattern"], re.IGNORECASE))

    def find(self, text: str) -> dict[str, str]:
        """The words that first match, by category; categories without a match are left out."""
        found: dict[str, str] = {}
        for category, patterns in self._patterns.items():
            matches = (pattern.search(text) for pattern in patterns)
            words = next((match.group(0) for match in matches if match and match.group(0).strip()), None)
            if words is not None:
                found[category] = words
        return found


class RegexBaseline:
    """Implements `Judge`. `settings` is the section `regex_baseline`."""

    name = "regex_baseline"
    version = "1"

    def __init__(self, settings: Mapping[str, Any] | None = None):
        self._expressions = Expressions(
            (settings if settings is not None else configuration.section("regex_baseline"))["patterns"]
        )

    def judge(self, transcript: Transcript, schema: SignalSchema) -> JudgeResult:
        """A finding wherever an expression matches."""
        wanted = schema.semantic()
        findings = [
            Finding(turn.run, turn.seq_start, category, 2, 0.5, f"An expression for {category} matches", words)
            for turn in transcript.spoken_turns
            for category, words in self._expressions.find(turn.user_message).items()
            if category in wanted
        ]
        return JudgeResult("judged", tuple(findings))
