"""The words of a proposal: name, definition, criteria. From the cluster's own facts here; by a model in draft_llm.

What does not belong here: which examples are shown (examples) and whether a proposal is made at all (propose).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from codex_loop_assets.discovery.explained import NOVEL

WORDS = (
    "name",
    "definition",
    "inclusion_criteria",
    "exclusion_criteria",
    "severity_rule",
    "recommended_action",
    "drafted_by",
)


class Drafter(Protocol):
    """Words a proposal."""

    def draft(
        self, cluster: Mapping[str, Any], positives: Sequence[str], hard_negatives: Sequence[str]
    ) -> dict[str, Any] | None:
        """The fields of WORDS for a row of `clusters`; None when nothing sensible can be said."""


class TemplateDrafter:
    """Words from the cluster's terms and examples, without a model. `settings`: the `proposals` table."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings

    def draft(
        self, cluster: Mapping[str, Any], positives: Sequence[str], hard_negatives: Sequence[str]
    ) -> dict[str, Any] | None:
        terms = cluster["terms"]
        if len(terms) < self._settings["minimum_terms"]:
            return None  # nothing tells it apart in words, so nobody could judge the proposal
        texts = self._settings["template"]
        words = {"terms": ", ".join(terms), "example": positives[0] if positives else cluster["description"]}
        shown = self._settings["criteria_examples"]
        return {
            "name": "_".join(terms[: self._settings["terms_in_name"]]),
            "definition": texts["definition"].format(**words),
            "inclusion_criteria": [
                texts["inclusion"].format(**words),
                *(texts["like"].format(text=text) for text in positives[:shown]),
            ],
            "exclusion_criteria": [texts["unlike"].format(text=text) for text in hard_negatives[:shown]],
            "severity_rule": texts["severity"].format(severity=round(cluster["severity"])),
            "recommended_action": cluster["action"],
            "drafted_by": "local",
        }


def free_name(name: str, taken: set[str]) -> str:
    """A valid category name that is not taken, from any words."""
    base = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:48].rstrip("_")
    base = base if re.match(r"[a-z]", base) and base != NOVEL else f"pattern_{base}".rstrip("_")
    candidates = [base, *(f"{base}_{number}" for number in range(2, len(taken) + 3))]
    return next(candidate for candidate in candidates if candidate not in taken)
