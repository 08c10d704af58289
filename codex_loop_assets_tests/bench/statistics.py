"""False alarms and power of the comparison of two arms, as docs/statistics.md publishes them.

python -m codex_loop_assets_tests.bench statistics
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from codex_loop_assets.measure.resampling import Pair, detectable
from codex_loop_assets.measure.simulation import Design, alarm_bounds, pairs_of, shown
from codex_loop_assets.measure.statistics import NO_CHANGE, Comparison, compare
from codex_loop_assets.settings import section
from codex_loop_assets.tables import EVAL_RUNS, TRIAL_SIGNALS

# Fixed before the first run; the figures are not chosen among seeds.
SEED = 20260324
SIZES = [(tasks, repeats) for tasks in (3, 8, 20) for repeats in (3, 5)]
EFFECTS = (0.2, 0.3, 0.4, 0.6)
CHANCES = ("even", "extreme")
WHOLE = (8, 3)  # size at which the whole verdict is simulated, by `compare` itself
COMPARISONS = 1000
CATEGORY = "exec_failure"


def main() -> None:
    """Print both tables as Markdown."""
    limits = section("measure")["compare"]
    print("\n".join([*false_alarm_table(limits), "", *power_table(limits)]))


def false_alarm_table(limits: Mapping[str, Any]) -> Iterator[str]:
    """Equal arms: how often the test, or the verdict of a dataset over two endpoints, says that something changed."""
    yield "| tasks | k | chances | alarms in 1,000 | one-sided 95 % lower bound |"
    yield "|---|---|---|---|---|"
    for chances in CHANCES:
        for tasks, repeats in SIZES:
            alarms = shown(Design(tasks, repeats), chances, COMPARISONS, SEED, limits)
            yield f"| {tasks} | {repeats} | {chances} | {alarms} | {alarm_bounds(alarms, COMPARISONS)[0]:.3f} |"
        alarms = dataset_alarms(Design(*WHOLE), chances, limits)
        bound = alarm_bounds(alarms, COMPARISONS)[0]
        yield f"| {WHOLE[0]} | {WHOLE[1]} | {chances}, whole verdict | {alarms} | {bound:.3f} |"


def power_table(limits: Mapping[str, Any]) -> Iterator[str]:
    """Arms that differ: in what share of 1,000 comparisons the test shows it, and the detectable difference that verdicts state."""
    heads = " | ".join(f"+{effect:g}" for effect in EFFECTS)
    yield f"| tasks | k | chances | {heads} | stated as detectable |"
    yield "|---|---|---|" + "---|" * len(EFFECTS) + "---|"
    for chances in CHANCES:
        for tasks, repeats in SIZES:
            powers = [shown(Design(tasks, repeats, effect), chances, COMPARISONS, SEED, limits) for effect in EFFECTS]
            cells = " | ".join(f"{count / COMPARISONS:.2f}" for count in powers)
            yield f"| {tasks} | {repeats} | {chances} | {cells} | {stated(Design(tasks, repeats), limits):.2f} |"


def stated(design: Design, limits: Mapping[str, Any]) -> float:
    """What a verdict on so many trials states as the minimum detectable effect."""
    return detectable(next(pairs_of(design, "even", 1, SEED)), 1, limits)


def dataset_alarms(design: Design, chances: str, limits: Mapping[str, Any]) -> int:
    """How many of 1,000 datasets with equal arms get a verdict other than "no change shown" from `compare` itself, which looks at
    the reward and at the rate of the originating friction, and corrects for both."""
    rewards = pairs_of(design, chances, COMPARISONS, SEED)
    friction = pairs_of(design, chances, COMPARISONS, SEED + 1)
    wanted = [Comparison("c", "d", "before", "after", endpoint) for endpoint in ("reward", CATEGORY)]
    fast = {"compare": {**limits, "resamples": 2}}  # the interval is told, and decides nothing
    alarms = 0
    for number, (reward, seen) in enumerate(zip(rewards, friction, strict=True)):
        runs, signals = tables(number, reward, seen)
        alarms += (compare(runs, wanted, signals, fast)["verdict"] != NO_CHANGE).any()
    return alarms


def tables(number: int, rewards: list[Pair], friction: list[Pair]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of `eval_runs` and `trial_signals` for one dataset of simulated trials."""
    runs, signals = [], []
    for task, (graded, seen) in enumerate(zip(rewards, friction, strict=True)):
        for arm, values, counts in zip(("before", "after"), graded, seen, strict=True):
            for attempt, (reward, count) in enumerate(zip(values, counts, strict=True)):
                key = f"{number}-{task}-{arm}-{attempt}"
                run = {"eval_id": key, "cluster_id": "c", "dataset": "d", "task": f"t{task}", "agent": "a", "arm": arm}
                runs.append(run | {"attempt": attempt, "reward": reward, "job_dir": arm, "trial": key})
                found = {"eval_id": key, "cluster_id": "c", "category": CATEGORY, "observable": True}
                signals.append(found | {"count": int(count)})
    return EVAL_RUNS.frame(runs), TRIAL_SIGNALS.frame(signals)
