"""The words of a proposal by a model, from its examples; the local words where it gives none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from codex_loop_assets.discovery.ask import Asker
from codex_loop_assets.discovery.draft import Drafter


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
        if not answer.sensible or not answer.definition.strip():
            return None
        return answer.model_dump(exclude={"sensible"}) | {"recommended_action": cluster["action"]}
