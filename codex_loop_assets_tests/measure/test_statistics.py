"""Laws of comparison: no false alarms beyond the level, real differences found, nothing claimed from too little."""

import itertools
from collections import Counter
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_loop_assets.measure.resampling import detectable, difference, permutation_p
from codex_loop_assets.measure.statistics import (
    IMPROVED,
    NO_CHANGE,
    REGRESSED,
    TOO_LITTLE,
    Comparison,
    compare,
)
from codex_loop_assets.settings import section
from codex_loop_assets.tables import EVAL_RUNS, TRIAL_SIGNALS

LIMITS = section("measure")["compare"]
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
    assert "Counted as zeros, the reward's difference would be -1.00" in row["reason"]


def test_arms_that_lost_different_shares_of_trials_give_no_verdict_and_the_sensitivity():
    row = verdict(everywhere([0.0] * 4), everywhere([1.0, 1.0, None, None]))
    assert row["verdict"] == TOO_LITTLE
    assert "it lies between +0.50 and +1.00" in row["reason"]


def test_a_small_difference_in_lost_trials_counts_once_chance_does_not_explain_it():
    few = verdict(everywhere([0.0] * 8), everywhere([1.0] * 7 + [None]))
    many = verdict(everywhere([0.0] * 8, 12), everywhere([1.0] * 7 + [None], 12))
    assert (few["verdict"], many["verdict"]) == (IMPROVED, TOO_LITTLE)
    assert "4 trial(s) left out" in few["reason"]


def test_a_task_that_changed_between_the_arms_is_left_out_and_said():
    frame = runs(everywhere([0.0] * 3), everywhere([1.0] * 3)).with_columns(
        task_digest=pl.when(pl.col("task") == "t0").then(pl.col("arm")).otherwise(pl.lit("same"))
    )
    row = compare(frame, [WANTED]).row(0, named=True)
    assert row["tasks"] == 3 and "1 task(s) changed between the arms" in row["reason"]


def test_a_task_that_one_arm_never_ran_is_said():
    row = verdict(everywhere([0.0] * 3, 5), everywhere([1.0] * 3, 4))
    assert row["tasks"] == 4 and "1 task(s) without a usable trial in both arms" in row["reason"]


def test_a_set_may_ask_for_more_tasks_than_the_settings():
    frame = runs(everywhere([0.0] * 3), everywhere([1.0] * 3))
    wanted = Comparison("c1", "d", "before", "after", minimum_tasks=5)
    row = compare(frame, [wanted]).row(0, named=True)
    assert row["verdict"] == TOO_LITTLE and "a verdict needs 5" in row["reason"]


@pytest.mark.parametrize("repeats", [1, 3])
def test_every_comparison_says_what_it_could_have_seen(repeats):
    row = verdict(everywhere([0.0] * repeats), everywhere([1.0] * repeats))
    assert (
        f"a difference of {row['minimum_detectable_effect']:.2f} would have been seen with power 0.8" in row["reason"]
    )


def test_friction_that_goes_away_is_an_improvement_and_unobservable_trials_are_no_zeros():
    frame = runs(everywhere([1.0] * 3), everywhere([1.0] * 3))
    wanted = [Comparison("c1", "d", "before", "after", "exec_failure")]

    def judged(observable: bool) -> dict:
        seen = [
            {
                "eval_id": key,
                "cluster_id": "c1",
                "category": "exec_failure",
                "observable": observable,
                "count": 2 * (arm == "before"),
            }
            for key, arm in frame.select("eval_id", "arm").iter_rows()
        ]
        return compare(frame, wanted, TRIAL_SIGNALS.frame(seen)).row(0, named=True)

    assert judged(True)["verdict"] == IMPROVED and judged(True)["difference"] == -1.0
    assert judged(False)["verdict"] == TOO_LITTLE and judged(False)["tasks"] == 0


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


VALUES = st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=2, max_size=4)


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=2))
@settings(max_examples=30, deadline=None)
def test_a_p_value_is_the_share_of_relabellings_that_are_as_extreme(pairs):
    def differences(pair):
        values, size = [*pair[0], *pair[1]], len(pair[1])
        for chosen in itertools.combinations(range(len(values)), size):
            after = [values[place] for place in chosen]
            yield sum(after) / size - (sum(values) - sum(after)) / (len(values) - size)

    observed = abs(sum(sum(after) / len(after) - sum(before) / len(before) for before, after in pairs))
    every = [abs(sum(parts)) for parts in itertools.product(*(list(differences(pair)) for pair in pairs))]
    share = sum(value >= observed - 1e-9 for value in every) / len(every)
    assert permutation_p(pairs, LIMITS) == pytest.approx(share)
    assert permutation_p([(after, before) for before, after in pairs], LIMITS) == pytest.approx(share)


@pytest.mark.parametrize("odd", [[], [([0.0, 0.5], [0.5, 1.0])]])
def test_ties_are_not_lost_over_many_tasks(odd):
    """Differences of thirds tie with the observed one in the last bits only: on one grid, and with a task beside it."""
    pairs = [([0.0, 0.0, 1.0], [1.0, 1.0, 0.0])] * 20 + odd
    sums = {Fraction(0): Fraction(1)}
    for before, after in pairs:
        values, size = [Fraction(value) for value in (*before, *after)], len(after)
        choices = [sum(group) for group in itertools.combinations(values, size)]
        differences = [chosen / size - (sum(values) - chosen) / (len(values) - size) for chosen in choices]
        grown: dict[Fraction, Fraction] = {}
        for total, chance in sums.items():
            for value, count in Counter(differences).items():
                grown[total + value] = grown.get(total + value, Fraction(0)) + chance * count / len(differences)
        sums = grown
    observed = sum(
        sum(map(Fraction, after)) / len(after) - sum(map(Fraction, before)) / len(before) for before, after in pairs
    )
    exact = sum(chance for total, chance in sums.items() if abs(total) >= abs(observed))
    assert permutation_p(pairs, LIMITS) == pytest.approx(float(exact), rel=1e-6)


def test_a_distribution_too_large_to_build_is_sampled():
    pairs = [([0.1, 0.7, 0.2], [0.9, 0.35, 0.8]), ([0.0, 0.3, 0.5], [0.6, 0.65, 0.2])]
    sampled = permutation_p(pairs, LIMITS | {"maximum_exact_values": 1})
    assert sampled == pytest.approx(permutation_p(pairs, LIMITS), abs=0.02)


def test_the_interval_holds_the_difference_and_narrows_with_tasks():
    few, many = ([([0.0, 1.0, 0.0], [1.0, 1.0, 0.0])] * tasks for tasks in (3, 30))
    widths = []
    for pairs in (few, many):
        mean, low, high = difference(pairs, LIMITS)
        assert low <= mean <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_more_comparisons_leave_less_to_be_seen():
    pairs = [([0.0, 1.0, 0.0], [1.0, 1.0, 0.0])] * 8
    assert detectable(pairs, 4, LIMITS) > detectable(pairs, 1, LIMITS)
