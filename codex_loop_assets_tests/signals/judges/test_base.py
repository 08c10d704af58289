"""Laws of verification: only findings whose evidence exists are kept, and every other one is counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_loop_assets.signals.judges.base import Finding, verify
from codex_loop_assets.signals.schema import load_schema
from codex_loop_assets_tests.signals.judges.conversation import transcript

SCHEMA = load_schema()
SESSION = transcript([("please add a\n  footer", "Added."), ("no, the other page", "Moved.")])


def finding(**changes: object) -> Finding:
    fields = {
        "run": 0, "seq_start": 11, "category": "correction", "severity": 2, "confidence": 0.8,
        "description": "corrects", "quote": "the other page",
    }  # fmt: skip
    return Finding(**(fields | changes))


def test_a_finding_with_existing_evidence_is_kept_with_the_type_of_its_category() -> None:
    kept, rejected = verify([finding(category="positive_feedback", type="friction")], SESSION, SCHEMA)
    assert rejected == 0
    assert [item.type for item in kept] == ["delight"]


@pytest.mark.parametrize(
    "changes",
    [
        {"seq_start": 12},
        {"run": 1},
        {"quote": "the wrong page"},
        {"quote": "  "},
        {"category": "no_such_category"},
        {"category": "exec_failure"},
        {"category": "novel", "type": "neutral"},
    ],
    ids=["no such turn", "other run", "invented words", "no words", "unknown", "mechanical", "novel without type"],
)
def test_a_finding_without_evidence_or_category_is_rejected_and_counted(changes: dict[str, object]) -> None:
    assert verify([finding(**changes), finding()], SESSION, SCHEMA) == ((finding(),), 1)


def test_a_quotation_may_fold_white_space() -> None:
    kept, _ = verify([finding(seq_start=1, quote="add a footer")], SESSION, SCHEMA)
    assert len(kept) == 1


def test_words_that_no_person_typed_are_no_evidence() -> None:
    machine = transcript([("do the subtask", "Done.")], human=False)
    assert verify([finding(seq_start=1, quote="subtask")], machine, SCHEMA) == ((), 1)


def test_a_retired_category_is_not_claimed() -> None:
    line = {"kind": "retire", "category_name": "correction"}
    assert verify([finding()], SESSION, load_schema([line])) == ((), 1)


def test_of_findings_that_say_the_same_the_most_confident_is_kept() -> None:
    kept, rejected = verify(
        [finding(confidence=0.4), finding(confidence=0.9), finding(confidence=0.6)], SESSION, SCHEMA
    )
    assert ([item.confidence for item in kept], rejected) == ([0.9], 0)


@given(st.integers(-5, 9), st.floats(-3, 3))
def test_severity_and_confidence_are_brought_into_range(severity: int, confidence: float) -> None:
    kept, _ = verify([finding(severity=severity, confidence=confidence)], SESSION, SCHEMA)
    assert 1 <= kept[0].severity <= 3
    assert 0 <= kept[0].confidence <= 1
