"""Laws of simulated comparisons: equal arms alarm no more often than the level, and the published figures are what comes out."""

from __future__ import annotations

from pathlib import Path

import pytest

from codex_loop_assets.measure.simulation import Design, alarm_bounds, pairs_of, shown
from codex_loop_assets.settings import section
from codex_loop_assets_tests.bench import statistics as bench

LIMITS = section("measure")["compare"]
PUBLISHED = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text("utf-8")


@pytest.mark.parametrize(("tasks", "repeats"), [(3, 3), (8, 3)])
@pytest.mark.parametrize("chances", bench.CHANCES)
def test_a_thousand_comparisons_of_equal_arms_alarm_no_more_often_than_the_level(tasks, repeats, chances):
    alarms = shown(Design(tasks, repeats), chances, bench.COMPARISONS, bench.SEED, LIMITS)
    assert alarm_bounds(alarms, bench.COMPARISONS)[0] <= LIMITS["alpha"]
    assert f"| {tasks} | {repeats} | {chances} | {alarms} |" in PUBLISHED


def test_the_published_power_is_what_comes_out():
    design = Design(8, 3, bench.EFFECTS[0])
    power = shown(design, "even", bench.COMPARISONS, bench.SEED, LIMITS) / bench.COMPARISONS
    assert f"| 8 | 3 | even | {power:.2f} |" in PUBLISHED


def test_a_false_alarm_rate_above_the_level_would_be_noticed():
    assert alarm_bounds(80, 1000)[0] > LIMITS["alpha"]


def test_the_verdict_of_a_dataset_is_simulated_by_the_comparison_itself():
    design = Design(3, 3)
    reward = next(pairs_of(design, "even", 1, 1))
    runs, signals = bench.tables(0, reward, reward)
    assert runs.height == signals.height == 18
    (row,) = bench.compare(runs, [bench.Comparison("c", "d", "before", "after")], signals).to_dicts()
    assert row["tasks"] == 3 and row["repeats"] == 3


@pytest.mark.parametrize(("tasks", "repeats"), [(3, 3), (8, 5)])
@pytest.mark.parametrize("chances", bench.CHANCES)
def test_what_a_verdict_calls_detectable_is_detected_as_often_as_it_says(tasks, repeats, chances):
    effect = bench.stated(Design(tasks, repeats), LIMITS)
    power = shown(Design(tasks, repeats, effect), chances, 300, bench.SEED + 1, LIMITS) / 300
    assert power >= LIMITS["power"] - 0.07  # three standard errors of 300 comparisons
