"""Laws of the signal schema: what is defined, and what decisions change."""

from __future__ import annotations

import pytest

from codex_loop_assets.signals.rules.registry import rules
from codex_loop_assets.signals.schema import load_schema

PROMOTED = {
    "name": "stale_lockfile",
    "type": "friction",
    "definition": "The lock file is out of date.",
    "inclusion_criteria": ["install fails because of the lock file"],
    "exclusion_criteria": ["a first install"],
    "severity": 2,
}
BUILT_IN = {
    "error_event", "exec_failure", "patch_failure", "stream_error", "timeout", "denial_exec", "denial_patch",
    "repeated_denial", "undo", "rollback", "compaction", "repeated_compaction", "file_churn", "plan_update_churn",
    "diff_oscillation", "truncation_warning", "interrupt", "repeated_rephrasing", "escalation_tone",
    "platform_confusion", "correction", "backtracking", "abandoned_task", "fast_completion",
    "first_attempt_success", "zero_denial", "clean_plan", "rapid_approvals", "positive_feedback", "time_saved",
}  # fmt: skip


def decision(kind: str, **fields: object) -> dict:
    return {"decision_id": "d1", "at": "2026-03-01T00:00:00Z", "who": "ann", "kind": kind, "reason": "", **fields}


def test_every_built_in_category_is_defined_with_criteria_for_and_against():
    schema = load_schema()
    assert schema.categories.keys() >= BUILT_IN
    for category in schema.categories.values():
        assert category.inclusion_criteria and category.exclusion_criteria, category.name
        assert category.status == "built_in"


def test_every_mechanical_category_has_exactly_one_rule():
    assert sorted(rule.category for rule in rules()) == sorted(load_schema().mechanical())


def test_older_names_are_accepted():
    schema = load_schema()
    assert schema.resolve("abandoned_tool_flow").name == "interrupt"
    assert schema.resolve("revert_in_message").name == "backtracking"
    assert schema.resolve("context_churn").name == "file_churn"
    assert schema.resolve("nothing_of_the_kind") is None


@pytest.mark.parametrize("kind", ["approve", "auto_promote"])
def test_an_approved_category_is_looked_for_and_changes_the_version(kind):
    before = load_schema()
    after = load_schema([decision(kind, category=PROMOTED, category_name="stale_lockfile")])
    assert after.semantic()["stale_lockfile"].status == "promoted"
    assert after.version != before.version


def test_a_rejection_changes_nothing():
    assert load_schema([decision("reject", category=PROMOTED)]).version == load_schema().version


def test_a_retired_category_keeps_its_definition_and_is_not_looked_for():
    lines = [decision("approve", category=PROMOTED), decision("retire", category=None, category_name="stale_lockfile")]
    schema = load_schema(lines)
    assert schema.resolve("stale_lockfile").definition == PROMOTED["definition"]
    assert "stale_lockfile" not in schema.active()
    assert schema.version == load_schema().version


def test_approving_again_brings_a_retired_built_in_back_with_its_own_meaning():
    retire = decision("retire", category=None, category_name="undo")
    approve = decision("approve", category={**PROMOTED, "name": "undo"})
    assert "undo" not in load_schema([retire]).active()
    restored = load_schema([retire, approve])
    assert restored.active()["undo"] == load_schema().active()["undo"]


def test_the_same_decisions_give_the_same_version():
    lines = [decision("approve", category=PROMOTED)]
    assert load_schema(lines).version == load_schema(lines).version


def test_a_change_of_wording_is_a_new_version():
    reworded = {**PROMOTED, "definition": "The lock file does not fit the manifest."}
    first = load_schema([decision("approve", category=PROMOTED)])
    assert load_schema([decision("approve", category=reworded)]).version != first.version
