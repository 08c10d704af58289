"""Numbers behind a comparison of two arms: an exact permutation test, a hierarchical bootstrap interval, and what could have been
seen.

What belongs here: arithmetic on paired values. Which trials count, and what a number means, is `statistics`.

A pair is one task: (values before, values after), one value per trial, in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

Pair = tuple[Sequence[float], Sequence[float]]

# Sums of the same numbers in another order differ in the last bits: they are one value. Over many tasks what is rounded away adds
# up, so that sums which differ by less than a tie are ties.
_DECIMALS = 9
_TIE = 1e-6


def permutation_p(pairs: Sequence[Pair], limits: Mapping[str, Any]) -> float:
    """Two-sided p-value of the mean paired difference, permuting arm labels within each task.

    Exact: the distribution over all relabellings is built task by task. Only where it has too many values (rewards that are no
    grid, many tasks) it is sampled, with the +1 that keeps a sampled p-value valid.
    """
    import numpy as np

    observed = abs(sum(float(np.mean(after)) - float(np.mean(before)) for before, after in pairs))
    tasks = [_relabelled(tuple(sorted([*before, *after])), len(after)) for before, after in pairs]
    exact = _on_one_grid(tasks) or _convolved(tasks, limits["maximum_exact_values"])
    if exact is None:
        return _sampled_p(pairs, observed, limits)
    values, chances = exact
    return float(min(1.0, chances[np.abs(values) >= observed - _TIE].sum()))


@lru_cache(maxsize=4096)
def _relabelled(values: tuple[float, ...], chosen: int) -> tuple[Any, Any]:
    """Differences of means (of `chosen` values, and of the rest) over all ways to choose, with their probabilities."""
    from itertools import combinations
    from math import comb

    import numpy as np

    rest, total = len(values) - chosen, sum(values)
    if set(values) <= {0.0, 1.0}:
        ones = int(total)
        counts = np.arange(max(0, ones - rest), min(chosen, ones) + 1)
        ways = np.array([comb(ones, count) * comb(len(values) - ones, chosen - count) for count in counts], dtype=float)
        sums = counts.astype(float)
    else:
        every = np.array([sum(group) for group in combinations(values, chosen)])
        sums, ways = np.unique(np.round(every, _DECIMALS), return_counts=True)
    return sums / chosen - (total - sums) / rest, ways / ways.sum()


def _on_one_grid(tasks: Sequence[tuple[Any, Any]]) -> tuple[Any, Any] | None:
    """What `_convolved` gives, much faster, where every task's differences lie on one grid (0/1 rewards, equal repeats)."""
    import numpy as np

    steps = [float(step) for values, _ in tasks for step in np.diff(values)]
    if steps and max(steps) - min(steps) > 10**-_DECIMALS:
        return None
    chances = np.ones(1)
    for _, weights in tasks:
        chances = np.convolve(chances, weights)
    # The step as it is: rounded, its error grows with the number of steps, and ties are lost.
    lowest, step = sum(float(values[0]) for values, _ in tasks), steps[0] if steps else 0.0
    return lowest + step * np.arange(len(chances)), chances


def _convolved(tasks: Sequence[tuple[Any, Any]], limit: int) -> tuple[Any, Any] | None:
    """Distribution of the sum of independent task differences; None when it would have more than `limit` values."""
    import numpy as np

    values, chances = np.zeros(1), np.ones(1)
    for differences, weights in tasks:
        sums = np.round(np.add.outer(values, differences).ravel(), _DECIMALS)
        values, place = np.unique(sums, return_inverse=True)
        if len(values) > limit:
            return None
        chances = np.bincount(place.ravel(), weights=np.multiply.outer(chances, weights).ravel())
    return values, chances


def _sampled_p(pairs: Sequence[Pair], observed: float, limits: Mapping[str, Any]) -> float:
    import numpy as np

    source = np.random.default_rng(limits["seed"])
    totals = np.zeros(limits["permutations"])
    for before, after in pairs:
        values = np.array([*before, *after])
        shuffled = source.permuted(np.tile(values, (limits["permutations"], 1)), axis=1)
        totals += shuffled[:, len(before) :].mean(axis=1) - shuffled[:, : len(before)].mean(axis=1)
    as_extreme = int((np.abs(totals) >= observed - _TIE).sum())
    return (as_extreme + 1) / (limits["permutations"] + 1)


def difference(pairs: Sequence[Pair], limits: Mapping[str, Any]) -> tuple[float, float, float]:
    """Mean paired difference (after minus before) and its 95 % interval: a hierarchical bootstrap, over tasks and over the
    trials within them."""
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


def detectable(pairs: Sequence[Pair], comparisons: int, limits: Mapping[str, Any]) -> float:
    """The smallest difference that the test shows with the wished power on so many tasks and repeats, at the level that the
    correction for `comparisons` leaves to one of them; 1 where even that is too small.

    Found by simulating the test itself on 0/1 rewards: at three tasks of three trials the usual normal approximation promises
    power 0.8 where there is 0.6. It depends on the sizes alone, not on the rewards.
    """
    sizes = tuple(sorted((len(before), len(after)) for before, after in pairs))
    return _detectable(
        sizes, limits["alpha"] / max(1, comparisons), limits["power"], limits["simulations"], limits["seed"]
    )


@lru_cache(maxsize=256)
def _detectable(sizes: tuple[tuple[int, int], ...], level: float, power: float, simulations: int, seed: int) -> float:
    low, high = 0, 20  # in steps of 0.05; power grows with the effect
    while high - low > 1:
        middle = (low + high) // 2
        pairs = simulated(sizes, middle / 20, "even", simulations, seed)
        found = sum(permutation_p(pair, {"maximum_exact_values": 50_000}) <= level for pair in pairs)
        low, high = (low, middle) if found >= power * simulations else (middle, high)
    return high / 20


def simulated(
    sizes: Sequence[tuple[int, int]], effect: float, chances: str, count: int, seed: int
) -> Iterator[list[Pair]]:
    """`count` comparisons' worth of 0/1 rewards: per task so many trials before and after, whose chance of success is higher by
    `effect` after.

    chances: how the tasks' chances are spread over what leaves room for the effect: `even`, or `extreme` (most tasks are nearly
    always or nearly never solved, as agents' tasks are).
    """
    import numpy as np

    source = np.random.default_rng(seed)
    shape = {"even": 1.0, "extreme": 0.4}[chances]
    base = source.beta(shape, shape, size=(count, len(sizes))) * (1.0 - effect)
    longest = max(max(pair) for pair in sizes)
    before = source.random((count, len(sizes), longest)) < base[..., None]
    after = source.random((count, len(sizes), longest)) < base[..., None] + effect
    for early, late in zip(before.astype(float).tolist(), after.astype(float).tolist(), strict=True):
        yield [(one[:a], other[:b]) for one, other, (a, b) in zip(early, late, sizes, strict=True)]
