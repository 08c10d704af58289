"""The "model": what it answers to a question about a transcript. Deterministic, so that two ways of asking agree."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

Model = Callable[[Mapping], dict]

FACETS = {
    "intent": "bug_fix",
    "languages": ["Python"],
    "frameworks": ["pytest"],
    "outcome": "done",
    "abstract": "The person wanted a failing test fixed.",
}


def phrase_model(phrases: Mapping[str, str]) -> Model:
    """A model that finds category `phrases[p]` in every message of a person that holds `p`, if asked about it."""

    def answer(body: Mapping) -> dict:
        categories = asked_categories(body)
        findings = [
            finding(turn["turn"], category, phrase)
            for turn in transcript_turns(body)
            for phrase, category in phrases.items()
            if category in categories and phrase in turn.get("user", "")
        ]
        return {"findings": findings, "facets": FACETS if wants_facets(body) else None}

    return answer


def finding(turn: str, category: str, quote: str, **changes: object) -> dict:
    """One finding as the schema wants it."""
    base = {
        "turn": turn,
        "category": category,
        "type": "friction",
        "severity": 2,
        "confidence": "high",
        "quote": quote,
        "description": f"The person said so about {category}.",
    }
    return base | changes


def transcript_turns(body: Mapping) -> list[dict]:
    """The turns in the question's data block, as a model would read them."""
    text = "\n".join(part["text"] for part in body["input"][0]["content"])
    blocks = re.findall(r"^<<<TRANSCRIPT\n(.*?)\nTRANSCRIPT>>>$", text, re.DOTALL | re.MULTILINE)
    return [json.loads(line) for block in blocks for line in block.split("\n")]


def asked_categories(body: Mapping) -> list[str]:
    return _schema(body)["$defs"]["AnsweredFinding"]["properties"]["category"]["enum"]


def wants_facets(body: Mapping) -> bool:
    return _schema(body)["properties"]["facets"] != {"type": "null"}


def _schema(body: Mapping) -> dict:
    return body["text"]["format"]["schema"]
