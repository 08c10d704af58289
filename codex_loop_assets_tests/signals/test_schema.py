"""Laws of the signal schema: what is defined, and what decisions change."""

from __future__ import annotations

import sys

import pytest

from codex_loop_assets.signals import rules as package
from codex_loop_assets.signals.rules import detect
from codex_loop_assets.signals.rules.registry import rules
from codex_loop_assets.signals.schema import load_schema
from codex_loop_assets_tests.signals.session_tables import SessionTables

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


NEW_RULE = """
from codex_loop_assets.signals.model import Evidence, Moment
from codex_loop_assets.signals.rules.rule import rule
from codex_loop_assets.signals.schema import Category

@rule(
    category="shouting", version="7", looks_for="Requests in capitals.", evidence="The request.",
    near_misses=("a constant", "an acronym", "a heading"), needs=("user_messages",),
    introduces=Category(name="shouting", type="friction", definition="The person shouts.",
                        inclusion_criteria=("capitals",), exclusion_criteria=("an acronym",)),
)
def find(canon, thresholds):
    return [
        Moment(turn["thread_id"], turn["run"], turn["seq_start"], turn["seq_end"], 2, 0.9, "The user shouted",
               (Evidence(turn["seq_start"]),), turn["turn_id"])
        for turn in canon.turns.to_dicts() if turn["user_message"].isupper()
    ]
"""


@pytest.fixture
def new_rule_file(tmp_path, monkeypatch):
    """A rule file dropped into the package of rules, and taken away again."""
    (tmp_path / "shouting.py").write_text(NEW_RULE)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    rules.cache_clear()
    yield
    rules.cache_clear()
    sys.modules.pop("codex_loop_assets.signals.rules.shouting", None)


def test_a_person_adds_a_rule_with_its_category_by_adding_a_file(new_rule_file):
    schema = load_schema()
    assert schema.mechanical()["shouting"].definition == "The person shouts."
    found = detect(SessionTables().ask("WHY IS IT RED").ask("now it is green").tables(), schema)
    assert found.select("category", "detector_version").rows() == [("shouting", "shouting/7")]


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
