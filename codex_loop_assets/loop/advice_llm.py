"""Advice by a model, held to the same rules as the templates: it may point to facts, never state them itself.

What belongs here: the question, and what of the answer may stand. What does not: buying the answer (`discovery.ask`),
the templates that stand in for it (`advice`).

The model writes sentences with placeholders, and the placeholders are filled from the evidence. So it cannot invent a
number or a quotation: a sentence with digits of its own, or with an unknown placeholder, is thrown away.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from codex_loop_assets.discovery.ask import Asker
from codex_loop_assets.loop.advice import PLACE, Advice, Suggestion, filled, objections
from codex_loop_assets.loop.evidence import Fact
from codex_loop_assets.loop.excerpt import escape, excerpt

PROMPT = "ticket_advice"


class Sentences(BaseModel):
    """What the model answers."""

    sentences: list[str] = Field(description="One to three sentences with placeholders, the most useful first.")


def suggest(
    asker: Asker,
    cluster: Mapping[str, Any],
    examples: Sequence[str],
    facts: Mapping[str, Fact],
    claim_id: Callable[[Fact], str],
    settings: Mapping,
) -> Advice | None:
    """The model's advice, or None where it gave none that may stand. `examples` are redacted descriptions of
    signals."""
    question = {
        "problem": excerpt(cluster["description"], None, 400),
        "category": cluster["top_category"],
        "examples": list(examples),
        "facts": {
            name: {"value": fact.value, "count": fact.count, "total": fact.total, "sessions": fact.sessions}
            for name, fact in facts.items()
        },
    }
    answer = asker.ask(PROMPT, question, Sentences)
    sentences = answer.sentences[: settings["evidence"]["suggestions"]] if answer else []
    suggestions = tuple(_suggestion(text, facts, claim_id) for text in sentences if _may_stand(text, facts))
    advice = Advice(suggestions, asker.name)
    return None if objections(advice, settings) else advice


def _may_stand(text: str, facts: Mapping[str, Fact]) -> bool:
    places = PLACE.findall(text)
    own_words = PLACE.sub("", text)
    known = all(name in facts for name, _ in places)
    shown = any(not part for _, part in places) and any(part == "count" for _, part in places)
    return known and shown and not re.search(r"[\d{}`\"“”«»]", own_words)


def _suggestion(text: str, facts: Mapping[str, Fact], claim_id: Callable[[Fact], str]) -> Suggestion:
    places = PLACE.findall(text)
    claims = tuple(dict.fromkeys(claim_id(facts[name]) for name, part in places if part))
    pieces, position = [], 0
    for match in PLACE.finditer(text):
        pieces += [_words(text[position : match.start()]), match[0]]
        position = match.end()
    safe = "".join([*pieces, _words(text[position:])])
    return Suggestion(
        filled(safe, facts), tuple(facts[name] for name in dict.fromkeys(name for name, _ in places)), claims
    )


def _words(text: str) -> str:
    """Escaped words that keep the spaces at their ends, which separate them from the placeholders."""
    left, right = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return f"{left and ' '}{escape(text)}{right and ' '}" if text.strip() else (" " if text else "")
