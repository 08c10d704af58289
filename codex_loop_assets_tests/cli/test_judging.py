"""What judging would cost is told before anything is bought, and how far it can be trusted beside what it found."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from click.testing import CliRunner

from codex_loop_assets import clock
from codex_loop_assets.cli import main
from codex_loop_assets.resources.homes import VARIABLE, Home
from codex_loop_assets.resources.judges import model_judge, open_governor
from codex_loop_assets.settings import section
from codex_loop_assets.signals.judges.local.shipping import left_out
from codex_loop_assets.signals.judges.run import to_be_judged
from codex_loop_assets.signals.schema import load_schema
from codex_loop_assets.tables import TABLES
from codex_loop_assets_tests.signals.judges.conversation import canon

DAY = "2026-02-10"
SESSIONS = {
    "one": [("rename the flag", "Renamed."), ("no, I meant the other flag", "Sorry, fixed.")],
    "two": [("add a test", "Added.")],
}


@dataclass
class Run:
    home: Home
    tables: object

    def __call__(self, *words: str) -> str:
        result = CliRunner().invoke(main, [*words, "--home", str(self.home.root)], env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.output
        return result.output


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    home = Home(tmp_path / "home")
    home.initialise()
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv(clock.VARIABLE, "2026-03-24")
    monkeypatch.setenv(VARIABLE, str(home.root))
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster_home))
    tables = canon(SESSIONS)
    for name in ("spines", "events", "sessions", "turns", "tool_calls"):
        home.lake.write(name, DAY, getattr(tables, name))
    return Run(home, tables)


def test_an_estimate_needs_no_key_buys_nothing_and_covers_every_model_that_answers(run):
    shown = run("judge-estimate")
    assert "2 sessions of 1 days" in shown
    models = section("prices")["models"]
    assert {name for name in models if name in shown} == {name for name in models if "embedding" not in name}
    assert "$5.00 left today" in shown and section("prices")["source"].split(",")[0] in shown
    assert open_governor(run.home).by_purpose() == {}


def test_the_estimate_is_the_judges_own(run):
    sessions = to_be_judged(run.tables, clock.now())
    found = model_judge(run.home, "gpt-5-nano").estimate(sessions, load_schema())
    shown = run("judge-estimate", "--model", "gpt-5-nano")
    assert found.calls == 2 and f"{found.input_tokens:,}" in shown and f"${found.worst_usd:.2f}" in shown


def test_a_model_without_a_price_is_refused_with_a_remedy(run):
    result = CliRunner().invoke(main, ["judge-estimate", "--model", "unheard-of", "--home", str(run.home.root)])
    assert result.exit_code == 1 and "config.toml" in result.output


def test_old_prices_are_warned_about(run, monkeypatch):
    assert "Warning" not in run("judge-estimate")
    monkeypatch.setenv(clock.VARIABLE, "2027-06-01")
    assert "Warning: model prices were read" in run("judge-estimate")
    doctor = CliRunner().invoke(main, ["doctor", "--home", str(run.home.root)], env={"COLUMNS": "200"})
    assert "model prices were read" in doctor.output


def test_what_is_not_looked_for_without_a_key_is_said(run):
    shown = " ".join(run("scorecard").split())
    for name in left_out(section("local_categories")):
        assert name in shown.rpartition("Without a key not looked for")[2]
    assert "n/a (no model was asked)" in shown and "Rejected citations: n/a" in shown


def test_the_scorecard_shows_how_a_detector_moved_and_what_its_severity_is_worth(run):
    row = {
        "truth": "planted_fixtures", "detector": "local_judge", "category": "correction", "language": "all",
        "matching": "exact", "true_positives": 5, "false_positives": 5, "false_negatives": 5, "precision": 0.5,
        "precision_low": 0.4, "precision_high": 0.6, "recall": 0.5, "recall_low": 0.4, "recall_high": 0.6, "f1": 0.5,
        "detector_version": "v2", "version_before": "v1", "precision_before": 0.9, "precision_low_before": 0.8,
        "recall_before": 0.5, "recall_low_before": 0.4, "f1_before": 0.64, "worse": True,
    }  # fmt: skip
    told = {
        "truth": "planted_fixtures", "detector": "all", "measure": "severity", "predicted": "2", "moments": 4,
        "predicted_mean": 2.0, "observed_mean": 1.75, "observed_1": 0.25, "observed_2": 0.75, "observed_3": 0.0,
    }  # fmt: skip
    run.home.lake.write("scorecard", None, TABLES["scorecard"].frame([row]))
    run.home.lake.write("reliability", None, TABLES["reliability"].frame([told]))
    shown = run("scorecard")
    assert "version v1, then v2" in shown and "-0.40" in shown and "worse" in shown
    assert "1.75" in shown and all(share in shown for share in ("25 %", "75 %"))


def test_the_share_of_rejected_citations_is_shown(run):
    row = {
        "thread_id": "one", "detector": "llm_judge", "detector_version": "1", "schema_version": "1", "status": "judged",
        "findings": 3, "rejected": 1, "calls": 1, "cost_usd": 0.03, "left_out": [],
    }  # fmt: skip
    run.home.lake.write("judge_coverage", DAY, TABLES["judge_coverage"].frame([row]))
    shown = run("scorecard")
    assert "Rejected citations: 25 %" in shown
    assert "$30.0000 per 1,000 sessions, $0.0100 per confirmed" in " ".join(shown.split())
