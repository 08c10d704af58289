"""Comparing two arms on the same tasks: which trials count, what the numbers mean, and what could have been seen.

Under the null hypothesis the trials of a task are exchangeable between the arms, so the test permutes arm labels within each
task and is exact whatever the rewards look like; it speaks about these tasks. The interval resamples tasks and trials within
tasks, so it also speaks about tasks like these. Infrastructure failures are left out and counted; a task whose same end state
was graded differently is flaky and left out; so is a task that changed between the arms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from codex_loop_assets.measure import resampling
from codex_loop_assets.measure.resampling import Pair
from codex_loop_assets.settings import section
from codex_loop_assets.tables import REGRESSIONS

REGRESSED, IMPROVED, NO_CHANGE, TOO_LITTLE = "regressed", "improved", "no_change_shown", "not_enough_data"
REWARD = "reward"


@dataclass(frozen=True)
class Comparison:
    """What to compare: two arms of one dataset. `endpoint` is `reward` (more is better) or a category, whose `value` per trial
    is 1 where the trial's session showed it (less is better). `minimum_tasks`: paired tasks below which there is no verdict,
    where the set that the dataset stands for asks for more than the settings do. `remarks`: what else a reader has to know."""

    cluster_id: str
    dataset: str
    baseline_arm: str
    candidate_arm: str
    endpoint: str = REWARD
    minimum_tasks: int = 0
    remarks: tuple[str, ...] = ()


@dataclass
class _Finding:
    """A comparison on its way to a row: the paired values, what was left out and why there is no verdict (if so)."""

    wanted: Comparison
    pairs: list[Pair]
    excluded: int
    flaky: int
    remarks: list[str]
    problem: str | None = None
    numbers: dict[str, float] = field(default_factory=dict)


def compare(
    runs: pl.DataFrame,
    wanted: Iterable[Comparison],
    trial_signals: pl.DataFrame | None = None,
    settings: Mapping[str, Any] | None = None,
) -> pl.DataFrame:
    """Rows of `regressions`, p-values corrected together (Holm). `runs` are rows of `eval_runs`; `trial_signals` of that table."""
    limits = (settings or section("measure"))["compare"]
    findings = [_finding(runs, comparison, trial_signals, limits) for comparison in wanted]
    tested = [finding for finding in findings if finding.problem is None]
    for finding in findings:
        if finding.pairs:
            finding.numbers |= _numbers(finding.pairs, len(tested), limits)
    adjusted = _adjusted([resampling.permutation_p(finding.pairs, limits) for finding in tested], limits)
    for finding, (p, corrected) in zip(tested, adjusted, strict=True):
        finding.numbers |= {"p_value": p, "p_adjusted": corrected}
    return REGRESSIONS.frame([_row(finding, limits) for finding in findings])


def flaky_tasks(runs: pl.DataFrame) -> set[str]:
    """Tasks of which one end state was graded differently."""
    graded = runs.filter(pl.col("end_state").is_not_null() & pl.col("reward").is_not_null())
    states = graded.group_by("task", "task_digest", "end_state").agg(pl.col("reward").n_unique().alias("grades"))
    return set(states.filter(pl.col("grades") > 1)["task"])


def changed_tasks(runs: pl.DataFrame, arms: Sequence[str]) -> set[str]:
    """Tasks whose folder was another one in each arm: their trials tell about the tasks, not about the arms."""
    digests = runs.drop_nulls("task_digest").group_by("task", "arm").agg(pl.col("task_digest").unique())
    found: dict[str, dict[str, set[str]]] = {}
    for task, arm, values in digests.iter_rows():
        found.setdefault(task, {})[arm] = set(values)
    return {
        task for task, per_arm in found.items() if len(per_arm) == len(arms) and not set.intersection(*per_arm.values())
    }


def _finding(
    runs: pl.DataFrame, wanted: Comparison, trial_signals: pl.DataFrame | None, limits: Mapping[str, Any]
) -> _Finding:
    arms = (wanted.baseline_arm, wanted.candidate_arm)
    rows = runs.filter((pl.col("dataset") == wanted.dataset) & pl.col("arm").is_in(arms))
    flaky, changed = flaky_tasks(rows), changed_tasks(rows, arms)
    lost = rows.filter(pl.col("error_class").is_in(["infrastructure", "verifier"]))
    fit = rows.filter(~pl.col("task").is_in(flaky | changed))
    pairs = _pairs(_with_values(fit, wanted.endpoint, trial_signals), arms)
    single = fit["task"].n_unique() - len(pairs)
    remarks = [
        f"{count} {text}"
        for count, text in (
            (lost.height, "trial(s) left out as failures of infrastructure or verifier"),
            (len(flaky), "flaky task(s) quarantined"),
            (len(changed), "task(s) changed between the arms and left out"),
            (single, "task(s) without a usable trial in both arms"),
        )
        if count
    ]
    problem = _too_little(pairs, rows, lost, wanted, limits)
    return _Finding(wanted, pairs, lost.height, len(flaky), remarks, problem)


def _with_values(rows: pl.DataFrame, endpoint: str, trial_signals: pl.DataFrame | None) -> pl.DataFrame:
    graded = rows.filter(pl.col("reward").is_not_null())
    if endpoint == REWARD:
        return graded.select("task", "arm", value="reward")
    if trial_signals is None:
        return graded.select("task", "arm", value="reward").clear()
    seen = trial_signals.filter((pl.col("category") == endpoint) & pl.col("observable"))
    joined = graded.join(seen.select("eval_id", "count"), on="eval_id", how="inner")
    return joined.select("task", "arm", value=(pl.col("count") > 0).cast(pl.Float64))


def _pairs(valued: pl.DataFrame, arms: tuple[str, str]) -> list[Pair]:
    """Per task that both arms ran: (values before, values after)."""
    grouped: dict[str, dict[str, list[float]]] = {}
    for task, arm, value in valued.sort("task", "arm", "value").iter_rows():
        grouped.setdefault(task, {}).setdefault(arm, []).append(value)
    return [(found[arms[0]], found[arms[1]]) for found in grouped.values() if arms[0] in found and arms[1] in found]


def _too_little(
    pairs: list[Pair], rows: pl.DataFrame, lost: pl.DataFrame, wanted: Comparison, limits: Mapping[str, Any]
) -> str | None:
    """Why there can be no verdict; None when there can."""
    arms = (wanted.baseline_arm, wanted.candidate_arm)
    if problem := _unequal_failures(rows, lost, arms, limits):
        return problem
    needed = max(limits["minimum_tasks"], wanted.minimum_tasks)
    if len(pairs) < needed:
        return f"{len(pairs)} task(s) were run in both arms; a verdict needs {needed}"
    fewest = min(len(values) for pair in pairs for values in pair)
    if fewest < limits["minimum_repeats"]:
        return f"a task has only {fewest} graded trial(s) in an arm; a verdict needs {limits['minimum_repeats']}"
    return None


def _unequal_failures(
    rows: pl.DataFrame, lost: pl.DataFrame, arms: tuple[str, str], limits: Mapping[str, Any]
) -> str | None:
    """Why what is missing may not be missing by chance: the arms' shares of failed infrastructure lie far apart, or apart by more
    than chance explains."""
    from scipy.stats import fisher_exact

    failed = [lost.filter(pl.col("arm") == arm).height for arm in arms]
    total = [rows.filter(pl.col("arm") == arm).height for arm in arms]
    shares = [count / max(1, of) for count, of in zip(failed, total, strict=True)]
    table = [[count, of - count] for count, of in zip(failed, total, strict=True)]
    unlikely = all(total) and fisher_exact(table).pvalue < limits["alpha"]
    if abs(shares[0] - shares[1]) <= limits["maximum_infrastructure_gap"] and not unlikely:
        return None
    as_failed, worst, best = _sensitivity(rows, arms)
    return (
        f"infrastructure failed in {shares[0]:.0%} of the trials before and {shares[1]:.0%} after; what is missing may not be "
        f"missing by chance. Counted as zeros, the reward's difference would be {as_failed:+.2f}; whatever the missing trials had "
        f"scored, it lies between {worst:+.2f} and {best:+.2f}"
    )


def _sensitivity(rows: pl.DataFrame, arms: tuple[str, str]) -> tuple[float, float, float]:
    """Difference of mean rewards with missing ones counted as 0; as 1 before and 0 after; as 0 before and 1 after."""

    def mean(arm: str, missing: float) -> float:
        return float(rows.filter(pl.col("arm") == arm)["reward"].fill_null(missing).mean() or 0.0)

    before, after = arms
    return tuple(mean(after, late) - mean(before, early) for early, late in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))


def _numbers(pairs: list[Pair], comparisons: int, limits: Mapping[str, Any]) -> dict[str, float]:
    mean, low, high = resampling.difference(pairs, limits)
    return {
        "difference": mean,
        "interval_low": low,
        "interval_high": high,
        "minimum_detectable_effect": resampling.detectable(pairs, comparisons, limits),
    }


def _adjusted(values: list[float], limits: Mapping[str, Any]) -> list[tuple[float, float]]:
    """(p-value, p-value after Holm's correction over all of them)."""
    from statsmodels.stats.multitest import multipletests

    if not values:
        return []
    corrected = multipletests(values, alpha=limits["alpha"], method="holm")[1]
    return [(value, float(other)) for value, other in zip(values, corrected, strict=True)]


def _row(finding: _Finding, limits: Mapping[str, Any]) -> dict[str, Any]:
    wanted, numbers = finding.wanted, finding.numbers
    repeats = _mean_repeats(finding.pairs)
    row = {
        "cluster_id": wanted.cluster_id,
        "dataset": wanted.dataset,
        "baseline_arm": wanted.baseline_arm,
        "candidate_arm": wanted.candidate_arm,
        "endpoint": wanted.endpoint,
        "tasks": len(finding.pairs),
        "repeats": repeats,
        "excluded_infrastructure": finding.excluded,
        "quarantined_flaky": finding.flaky,
    }
    reasons = [finding.problem] if finding.problem else []
    if numbers:
        corrected = f", adjusted p {numbers['p_adjusted']:.3f}" if "p_adjusted" in numbers else ""
        reasons.append(
            f"{len(finding.pairs)} tasks, {repeats:.1f} trials each per arm: difference {numbers['difference']:+.2f} "
            f"[{numbers['interval_low']:+.2f}, {numbers['interval_high']:+.2f}]{corrected}; a difference of "
            f"{numbers['minimum_detectable_effect']:.2f} would have been seen with power {limits['power']:g}"
        )
    return (
        row
        | numbers
        | {"verdict": _verdict(finding, limits), "reason": "; ".join([*reasons, *finding.remarks, *wanted.remarks])}
    )


def _verdict(finding: _Finding, limits: Mapping[str, Any]) -> str:
    if finding.problem:
        return TOO_LITTLE
    if finding.numbers["p_adjusted"] >= limits["alpha"]:
        return NO_CHANGE
    better = finding.numbers["difference"] * (1 if finding.wanted.endpoint == REWARD else -1) > 0
    return IMPROVED if better else REGRESSED


def _mean_repeats(pairs: list[Pair]) -> float:
    counts = [len(values) for pair in pairs for values in pair]
    return sum(counts) / len(counts) if counts else 0.0
