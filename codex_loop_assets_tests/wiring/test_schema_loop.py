"""Laws of the schema that learns: an approved category is detected from the next day on, earlier days keep what they had
until they are asked, a retired one is looked for no more."""

from datetime import UTC, datetime

import pytest

from codex_loop_assets import stages
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.discovery import governance
from codex_loop_assets.resources.schema import current_schema, schema_for

PROPOSAL = {
    "proposal_id": "proposal_000000000001",
    "cluster_id": "cluster_000000000001",
    "name": "module_renaming",
    "type": "friction",
    "definition": "The user has to ask for a module to be renamed.",
    "inclusion_criteria": ["asks for a module to be renamed"],
    "exclusion_criteria": ["asks for a new module"],
    "severity_rule": "mild",
    "recommended_action": "investigate",
    "positives": '[{"signal_id": "a", "text": "rename the module"}, {"signal_id": "b", "text": "please rename that module"}, '
    '{"signal_id": "c", "text": "the module must be renamed"}]',
    "hard_negatives": '[{"signal_id": "d", "text": "add a flag"}, {"signal_id": "e", "text": "make the tests pass"}]',
    "status": "open",
}
SIGNALS = [*stages.INGEST, *stages.CANON, *stages.SIGNALS]
NOW = datetime(2026, 3, 10, tzinfo=UTC)


@pytest.fixture
def approved(home):
    """2026-03-03 was judged before the category was approved."""
    materialise(home, SIGNALS, days=["2026-03-03"])
    before = current_schema(home)
    governance.approve(home.decisions_path, PROPOSAL, "ann", NOW, list(before.categories))
    return before


def found(home, day):
    return set(home.lake.read("signals", day)["category"])


def test_a_plain_re_run_keeps_the_schema_a_day_was_made_with_and_reschema_upgrades_it(home, approved):
    assert "module_renaming" not in found(home, "2026-03-03")
    materialise(home, SIGNALS, days=["2026-03-03"])
    assert "module_renaming" not in found(home, "2026-03-03")
    assert set(home.lake.read("judge_coverage", "2026-03-03")["schema_version"]) == {approved.version}
    config = {name: {"config": {"reschema": True}} for name in ("mechanical_signals", "semantic_signals")}
    materialise(home, stages.SIGNALS, days=["2026-03-03"], config=config)
    assert "module_renaming" in found(home, "2026-03-03")


def test_a_new_day_is_detected_with_the_promoted_category_and_a_retired_one_is_looked_for_no_more(home, approved):
    assert "module_renaming" in schema_for(home, "2026-03-09", reschema=False).active()
    governance.retire(
        home.decisions_path, "module_renaming", "ann", NOW, "too narrow", list(current_schema(home).active())
    )
    assert "module_renaming" not in schema_for(home, "2026-03-09", reschema=False).active()
    assert "module_renaming" in current_schema(home).categories


def test_a_rejected_proposal_changes_nothing(home):
    before = current_schema(home).version
    governance.reject(home.decisions_path, PROPOSAL, "ann", NOW, "too vague")
    assert current_schema(home).version == before
