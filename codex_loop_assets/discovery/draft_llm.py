"""The words of a proposal by a model, from its examples; the local words where it gives none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from codex_loop_assets.discovery.ask import Asker
from codex_loop_assets.discovery.draft import Drafter
from codex_loop_assets.signals.redaction import redact

# Most criteria of a kind, and most characters of one text: what a person reads, and what a prompt carries later.
_CRITERIA, _CHARACTERS = 8, 400


class Draft(BaseModel):
    """What the model answers. `sensible` is false when the examples share no pattern worth a category."""

    sensible: bool
    name: str = Field(description="snake_case, two to five words")
    definition: str
    inclusion_criteria: list[str]
    exclusion_criteria: list[str]
    severity_rule: str


class ModelDrafter:
    """Implements `draft.Drafter`; `fallback` words what the model does not answer."""

    def __init__(self, asker: Asker, fallback: Drafter) -> None:
        self._asker = asker
        self._fallback = fallback

    def draft(
        self, cluster: Mapping[str, Any], positives: Sequence[str], hard_negatives: Sequence[str]
    ) -> dict[str, Any] | None:
        question = {
            "type": cluster["type"],
            "label": cluster["label"],
            "terms": cluster["terms"],
            "examples": list(positives),
            "not_examples": list(hard_negatives),
        }
        answer = self._asker.ask("category_draft", question, Draft)
        if answer is None:
            return self._fallback.draft(cluster, positives, hard_negatives)
        if not answer.sensible:
            return None
        words = _tidy(answer)
        if not (words["name"] and words["definition"] and words["inclusion_criteria"]):
            self._asker.failures.append("category_draft: an answer without a name, a definition or criteria")
            return self._fallback.draft(cluster, positives, hard_negatives)
        return words | {"recommended_action": cluster["action"], "drafted_by": self._asker.name}


def _tidy(answer: Draft) -> dict[str, Any]:
    """The answer's words, each on one line and no longer than a reader takes in; criteria without words are left out."""
    criteria = {
        name: [line for text in getattr(answer, name)[:_CRITERIA] if (line := _line(text))]
        for name in ("inclusion_criteria", "exclusion_criteria")
    }
    return {name: _line(getattr(answer, name)) for name in ("name", "definition", "severity_rule")} | criteria


def _line(text: str) -> str:
    return " ".join(redact(text).split())[:_CHARACTERS]
