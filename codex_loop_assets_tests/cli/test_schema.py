"""Laws of the schema's commands: promotion by rule, retirement and export do the same at the terminal and in the launchpad,
and what waits is said with what it needs and has."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner

from codex_loop_assets import decisions
from codex_loop_assets.cli import main
from codex_loop_assets.resources import proposals
from codex_loop_assets.resources.schema import current_schema
from codex_loop_assets.tables import TABLES
from codex_loop_assets_tests.cli.test_review import decided, executed
from codex_loop_assets_tests.loop import world

NAME, LOW = "missing_test_plugin", {"confidence": 0.5, "minimum_samples": 5, "minimum_sessions": 5}


def run(*arguments: str):
    result = CliRunner().invoke(main, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_promotion_by_rule_takes_its_bar_from_the_configuration_unless_told_otherwise(planted):
    assert "no open proposal reaches the bar" in run("schema-auto-promote").output and decided(planted) == []
    assert NAME in run("schema-auto-promote", "--confidence", "0.5", "--min-samples", "5").output
    (entry,) = decided(planted)
    assert (entry["kind"], entry["who"]) == ("auto_promote", "codex-loop")
    assert "0.80 >= 0.50" in entry["reason"] and "10 sessions >= 5" in entry["reason"]


def test_a_home_may_set_the_bar(planted):
    (planted.root / "config.toml").write_text("[discovery.governance]\nconfidence = 0.7\n", "utf-8")
    assert NAME in run("schema-auto-promote").output


def test_the_launchpad_promotes_retires_and_exports_like_the_terminal(planted, tmp_path):
    assert executed(planted, decisions.schema_promotion, {}).success and decided(planted) == []
    assert executed(planted, decisions.schema_promotion, LOW).success
    assert NAME in current_schema(planted).active()
    assert executed(planted, decisions.schema_export, {"output": str(tmp_path / "job.json")}).success
    run("schema-export", "--output", str(tmp_path / "terminal.json"))
    written = (tmp_path / "job.json").read_bytes()
    assert written == (tmp_path / "terminal.json").read_bytes()
    (exported,) = [row for row in json.loads(written)["categories"] if row["name"] == NAME]
    assert exported["promoted_by"] == "codex-loop"
    config = {"category_name": NAME, "who": "grace", "reason": "too narrow"}
    assert executed(planted, decisions.schema_retirement, config).success
    assert NAME not in current_schema(planted).active()
    assert not executed(planted, decisions.schema_retirement, config).success and len(decided(planted)) == 2


@pytest.mark.parametrize("reason", ["", "  "])
def test_retiring_needs_a_reason_at_the_terminal_and_in_the_launchpad(planted, reason):
    proposals.promote_by_rule(planted, **LOW)
    assert run("schema-retire", NAME, "--reason", reason).exit_code != 0
    config = {"category_name": NAME, "who": "grace", "reason": reason}
    assert not executed(planted, decisions.schema_retirement, config).success and len(decided(planted)) == 1


def test_what_waits_for_evidence_is_said_with_what_it_needs_and_has(planted):
    row = {"dt": world.TODAY, "cluster_id": "cluster_x", "lacks": "sessions", "need": 5, "have": 3}
    planted.lake.write("proposals_waiting", str(world.TODAY), TABLES["proposals_waiting"].frame([row]))
    assert "1 lack sessions: need 5, have 3" in run("schema-proposals").output
    later = world.TODAY + timedelta(1)
    planted.lake.write("proposals_waiting", str(later), TABLES["proposals_waiting"].empty())
    assert "waiting" not in run("schema-proposals").output
