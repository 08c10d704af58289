"""Names of clusters by a model, from exemplars and counter-examples; the local names where it gives none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from pydantic import BaseModel, Field

from codex_loop_assets.discovery.ask import Asker
from codex_loop_assets.discovery.label import LocalLabeller
from codex_loop_assets.signals.redaction import redact


class Name(BaseModel):
    """What the model answers."""

    label: str = Field(description="Two to six words that name the pattern.")


class ModelLabeller:
    """Implements `label.Labeller`. `settings`: the `labels` table."""

    def __init__(self, asker: Asker, settings: Mapping[str, Any]) -> None:
        self._asker = asker
        self._settings = settings

    def label(self, stale: Sequence[dict], rows: Sequence[dict], facts: pl.DataFrame) -> None:
        LocalLabeller(self._settings).label(stale, rows, facts)
        texts = dict(facts.select("signal_id", "description").iter_rows())
        for row in stale:
            question = {
                "type": row["type"],
                "terms": row["terms"],
                "examples": [texts[key] for key in row["exemplar_ids"] if key in texts],
                "not_examples": [texts[key] for key in row["counterexample_ids"] if key in texts],
            }
            answer = self._asker.ask("cluster_label", question, Name)
            label = " ".join(redact(answer.label).split())[: self._settings["label_characters"]] if answer else ""
            if answer and not label:
                self._asker.failures.append("cluster_label: an answer without a name")
            if label:
                row["label"], row["label_from"] = label, self._asker.name
