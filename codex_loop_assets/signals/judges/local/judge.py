"""The local judge: no key, no network, the same answer every time.

It reads the user's words and the course of the session (`features`), weighs them (`model`), decides (`decision`) and
words its findings (`wording`), in the categories in which it beats the regex baseline (`shipping`). Promoted categories
are found by likeness (`promoted`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from codex_loop_assets import settings as configuration
from codex_loop_assets.signals.judges.base import Finding, JudgeResult, Transcript
from codex_loop_assets.signals.judges.baseline import RegexBaseline
from codex_loop_assets.signals.judges.local import wording
from codex_loop_assets.signals.judges.local.cues import Cues
from codex_loop_assets.signals.judges.local.decision import decide
from codex_loop_assets.signals.judges.local.features import Read, Reader, features
from codex_loop_assets.signals.judges.local.model import Model, packaged
from codex_loop_assets.signals.judges.local.promoted import Examples, PromotedDetector, learn
from codex_loop_assets.signals.judges.local.severity import severity
from codex_loop_assets.signals.judges.local.shipping import by_category
from codex_loop_assets.signals.schema import Category, SignalSchema

_CODE_VERSION = "2"


class LocalJudge:
    """Implements `Judge`; the version changes with settings and weights.

    `settings` is the section `local_judge`, `model` the weights, `categories` the section `local_categories`, which says
    what is looked for and how: the packaged ones where nothing is given.
    """

    name = "local_judge"

    def __init__(
        self,
        settings: Mapping[str, Any] | None = None,
        model: Model | None = None,
        categories: Mapping[str, Any] | None = None,
    ):
        self._settings = settings if settings is not None else configuration.section("local_judge")
        self._categories = categories if categories is not None else configuration.section("local_categories")
        self._by = by_category(self._categories)
        self._baseline = RegexBaseline()
        self._reader = Reader(self._settings)
        self._cues = Cues(self._settings["cues"])
        self._model = model if model is not None else packaged()
        self._learnt: dict[str, PromotedDetector] = {}
        told = [self._settings, self._by, configuration.section("regex_baseline")]
        content = json.dumps(told, sort_keys=True, ensure_ascii=False) + self._model.fingerprint()
        self.version = f"{_CODE_VERSION}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"

    def judge(self, transcript: Transcript, schema: SignalSchema) -> JudgeResult:
        """Findings of the active semantic categories, promoted ones included, one per category and message."""
        read = self._reader.read(transcript.spoken_turns)
        values = [
            numbers | self._model.words.features(item.message.prose)
            for item, numbers in zip(read, features(read), strict=True)
        ]
        wanted = schema.semantic()
        findings: list[Finding] = []
        repeats = 0
        for item, numbers in zip(read, values, strict=True):
            shown = self._shown(item, numbers)
            for category, confidence in shown.items():
                if category in wanted and wanted[category].status != "promoted":
                    grade = severity(category, item, numbers, repeats)
                    findings.append(self._finding(category, item, read, grade, confidence, repeats))
            repeats = repeats + 1 if "repeated_rephrasing" in shown else 0
        findings.extend(self._by_rule(transcript, schema, read))
        for category in wanted.values():
            if category.status == "promoted":
                findings.extend(self._promoted(category, read))
        return JudgeResult("judged", tuple(findings))

    def left_out(self, schema: SignalSchema) -> tuple[str, ...]:
        """Categories of the schema that this judge does not look for, sorted."""
        return tuple(sorted(name for name in schema.semantic() if self._by.get(name) == "none"))

    def _shown(self, item: Read, numbers: Mapping[str, float]) -> dict[str, float]:
        """Categories of the message with their confidence; none where a person said nothing.

        A stored prompt without arguments says something only when it is run again.
        """
        if not (item.message.prose or item.message.pasted or numbers["likeness.same"]):
            return {}
        names = [name for name, by in self._by.items() if by == "model"]
        return decide(self._model.log_odds(numbers), self._settings["decision"], names)

    def _by_rule(self, transcript: Transcript, schema: SignalSchema, read: Sequence[Read]) -> list[Finding]:
        """What the baseline's expressions find in the categories left to them, as sure as they were right when measured."""
        places = {(item.turn.run, item.turn.seq_start): item for item in read}
        words, grades = self._settings["wording"], schema.semantic()
        return [
            replace(
                finding,
                severity=grades[finding.category].severity,
                confidence=self._categories["categories"][finding.category]["baseline_precision"],
                description=wording.description(
                    finding.category,
                    places[finding.run, finding.seq_start],
                    finding.quote,
                    read,
                    0,
                    words["excerpt_characters"],
                ),
            )
            for finding in self._baseline.judge(transcript, schema).findings
            if self._by.get(finding.category) == "rule"
        ]

    def _finding(
        self, category: str, item: Read, read: Sequence[Read], grade: int, confidence: float, repeats: int
    ) -> Finding:
        words = self._settings["wording"]
        quote = wording.quotation(category, item, self._cues, words["quotation_characters"])
        return Finding(
            run=item.turn.run,
            seq_start=item.turn.seq_start,
            category=category,
            severity=grade,
            confidence=confidence,
            description=wording.description(category, item, quote, read, repeats, words["excerpt_characters"]),
            quote=quote,
        )

    def _promoted(self, category: Category, read: Sequence[Read]) -> list[Finding]:
        if category.version not in self._learnt:
            self._learnt[category.version] = learn(
                category.positives, category.hard_negatives, self._settings["promoted"]
            )
        detector = self._learnt[category.version]
        with_words = [item for item in read if item.message.prose or item.message.pasted]
        messages = Examples.of([item.message.prose or item.message.pasted for item in with_words])
        return [
            self._finding(category.name, item, read, category.severity, confidence, 0)
            for item, confidence in zip(with_words, detector.confidences(messages), strict=True)
            if confidence is not None
        ]
