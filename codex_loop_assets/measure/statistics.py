"""Comparing two arms on the same tasks: paired per task, with repeats, an interval, a test, and what could have been seen.

Under the null hypothesis the trials of a task are exchangeable between the arms, so the test permutes arm labels within each
task and is exact whatever the rewards look like; it speaks about these tasks. The interval resamples tasks and trials within
tasks, so it also speaks about tasks like these. Infrastructure failures are left out and counted; a task whose same end state
was graded differently is flaky and left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from codex_loop_assets.settings import section
from codex_loop_assets.tables import REGRESSIONS

REGRESSED, IMPROVED, NO_CHANGE, TOO_LITTLE = "regressed", "improved", "no_change_shown", "not_enough_data"


@dataclass(frozen=True)
class Comparison:
    """What to compare: two arms of one dataset. `endpoint` is `reward` (more is better) or a category, whose `value` per trial
    is 1 where the trial's session showed it (less is better)."""

    cluster_id: str
    dataset: str
    baseline_arm: str
    candidate_arm: str
    endpoint: str = "reward"


def compare(
    runs: pl.DataFrame,
    wanted: Iterable[Comparison],
    trial_signals: pl.DataFrame | None = None,
    settings: Mapping[str, Any] | None = None,
) -> pl.DataFrame:
    """Rows of `regressions`, p-values corrected together (Holm). `runs` are rows of `eval_runs`; `trial_signals` of that table."""
    limits = (settings or section("measure"))["compare"]
    rows = [_compared(runs, comparison, trial_signals, limits) for comparison in wanted]
    _correct(rows, limits)
    return REGRESSIONS.frame([_without_private(row) for row in rows])


def flaky_tasks(runs: pl.DataFrame) -> set[str]:
    """Tasks of which one end state was graded differently."""
    graded = runs.filter(pl.col("end_state").is_not_null() & pl.col("reward").is_not_null())
    states = graded.group_by("task", "end_state").agg(pl.col("reward").n_unique().alias("grades"))
    return set(states.filter(pl.col("grades") > 1)["task"])


def _compared(
    runs: pl.DataFrame, wanted: Comparison, trial_signals: pl.DataFrame | None, limits: Mapping[str, Any]
) -> dict[str, Any]:
    arms = (wanted.baseline_arm, wanted.candidate_arm)
    rows = runs.filter((pl.col("dataset") == wanted.dataset) & pl.col("arm").is_in(arms))
    flaky = flaky_tasks(rows)
    lost = rows.filter(pl.col("error_class").is_in(["infrastructure", "verifier"]))
    valued = _with_values(rows.filter(~pl.col("task").is_in(flaky)), wanted.endpoint, trial_signals)
    pairs = _pairs(valued, arms)
    row = {
        "cluster_id": wanted.cluster_id, "dataset": wanted.dataset, "baseline_arm": arms[0], "candidate_arm": arms[1],
        "endpoint": wanted.endpoint, "tasks": len(pairs), "excluded_infrastructure": lost.height, "quarantined_flaky": len(flaky),
        "repeats": _mean_repeats(pairs), "_better": 1 if wanted.endpoint == "reward" else -1,
    }  # fmt: skip
    problem = _too_little(pairs, rows, lost, arms, limits)
    if pairs:
        difference, low, high = _difference(pairs, limits)
        row |= {
            "difference": difference,
            "interval_low": low,
            "interval_high": high,
            "minimum_detectable_effect": _detectable(pairs, limits),
        }
    if problem:
        return row | {"verdict": TOO_LITTLE, "reason": problem}
    return row | {"verdict": NO_CHANGE, "reason": "", "p_value": permutation_p(pairs, limits)}


def _with_values(rows: pl.DataFrame, endpoint: str, trial_signals: pl.DataFrame | None) -> pl.DataFrame:
    if endpoint == "reward":
        return rows.filter(pl.col("reward").is_not_null()).select("task", "arm", value="reward")
    seen = (trial_signals if trial_signals is not None else pl.DataFrame()).filter(
        (pl.col("category") == endpoint) & pl.col("observable")
    )
    joined = rows.filter(pl.col("reward").is_not_null()).join(
        seen.select("eval_id", "count"), on="eval_id", how="inner"
    )
    return joined.select("task", "arm", value=(pl.col("count") > 0).cast(pl.Float64))


def _pairs(valued: pl.DataFrame, arms: tuple[str, str]) -> list[tuple[list[float], list[float]]]:
    """Per task that both arms ran: (values before, values after)."""
    grouped: dict[str, dict[str, list[float]]] = {}
    for task, arm, value in valued.sort("task", "arm", "value").iter_rows():
        grouped.setdefault(task, {}).setdefault(arm, []).append(value)
    return [(found[arms[0]], found[arms[1]]) for found in grouped.values() if arms[0] in found and arms[1] in found]


def _mean_repeats(pairs: list[tuple[list[float], list[float]]]) -> float:
    counts = [len(values) for pair in pairs for values in pair]
    return sum(counts) / len(counts) if counts else 0.0


