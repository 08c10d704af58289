"""How severe a moment is, 1 mild to 3 strong, from how it is said and how often it has been said.

What does not belong here: whether it is a moment at all (`decision`).
"""

from __future__ import annotations

from collections.abc import Mapping

from codex_loop_assets.signals.judges.local.features import Read


def severity(category: str, item: Read, values: Mapping[str, float], repeats: int) -> int:
    """Severity of the category at this message; `repeats` counts how often the same was reported directly before."""
    loud = values["form.strong_marks"] + values["form.shouts"] + values["form.angry_sign"] > 0
    cues = item.cues
    if category == "repeated_rephrasing":
        return min(3, 1 + min(1, repeats) + int(repeats >= 2 and (loud or cues["tone"] > 0)))
    if category == "escalation_tone":
        return 3 if loud and cues["tone"] else 2
    if category == "backtracking":
        return 3 if loud else 2
    if category == "positive_feedback":
        return min(3, max(1, cues["praise"] + int(values["form.exclaims"])))
    # Of a correction neither its tone nor what the agent admits tells how severe readers find it: it is clear.
    return 2
