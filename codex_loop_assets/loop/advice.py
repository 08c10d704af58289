"""Suggested approaches: what to change, said with the facts of the evidence, and objections to advice without them.

What belongs here: choosing and filling sentences and titles, and rejecting generic ones. What does not: finding facts
(`evidence`), the sentences themselves (`config/tickets.toml`: `approach`, `title`, `generic`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from codex_loop_assets.loop.evidence import Fact
from codex_loop_assets.loop.excerpt import code

LONGEST_TITLE = 110
PLACE = re.compile(r"\{(\w+)(?:\.(count|total|sessions))?\}")
# The line of output and the quotation a rule took from it say the same, and so do a message and the piece of it that many share.
_SUBJECT = {"error": "message", "phrase": "complaint"}
_SEMANTIC = frozenset(
    {
        "repeated_rephrasing",
        "escalation_tone",
        "platform_confusion",
        "correction",
        "backtracking",
        "abandoned_task",
        "novel",
    }
)


@dataclass(frozen=True)
class Suggestion:
    """One sentence of advice (Markdown) with the facts it rests on and the claims that prove its numbers."""

    text: str
    facts: tuple[Fact, ...]
    claim_ids: tuple[str, ...]


@dataclass(frozen=True)
class Advice:
    """What a ticket suggests, most specific first, and who wrote it (`templates` or a model's name)."""

    suggestions: tuple[Suggestion, ...]
    written_by: str

    @property
    def claim_ids(self) -> tuple[str, ...]:
        return tuple(claim_id for suggestion in self.suggestions for claim_id in suggestion.claim_ids)


def suggest(
    category: str | None, facts: Mapping[str, Fact], claim_id: Callable[[Fact], str], settings: Mapping
) -> Advice:
    """Sentences for a category whose every placeholder the facts fill, at most `evidence.suggestions` of them; those that fit any
    category only where none of its own does.

    `claim_id` gives the claim that proves a fact's count. Without any fitting sentence the advice is empty, and the
    checker rejects it: no advice is better than advice that would fit any ticket.
    """
    approaches = settings["approach"]
    own = approaches.get(category or "", [])
    general = approaches["semantic"] if category in _SEMANTIC else []
    fitting = _filled_in([*own, *general], facts, claim_id) or _filled_in(approaches["any"], facts, claim_id)
    return Advice(tuple(fitting[: settings["evidence"]["suggestions"]]), "templates")


def _filled_in(
    templates: Iterable[str], facts: Mapping[str, Fact], claim_id: Callable[[Fact], str]
) -> list[Suggestion]:
    """Those of the templates whose every placeholder the facts fill."""
    chosen: list[Suggestion] = []
    used: set[str] = set()
    for template in templates:
        names = [name for name, _ in PLACE.findall(template)]
        # One sentence per subject: a later template about it says what to do where an earlier one cannot be filled.
        subject = _SUBJECT.get(names[0], names[0])
        if subject in used or not all(name in facts for name in names):
            continue
        used.add(subject)
        stated = tuple(facts[name] for name in dict.fromkeys(names))
        claims = tuple(
            dict.fromkeys(claim_id(facts[name]) for name, part in PLACE.findall(template) if part == "count")
        )
        chosen.append(Suggestion(filled(template, facts), stated, claims))
    return chosen


def title(
    category: str | None, facts: Mapping[str, Fact], label: str, called_after: str | None, settings: Mapping
) -> str:
    """A title with the facts in it (plain text), or the cluster's label where no template fits.

    `called_after` names the fact that makes the pattern one problem: a template with it, of the category or of the
    fact itself, comes before all others, and of those the first that need not be cut.
    """
    own, named = settings["title"].get(category or "", []), settings["title"]["after"].get(called_after or "", [])
    with_it = [template for template in own if f"{{{called_after}}}" in template]
    for templates in (with_it, named, own):
        fitting = [t for t in templates if all(name in facts for name, _ in PLACE.findall(t))]
        names = [filled(template, facts, shown=str) for template in fitting]
        if names:
            return next((name for name in names if len(name) <= LONGEST_TITLE), names[0])
    return label


def filled(template: str, facts: Mapping[str, Fact], shown: Callable[[str], str] = code) -> str:
    """A template with every placeholder replaced by the fact's value (as `shown`, by default a code span) or number."""

    def fill(match: re.Match) -> str:
        fact, part = facts[match[1]], match[2]
        return str(getattr(fact, part)) if part else shown(fact.value)

    return PLACE.sub(fill, template)


def objections(advice: Advice, settings: Mapping) -> list[str]:
    """Why this advice must not be published: nothing suggested, a sentence without a fact of the evidence in it, a
    sentence without a claim, or words that would fit any ticket."""
    if not advice.suggestions:
        return ["nothing specific to the evidence can be suggested"]
    found = []
    for suggestion in advice.suggestions:
        if not any(code(fact.value) in suggestion.text for fact in suggestion.facts):
            found.append(f"no fact of the evidence in: {suggestion.text}")
        if not suggestion.claim_ids:
            found.append(f"no claim behind: {suggestion.text}")
        found += [
            f"generic words ({match[0]!r}) in: {suggestion.text}"
            for pattern in settings["generic"]["phrases"]
            if (match := re.search(pattern, suggestion.text))
        ]
    return found
