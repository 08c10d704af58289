"""The regex baseline: a score of expressions on the user's message, nothing else.

It is what a judge must beat to be worth its keep, and is run only to be compared with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from codex_loop_assets import settings as configuration
from codex_loop_assets.signals.judges.base import Finding, JudgeResult, Transcript
from codex_loop_assets.signals.schema import SignalSchema


class RegexBaseline:
    """Implements `Judge`. `settings` is the section `regex_baseline`."""

    name = "regex_baseline"
    version = "1"

    def __init__(self, settings: Mapping[str, Any] | None = None):
        rows = (settings if settings is not None else configuration.section("regex_baseline"))["patterns"]
        self._patterns = [(row["category"], re.compile(row["pattern"], re.IGNORECASE)) for row in rows]

    def judge(self, transcript: Transcript, schema: SignalSchema) -> JudgeResult:
        """A finding wherever an expression matches."""
        findings = [
            Finding(turn.run, turn.seq_start, category, 2, 0.5, f"An expression for {category} matches", match.group(0))
            for turn in transcript.spoken_turns
            for category, pattern in self._patterns
            if category in schema.semantic() and (match := pattern.search(turn.user_message)) and match.group(0).strip()
        ]
        return JudgeResult("judged", tuple(findings))
