"""What the scorecard page and the day's page say of detectors: drift, reliability, rejected citations, cost, and what is not
looked for."""

from __future__ import annotations

import re

import polars as pl
import pytest

from codex_loop_assets.loop import sections, site
from codex_loop_assets.loop.report import day_page
from codex_loop_assets.settings import section
from codex_loop_assets.signals.judges.local.shipping import left_out
from codex_loop_assets.tables import TABLES
from codex_loop_assets_tests.loop import world
from codex_loop_assets_tests.loop.test_pages import DAY, inputs

CATEGORY_LEFT_OUT = "escalation_tone"
MOVED = {"version_before": "v1", "precision_before": 0.99, "precision_low_before": 0.97, "recall_before": 0.5,
         "recall_low_before": 0.4, "f1_before": 0.66, "worse": True}  # fmt: skip
TOLD = {
    "truth": "planted_fixtures", "detector": "all", "measure": "severity", "predicted": "2", "moments": 8,
    "predicted_mean": 2.0, "observed_mean": 1.88, "observed_1": 0.25, "observed_2": 0.62, "observed_3": 0.13,
}  # fmt: skip


def frames(**coverage) -> dict[str, pl.DataFrame]:
    found = world.frames()
    rows = [row | coverage for row in found["judge_coverage"].to_dicts()]
    found["judge_coverage"] = TABLES["judge_coverage"].frame(rows)
    return found


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).replace("&#8239;", " ").split())


def page(name: str, found: dict[str, pl.DataFrame]) -> str:
    return words(dict(site.pages(inputs(found)))[name])


def test_the_scorecard_page_shows_the_change_since_the_version_before():
    found = frames()
    assert "nothing to compare with" in page("scorecard.html", found)
    rows = [row | MOVED for row in found["scorecard"].to_dicts() if row["category"] == "exec_failure"]
    found["scorecard"] = TABLES["scorecard"].frame(rows)
    shown = page("scorecard.html", found)
    assert f"v1 to {rows[0]['detector_version']}" in shown and "below the interval of before" in shown
    assert f"{rows[0]['precision'] - 0.99:+.2f}" in shown


def test_the_scorecard_page_shows_severity_beside_what_readers_say():
    found = frames()
    assert "No labelled sessions are named in this home" in page("scorecard.html", found)
    found["reliability"] = TABLES["reliability"].frame([TOLD])
    assert "25 % 62 % 13 % 1.88" in page("scorecard.html", found)


def test_the_scorecard_page_says_what_is_not_looked_for_without_a_key_and_why():
    shown = page("scorecard.html", frames())
    for name, why in left_out(section("local_categories")).items():
        assert f"{name.replace('_', ' ')} no {why}" in shown


def test_what_the_judge_left_out_is_said_on_the_day_and_in_the_coverage():
    found = frames(left_out=[CATEGORY_LEFT_OUT])
    sessions = found["judge_coverage"].filter(pl.col("status") == "judged").height
    wanted = "so unknown there rather than absent: escalation tone"
    assert f"{wanted} ({sessions} sessions)" in page("coverage.html", found)
    assert wanted in words(day_page(inputs(found), DAY)[0])
    assert wanted not in page("coverage.html", frames())


def test_the_share_of_rejected_citations_is_shown_and_none_where_nothing_was_claimed():
    assert "Rejected citations: n/a, no claim was made" in page("scorecard.html", frames())
    assert "Rejected citations: 25 %" in page("scorecard.html", frames(findings=3, rejected=1))


def test_what_judging_costs_is_told_per_session_and_signal_and_is_not_zero_where_no_model_was_asked():
    free = frames(cost_usd=None)
    for name in ("scorecard.html", "funnel.html"):
        assert "n/a per 1,000 sessions and per confirmed signal, because no model was asked" in page(name, free)
    shown = page("funnel.html", frames(detector="llm_judge", cost_usd=0.02, findings=4))
    assert "$20.00 per 1,000 sessions, $0.0050 per confirmed signal" in shown


@pytest.mark.parametrize("status", ["failed", "deferred", "pending_batch"])
def test_sessions_that_were_not_judged_count_in_no_rate(status):
    spent = sections.spending(frames(status=status, cost_usd=0.01)["judge_coverage"], TABLES["eval_runs"].empty())
    assert spent["per_1000_sessions"] is None and spent["per_signal"] is None and spent["judging"] > 0
