"""Laws of decisions about categories."""

from __future__ import annotations

import json
import multiprocessing
from datetime import UTC, date, datetime

import polars as pl
import pytest

from codex_loop_assets.discovery import governance
from codex_loop_assets.signals.schema import Category
from codex_loop_assets.tables import TABLES

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def proposal(**changes) -> dict:
    row = {
        "dt": date(2026, 3, 1),
        "proposal_id": "proposal_1",
        "cluster_id": "cluster_1",
        "name": "frozen_lockfile",
        "type": "friction",
        "definition": "A frozen lockfile stops the install.",
        "inclusion_criteria": ["it does"],
        "exclusion_criteria": [],
        "severity_rule": "2",
        "recommended_action": "create_ticket",
        "positives": json.dumps([{"signal_id": "s", "text": "frozen"}]),
        "hard_negatives": "[]",
        "overlap": "{}",
        "backtest": "{}",
        "sample_count": 12,
        "session_count": 4,
        "confidence": 0.9,
        "confidence_reasons": [],
        "status": "open",
    }
    return row | changes


def test_an_approval_is_kept_with_who_when_and_the_whole_category(tmp_path):
    log = tmp_path / "decisions.jsonl"
    governance.approve(log, proposal(), "ada", AT, existing=[], reason="seen it often")
    (entry,) = governance.read_decisions(log)
    assert (entry["who"], entry["kind"], entry["at"], entry["reason"]) == (
        "ada",
        "approve",
        AT.isoformat(),
        "seen it often",
    )
    assert Category(**entry["category"]).positives == ("frozen",)


def test_a_second_decision_on_a_proposal_is_told_about_the_first(tmp_path):
    log = tmp_path / "decisions.jsonl"
    governance.reject(log, proposal(), "ada", AT, "too vague")
    with pytest.raises(governance.DecisionError, match=r"reject by ada .*too vague"):
        governance.approve(log, proposal(), "bob", AT, existing=[])
    assert len(governance.read_decisions(log)) == 1


def _approve(log, who, start, results) -> None:
    start.wait()
    try:
        results.put(governance.approve(log, proposal(), who, AT, existing=[])["who"])
    except governance.DecisionError as error:
        results.put(f"refused: {error}")


def test_of_two_people_deciding_at_once_one_wins_and_the_other_is_told(tmp_path):
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(2), context.Queue()
    people = [
        context.Process(target=_approve, args=(tmp_path / "decisions.jsonl", who, start, results))
        for who in ("ada", "bob")
    ]
    for person in people:
        person.start()
    answers = sorted((results.get(timeout=30) for _ in people), key=len)
    for person in people:
        person.join()
    assert answers[0] in ("ada", "bob") and answers[1].startswith("refused") and answers[0] in answers[1]
    assert len(governance.read_decisions(tmp_path / "decisions.jsonl")) == 1


def test_a_rejection_needs_a_reason(tmp_path):
    with pytest.raises(governance.DecisionError, match="reason"):
        governance.reject(tmp_path / "decisions.jsonl", proposal(), "ada", AT, "  ")


def test_a_name_that_exists_cannot_be_approved(tmp_path):
    with pytest.raises(governance.DecisionError, match="already"):
        governance.approve(tmp_path / "decisions.jsonl", proposal(), "ada", AT, existing=["frozen_lockfile"])


@pytest.mark.parametrize(
    "short", [{"confidence": 0.5}, {"sample_count": 9}, {"session_count": 2}, {"status": "superseded"}]
)
def test_auto_promotion_needs_confidence_samples_and_sessions(tmp_path, short):
    def promoted(row):
        frame = TABLES["schema_proposals"].frame([row])
        limits = {"confidence": 0.85, "minimum_samples": 10, "minimum_sessions": 3}
        return governance.auto_promote(tmp_path / f"{row['proposal_id']}.jsonl", frame, AT, [], **limits)

    assert promoted(proposal(**short)) == []
    assert [entry["who"] for entry in promoted(proposal(proposal_id="proposal_2"))] == ["codex-loop"]


def test_what_a_crash_left_of_a_line_is_no_decision_and_does_not_spoil_the_next(tmp_path):
    log = tmp_path / "decisions.jsonl"
    governance.reject(log, proposal(), "ada", AT, "vague")
    log.write_bytes(log.read_bytes() + b'{"decision_id": "deci')
    governance.reject(log, proposal(proposal_id="proposal_2"), "bob", AT, "vague")
    assert [entry["who"] for entry in governance.read_decisions(log)] == ["ada", "bob"]


def test_damage_inside_the_log_is_an_error_not_a_guess(tmp_path):
    log = tmp_path / "decisions.jsonl"
    log.write_bytes(b"nonsense\n{}\n")
    with pytest.raises(governance.DecisionError, match="line 1"):
        governance.read_decisions(log)


def test_retiring_needs_an_active_category_and_happens_once(tmp_path):
    log = tmp_path / "decisions.jsonl"
    with pytest.raises(governance.DecisionError, match="no active category"):
        governance.retire(log, "nothing", "ada", AT, "noise", ["frozen_lockfile"])
    governance.retire(log, "frozen_lockfile", "ada", AT, "noise", ["frozen_lockfile"])
    with pytest.raises(governance.DecisionError, match="retired already"):
        governance.retire(log, "frozen_lockfile", "bob", AT, "noise", ["frozen_lockfile"])


def test_decisions_of_a_later_day_do_not_show_on_an_earlier_one():
    entry = {"at": AT.isoformat(), "kind": "approve", "proposal_id": "proposal_1", "who": "ada", "reason": ""}
    assert governance.decided_by([entry], date(2026, 2, 28)) == []
    frame = TABLES["schema_proposals"].frame([proposal()])
    shown = governance.with_decisions(frame, governance.decided_by([entry], date(2026, 3, 1)))
    assert shown.select("status", "decided_by").row(0) == ("approved", "ada")
    assert isinstance(shown, pl.DataFrame)


def test_the_export_names_who_promoted_a_category(tmp_path):
    entry = governance.approve(tmp_path / "decisions.jsonl", proposal(), "ada", AT, existing=[])
    exported = json.loads(governance.export_schema([entry["category"]], [entry], "v1"))
    assert exported["categories"][0]["promoted_by"] == "ada"
    assert exported["schema_version"] == "v1"
