"""What is said about a finding: the quotation that shows it, and one English line for a reader without the session.

What does not belong here: redaction (done by the caller of the judge) and any decision.
"""

from __future__ import annotations

from collections.abc import Sequence

from codex_loop_assets.signals.judges.local.cues import Cues
from codex_loop_assets.signals.judges.local.features import Read

_TELLING = {
    "repeated_rephrasing": ("persistence", "failure", "reminder"),
    "escalation_tone": ("tone", "reminder", "accuse"),
    "platform_confusion": ("tool",),
    "correction": ("contrast", "accuse", "prohibition", "reminder"),
    "backtracking": ("undo",),
    "abandoned_task": ("giveup",),
    "positive_feedback": ("praise", "thanks"),
    "time_saved": ("time", "praise"),
}
_LEADS = {
    "repeated_rephrasing": "The user asks again for what the agent's answer did not deliver",
    "escalation_tone": "The user is frustrated with the agent",
    "platform_confusion": "The user is surprised by what the agent can, may or does not do",
    "correction": "The user corrects what the agent did or assumed",
    "backtracking": "The user wants the agent's changes undone",
    "abandoned_task": "The user gives up on the task or takes it over",
    "positive_feedback": "The user is pleased with the result",
    "time_saved": "The user says that the agent saved time or effort",
}


def quotation(category: str, item: Read, cues: Cues, limit: int) -> str:
    """A verbatim part of the message, at most `limit` characters: the line with most cues of the category.

    Where the person wrote nothing but pasted text, its first line.
    """
    lines = item.message.lines or tuple(line for line in item.turn.user_message.splitlines() if line.strip())[-1:]
    groups = _TELLING.get(category, ())
    scores = [sum(cues.count(line, item.language)[group] for group in groups) for line in lines]
    best = lines[scores.index(max(scores))].strip()
    return best if len(best) <= limit else best[:limit].rsplit(" ", 1)[0]


def description(category: str, item: Read, quote: str, read: Sequence[Read], repeats: int, limit: int) -> str:
    """One line: what the user shows, in what words, and what the session was about."""
    lead = _LEADS.get(category, f"The user shows {category.replace('_', ' ')}")
    if item.message.template and not item.message.prose:
        return "The user runs the same stored prompt again, without arguments"
    if category == "repeated_rephrasing" and repeats:
        lead = f"{lead}, {repeats + 1} times in a row"
    elif category == "repeated_rephrasing" and item.message.pasted_lines:
        lead = "The user pastes the error again after the agent's fix"
    line = f'{lead}: "{_short(quote, limit)}"'
    task = _task(read)
    return line if task is None or task is item else f'{line} (task: "{_short(_first_line(task), limit)}")'


def _task(read: Sequence[Read]) -> Read | None:
    return next((item for item in read if len(item.message.prose) >= 15), None)


def _first_line(item: Read) -> str:
    return next((line for line in item.message.lines if line.strip()), item.message.prose)


def _short(text: str, limit: int) -> str:
    folded = " ".join(text.split()).replace('"', "'")
    return folded if len(folded) <= limit else folded[: limit - 1].rstrip() + "…"
