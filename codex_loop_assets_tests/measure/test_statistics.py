"""Laws of comparison: no false alarms beyond the level, real differences found, nothing claimed from too little."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_loop_assets.measure.statistics import (
    IMPROVED,
    NO_CHANGE,
    REGRESSED,
    TOO_LITTLE,
    Comparison,
    compare,
    permutation_p,
)
from codex_loop_assets.settings import section
from codex_loop_assets.tables import EVAL_RUNS

WANTED = Comparison("c1", "d", "before", "after")


def runs(before: dict[str, list], after: dict[str, list]) -> pl.DataFrame:
    """Rows of eval_runs: task -> rewards per arm; a reward None is an infrastructure failure."""
    rows = [
        {
            "eval_id": f"{arm}-{task}-{attempt}", "cluster_id": "c1", "dataset": "d", "task": task, "agent": "codex", "arm": arm,
            "attempt": attempt, "reward": reward, "error_class": "infrastructure" if reward is None else None, "job_dir": arm,
            "trial": f"{task}-{attempt}",
        }
        for arm, tasks in (("before", before), ("after", after))
        for task, rewards in tasks.items()
        for attempt, reward in enumerate(rewards)
    ]  # fmt: skip
    return EVAL_RUNS.frame(rows)


def verdict(before, after) -> dict:
    return compare(runs(before, after), [WANTED]).row(0, named=True)


def everywhere(rewards: list, tasks: int = 4) -> dict[str, list]:
    return {f"t{number}": rewards for number in range(tasks)}


def test_a_fix_that_works_everywhere_is_an_improvement_and_its_mirror_a_regression():
    assert verdict(everywhere([0.0] * 3), everywhere([1.0] * 3))["verdict"] == IMPROVED
    assert verdict(everywhere([1.0] * 3), everywhere([0.0] * 3))["verdict"] == REGRESSED


def test_swapping_the_arms_turns_the_difference_around():
    one = verdict(everywhere([0.0, 1.0, 0.0]), everywhere([1.0, 1.0, 0.0]))
    other = verdict(everywhere([1.0, 1.0, 0.0]), everywhere([0.0, 1.0, 0.0]))
    assert one["difference"] == pytest.approx(-other["difference"])


def test_equal_arms_show_no_change():
    assert verdict(everywhere([0.0, 1.0, 1.0]), everywhere([1.0, 0.0, 1.0]))["verdict"] == NO_CHANGE


def test_a_job_whose_trials_all_errored_is_never_a_regression():
    row = verdict(everywhere([1.0] * 3), everywhere([None] * 3))
    assert row["verdict"] == TOO_LITTLE and row["excluded_infrastructure"] == 12
    assert "Counted as zeros" in row["reason"]


@pytest.mark.parametrize(("tasks", "repeats"), [(2, 3), (4, 1)])
def test_too_few_tasks_or_repeats_are_not_enough_data(tasks, repeats):
    assert verdict(everywhere([0.0] * repeats, tasks), everywhere([1.0] * repeats, tasks))["verdict"] == TOO_LITTLE


def test_a_task_whose_same_end_state_was_graded_differently_is_quarantined():
    frame = runs(everywhere([0.0] * 3), everywhere([1.0] * 3))
    flaky = frame.with_columns(
        end_state=pl.when(pl.col("task") == "t0").then(pl.lit("same")).otherwise(pl.col("eval_id"))
    )
    assert compare(flaky, [WANTED])["quarantined_flaky"].item() == 1
    assert compare(flaky, [WANTED])["tasks"].item() == 3


def test_many_comparisons_are_corrected_together():
    frame = runs(everywhere([0.0, 0.0, 0.0], 3), everywhere([1.0, 1.0, 0.0], 3))
    alone = compare(frame, [WANTED])["p_adjusted"].item()
    others = [frame.with_columns(dataset=pl.lit(f"d{n}"), eval_id=pl.col("eval_id") + str(n)) for n in range(5)]
    together = compare(
        pl.concat([frame, *others]), [WANTED, *(Comparison("c1", f"d{n}", "before", "after") for n in range(5))]
    )
    assert together.filter(pl.col("dataset") == "d")["p_adjusted"].item() > alone


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=5),
            st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=5),
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=30, deadline=None)
def test_a_p_value_is_a_probability_and_does_not_depend_on_the_order_of_trials(pairs):
    limits = {**section("measure")["compare"], "permutations": 200}
    p = permutation_p(pairs, limits)
    assert 0 < p <= 1
    assert permutation_p([(after, before) for before, after in pairs], limits) == pytest.approx(p, abs=0.15)


def test_equal_arms_raise_no_more_false_alarms_than_the_level_allows():
    """200 A/A comparisons here; `python -m codex_loop_assets_tests.bench false_alarms` runs 1,000 and the power table."""
    import numpy as np
    from scipy.stats import binomtest

    limits = {**section("measure")["compare"], "permutations": 400}
    source = np.random.default_rng(7)
    alarms = 0
    for _ in range(200):
        rates = source.uniform(0.2, 0.9, size=6)
        pairs = [
            (list(source.binomial(1, rate, 3).astype(float)), list(source.binomial(1, rate, 3).astype(float)))
            for rate in rates
        ]
        alarms += permutation_p(pairs, limits) < 0.05
    assert binomtest(alarms, 200).proportion_ci(0.90).low <= 0.05
