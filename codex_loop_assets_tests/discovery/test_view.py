"""Laws of what one day looks at: bounded, the same every time, and enough."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from codex_loop_assets.discovery.cluster import advance
from codex_loop_assets.discovery.vectors import Vectors
from codex_loop_assets.discovery.view import look
from codex_loop_assets.settings import section
from codex_loop_assets_tests.discovery.stream import START, Theme, stream

SETTINGS = section("discovery")
CLUSTERS = SETTINGS["clusters"]
SMALL = {"fit_cap": 40, "sample_per_cluster": 5}
DAY = START + timedelta(100)


class OnlyAsked:
    """Vectors that count how many of them are read."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors, self.read = vectors, []

    def known(self, ids: pl.Series) -> pl.Series:
        return self.vectors.known(ids)

    def take(self, ids: pl.Series) -> np.ndarray:
        self.read.append(len(ids))
        return self.vectors.take(ids)


def members(places: list[tuple[int | None, int]]) -> pl.DataFrame:
    """A member per (cluster, days ago)."""
    rows = [
        {
            "signal_id": f"sig_{number:05d}",
            "cluster_id": None if code is None else f"c{code}",
            "arrived": DAY - timedelta(ago),
        }
        for number, (code, ago) in enumerate(places)
    ]
    return pl.DataFrame(rows, schema={"signal_id": pl.String, "cluster_id": pl.String, "arrived": pl.Date})


def seen(frame: pl.DataFrame, **settings: int) -> pl.DataFrame:
    vectors = Vectors(frame["signal_id"], np.ones((frame.height, 2), np.float32))
    return look(frame, vectors, DAY, CLUSTERS | SMALL | settings).members


@settings(deadline=None)
@given(st.lists(st.tuples(st.none() | st.integers(0, 6), st.integers(0, 120)), max_size=300))
def test_a_view_holds_all_that_is_new_and_some_of_every_cluster_and_no_more_than_its_bound(places):
    frame = members(places)
    view = seen(frame)
    new = frame.filter(pl.col("arrived") == DAY)
    bound = (
        new.height + 2 * SMALL["fit_cap"] + SMALL["sample_per_cluster"] * frame["cluster_id"].drop_nulls().n_unique()
    )
    assert view["signal_id"].is_sorted() and view["signal_id"].is_unique().all()
    assert set(new["signal_id"]) <= set(view["signal_id"]) and view.height <= bound
    assert set(view["cluster_id"].drop_nulls()) == set(frame["cluster_id"].drop_nulls())
    if frame.height <= SMALL["fit_cap"]:
        assert view.height == frame.height


def test_a_view_takes_the_newest_and_of_a_cluster_those_that_still_shape_it():
    old_and_new = members([(1, 100)] * 200 + [(2, 1)] * 100 + [(1, 50)] * 5)
    view = seen(old_and_new)
    assert (view.filter(pl.col("cluster_id") == "c1")["arrived"] == DAY - timedelta(50)).all()
    assert view.filter(pl.col("cluster_id") == "c2").height >= SMALL["fit_cap"]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_history_many_times_the_cap_is_clustered_from_a_bounded_part_of_its_vectors(seed):
    """Every merge, split and end reaches the members that the day did not look at."""
    made = stream([Theme(f"theme {number}", 4 + number) for number in range(6)], 20, spread=0.4, seed=seed)
    vectors, state = OnlyAsked(made.table), None
    settings = SETTINGS | {"clusters": CLUSTERS | {"fit_cap": 200, "sample_per_cluster": 20}}
    for number in range(20):
        day = START + timedelta(number)
        state = advance(state, day, made.signals, vectors, settings, embedding_model="test/64", newest=state)
    live = set(state.clusters.filter(pl.col("status") == "live")["cluster_id"])
    held = state.members.drop_nulls("cluster_id")
    assert set(held["cluster_id"]) <= live and state.members.height > 800
    assert dict(held.group_by("cluster_id").len().iter_rows()) == dict(
        state.clusters.filter(pl.col("status") == "live").select("cluster_id", "size").iter_rows()
    )
    assert max(vectors.read) < 600
    themed = [
        (made.truth[key], cluster or key)
        for key, cluster in state.members.select("signal_id", "cluster_id").iter_rows()
        if made.truth[key]
    ]
    assert adjusted_rand_score(*zip(*themed, strict=True)) >= 0.9


def test_a_history_many_times_the_cap_breeds_no_doubles_of_its_clusters():
    """Members left out of the fit are not missing: at the edges of old clusters new points found clusters of their own."""
    made = stream([Theme(f"theme {number}", 60) for number in range(10)], 6, spread=0.8, background=0)
    state, settings = None, SETTINGS | {"clusters": CLUSTERS | {"fit_cap": 200, "sample_per_cluster": 20}}
    for number in (3, 4, 5):
        day = START + timedelta(number)
        state = advance(state, day, made.signals, made.table, settings, embedding_model="test/64", newest=state)
        assert state.clusters.filter(pl.col("status") == "live").height == 10
