"""How often the comparison is wrong, and what it can see: simulated trials of two arms, equal or not, judged as real ones are.

What belongs here: counts over made-up comparisons. The published figures are printed by
`python -m codex_loop_assets_tests.bench statistics`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from codex_loop_assets.measure.resampling import Pair, permutation_p, simulated


@dataclass(frozen=True)
class Design:
    """A comparison to simulate: `tasks` tasks with `repeats` trials per arm, and by how much the chance that a trial succeeds is
    higher in the second arm."""

    tasks: int
    repeats: int
    effect: float = 0.0


def pairs_of(design: Design, chances: str, count: int, seed: int) -> Iterator[list[Pair]]:
    """`count` comparisons' worth of 0/1 rewards; `chances` as in `resampling.simulated`."""
    return simulated([(design.repeats, design.repeats)] * design.tasks, design.effect, chances, count, seed)


def shown(design: Design, chances: str, count: int, seed: int, limits: Mapping[str, Any]) -> int:
    """In how many of `count` comparisons the test shows a difference at the level of the settings."""
    return sum(permutation_p(pairs, limits) < limits["alpha"] for pairs in pairs_of(design, chances, count, seed))


def alarm_bounds(alarms: int, comparisons: int) -> tuple[float, float]:
    """One-sided 95 % bounds (Clopper and Pearson) of a false-alarm rate, lower and upper."""
    from scipy.stats import binomtest

    interval = binomtest(alarms, comparisons).proportion_ci(0.90, method="exact")
    return float(interval.low), float(interval.high)