def _too_little(
    pairs, rows: pl.DataFrame, lost: pl.DataFrame, arms: tuple[str, str], limits: Mapping[str, Any]
) -> str | None:
    shares = [
        lost.filter(pl.col("arm") == arm).height / max(1, rows.filter(pl.col("arm") == arm).height) for arm in arms
    ]
    if abs(shares[0] - shares[1]) > limits["maximum_infrastructure_gap"]:
        return (
            f"infrastructure failed in {shares[0]:.0%} of the trials before and {shares[1]:.0%} after; what is missing may not be "
            f"missing by chance. Counted as zeros, the difference would be {_as_zeros(rows, arms):+.2f}"
        )
    if len(pairs) < limits["minimum_tasks"]:
        return f"{len(pairs)} task(s) were run in both arms; a verdict needs {limits['minimum_tasks']}"
    fewest = min(len(values) for pair in pairs for values in pair)
    if fewest < limits["minimum_repeats"]:
        return f"a task has only {fewest} graded trial(s) in an arm; a verdict needs {limits['minimum_repeats']}"
    return None


def _as_zeros(rows: pl.DataFrame, arms: tuple[str, str]) -> float:
    means = [rows.filter(pl.col("arm") == arm)["reward"].fill_null(0.0).mean() or 0.0 for arm in arms]
    return float(means[1] - means[0])


def _difference(pairs, limits: Mapping[str, Any]) -> tuple[float, float, float]:
    """Mean paired difference (after minus before) and its 95 % interval, resampling tasks and trials within them."""
    import numpy as np

    source = np.random.default_rng(limits["seed"])
    observed = float(np.mean([np.mean(after) - np.mean(before) for before, after in pairs]))
    resampled = [
        [source.choice(values, size=(limits["resamples"], len(values))).mean(axis=1) for values in pair]
        for pair in pairs
    ]
    per_task = np.array([after - before for before, after in resampled])
    picks = source.integers(0, len(pairs), size=(limits["resamples"], len(pairs)))
    draws = per_task[picks, np.arange(limits["resamples"])[:, None]].mean(axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    return observed, float(low), float(high)


def permutation_p(pairs: list[tuple[list[float], list[float]]], limits: Mapping[str, Any]) -> float:
    """Two-sided p-value of the mean paired difference, permuting arm labels within each task (Monte Carlo, with the +1 that
    keeps it valid)."""
    import numpy as np

    source = np.random.default_rng(limits["seed"])
    observed = abs(sum(np.mean(after) - np.mean(before) for before, after in pairs))
    totals = np.zeros(limits["permutations"])
    for before, after in pairs:
        values = np.array(before + after)
        shuffled = source.permuted(np.tile(values, (limits["permutations"], 1)), axis=1)
        totals += shuffled[:, len(before) :].mean(axis=1) - shuffled[:, : len(before)].mean(axis=1)
    # Sums of the same numbers in another order differ in the last bits; they are ties.
    as_extreme = int((np.abs(totals) >= observed - 1e-9).sum())
    return (as_extreme + 1) / (limits["permutations"] + 1)


def _detectable(pairs, limits: Mapping[str, Any]) -> float:
    """The difference that these tasks and repeats would have shown with the wished power (normal approximation).

    A task whose trials all agree has variance 0 in the sample, not in truth: one trial of each outcome is added to each side.
    """
    from math import sqrt

    from scipy.stats import norm

    def variance(values: list[float]) -> float:
        share = (sum(values) + 1) / (len(values) + 2)
        return max(share * (1 - share), 0.0) / len(values)

    error = sqrt(sum(variance(before) + variance(after) for before, after in pairs)) / len(pairs)
    return float((norm.ppf(1 - limits["alpha"] / 2) + norm.ppf(limits["power"])) * error)


def _correct(rows: list[dict[str, Any]], limits: Mapping[str, Any]) -> None:
    """Holm's correction over all comparisons with a p-value, and the verdicts that follow."""
    from statsmodels.stats.multitest import multipletests

    tested = [row for row in rows if "p_value" in row]
    if not tested:
        return
    adjusted = multipletests([row["p_value"] for row in tested], alpha=limits["alpha"], method="holm")[1]
    for row, p in zip(tested, adjusted, strict=True):
        row["p_adjusted"] = float(p)
        better = row["difference"] * row["_better"] > 0
        if p < limits["alpha"]:
            row["verdict"] = IMPROVED if better else REGRESSED
        row["reason"] = (
            f"{row['tasks']} tasks, {row['repeats']:.1f} trials each per arm: difference {row['difference']:+.2f} "
            f"[{row['interval_low']:+.2f}, {row['interval_high']:+.2f}], adjusted p {p:.3f}; a difference of "
            f"{row['minimum_detectable_effect']:.2f} would have been seen with power {limits['power']:g}"
        )


def _without_private(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if not key.startswith("_")}
