"""Laws of the fit of one day's points."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from codex_loop_assets.discovery.fit import NOT_FITTED, fit_points
from codex_loop_assets.settings import section
from codex_loop_assets_tests.discovery.stream import START, Theme, stream

SETTINGS = section("discovery")["clusters"]


def fitted(themes: list[Theme], days: int, seed: int, **settings) -> tuple[list[str], np.ndarray]:
    """The true theme and the group of each point of a loose stream."""
    made = stream(themes, days, spread=1.0, seed=seed)
    ids = made.signals["signal_id"].to_list()
    arrived = np.full(len(ids), START.toordinal())
    groups = fit_points(
        made.signals["signal_id"],
        made.table.take(made.signals["signal_id"]),
        np.full(len(ids), -1),
        arrived,
        START,
        SETTINGS | settings,
    )
    return [made.truth[key] for key in ids], groups


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_trouble_that_makes_up_most_of_the_day_is_one_group_and_not_a_hundred_shards(seed):
    themes = [Theme("great", 60), Theme("small", 4), Theme("other", 4), Theme("third", 2)]
    truth, groups = fitted(themes, 10, seed)
    great = Counter(group for name, group in zip(truth, groups.tolist(), strict=True) if name == "great")
    assert great.most_common(1)[0][1] >= 0.9 * great.total() and great.most_common(1)[0][0] >= 0
    named = [(name, group) for name, group in zip(truth, groups.tolist(), strict=True) if name]
    assert adjusted_rand_score([name for name, _ in named], [group for _, group in named]) >= 0.9


def test_a_long_history_is_fitted_on_a_bounded_sample():
    _, groups = fitted([Theme("one", 40), Theme("two", 40)], 10, 0, fit_cap=200)
    assert (groups != NOT_FITTED).sum() == 200
