"""Laws of the daily step of clusters: identity, lineage, late data, replay."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sklearn.metrics import adjusted_rand_score

from codex_loop_assets.discovery.cluster import advance
from codex_loop_assets.discovery.state import ClusterState
from codex_loop_assets.settings import section
from codex_loop_assets_tests.discovery.stream import START, Stream, Theme, stream

SETTINGS = section("discovery")
THEMES = (
    Theme("lockfile", 3),
    Theme("network", 3),
    Theme("late", 3, first=12),
    Theme("dying", 3, last=9),
    Theme("left", 2, centre=10, moves_to=11, moves_on=14),
    Theme("right", 2, centre=11),
    Theme("whole", 3, centre=12),
    Theme("part", 3, centre=12, moves_to=13, moves_on=10),
)


@cache
def labelled() -> Stream:
    return stream(THEMES, 30, spread=0.4)


@cache
def walked() -> tuple[ClusterState, ...]:
    return tuple(walk(labelled().signals, 30))


class Numbers:
    """Names that cost nothing."""

    def label(self, stale, rows, facts) -> None:
        for row in stale:
            row |= {"label": f"{row['size']} signals", "label_from": "local", "terms": []}


def step(state, day, signals, newest=None, recorded=None, vectors=None):
    given = {"newest": newest, "recorded": recorded, "labeller": Numbers(), "embedding_model": "test/64"}
    return advance(state, day, signals, labelled().vectors if vectors is None else vectors, SETTINGS, **given)


def walk(signals, days):
    state = None
    for number in range(days):
        state = step(state, START + timedelta(number), signals, newest=state)
        yield state


def same(one: ClusterState, other: ClusterState) -> None:
    for name in ("clusters", "members", "events"):
        assert_frame_equal(getattr(one, name), getattr(other, name))


def test_planted_themes_are_found_again():
    members = walked()[-1].members
    stable = {"lockfile", "network", "late", "dying"}
    rows = [
        (labelled().truth[key], cluster or key)
        for key, cluster in members.select("signal_id", "cluster_id").iter_rows()
    ]
    rows = [row for row in rows if row[0] in stable]
    assert adjusted_rand_score([row[0] for row in rows], [row[1] for row in rows]) >= 0.9


def test_ids_stay_from_day_to_day_apart_from_recorded_merges_and_splits():
    churn = []
    for before, after in zip(walked()[10:-1], walked()[11:], strict=True):
        touched = set(after.events["cluster_id"]) | set(after.events["other_id"])
        both = before.members.drop_nulls("cluster_id").join(after.members.drop_nulls("cluster_id"), on="signal_id")
        moved = both.filter(
            (pl.col("cluster_id") != pl.col("cluster_id_right")) & ~pl.col("cluster_id").is_in(list(touched))
        )
        churn.append(moved.height / both.height)
    assert sum(churn) / len(churn) <= 0.03


def test_a_planted_split_is_in_the_lineage():
    members = dict(walked()[-1].members.select("signal_id", "cluster_id").iter_rows())
    events = pl.concat([state.events for state in walked()])
    new = {members[key] for key, theme in labelled().truth.items() if theme == "part" and key > "sig_000500"} - {None}
    assert new & set(events.filter(pl.col("kind").is_in(["split", "birth"]))["cluster_id"])


def test_a_dying_theme_keeps_its_cluster():
    state = walked()[-1]
    dying = {key for key, theme in labelled().truth.items() if theme == "dying"}
    held = state.members.filter(pl.col("signal_id").is_in(list(dying))).drop_nulls("cluster_id")
    assert held["cluster_id"].n_unique() == 1 and held.height >= 0.8 * len(dying)


def test_two_walks_over_the_same_days_give_the_same_bytes():
    same(list(walk(labelled().signals, 12))[-1], walked()[11])


def test_a_day_does_not_depend_on_the_order_of_its_signals():
    shuffled = labelled().signals.sample(fraction=1, shuffle=True, seed=3)
    same(step(walked()[14], walked()[15].day, shuffled), walked()[15])


def test_a_late_signal_joins_the_newest_day_and_changes_no_earlier_one():
    late = labelled().signals.filter(pl.col("dt") == START + timedelta(5)).head(2)["signal_id"].to_list()
    on_time = labelled().signals.filter(~pl.col("signal_id").is_in(late))
    states = list(walk(on_time, 12))
    newest = step(states[-1], START + timedelta(12), labelled().signals, newest=states[-1])
    assert newest.members.filter(pl.col("signal_id").is_in(late))["arrived"].unique().to_list() == [newest.day]
    for number in (5, 8, 11):
        again = step(states[number - 1], states[number].day, labelled().signals, newest=newest, recorded=states[number])
        same(again, states[number])


def test_rerunning_the_newest_day_takes_in_what_came_to_light_since():
    on_time = labelled().signals.filter(pl.col("signal_id") != "sig_000004")
    states = list(walk(on_time, 8))
    again = step(states[6], states[7].day, labelled().signals, newest=states[7])
    assert again.members.filter(pl.col("signal_id") == "sig_000004")["arrived"].to_list() == [states[7].day]


def test_a_day_whose_signals_were_withdrawn_is_kept_as_recorded():
    member = walked()[8].members.drop_nulls("cluster_id")["signal_id"][0]
    fewer = labelled().signals.filter(pl.col("signal_id") != member)
    again = step(walked()[7], walked()[8].day, fewer, newest=walked()[20], recorded=walked()[8])
    same(again, walked()[8])
    assert "withdrawn" in again.messages[0]


def test_a_withdrawn_signal_leaves_its_cluster_but_not_the_record():
    member = walked()[8].members.drop_nulls("cluster_id")["signal_id"][0]
    fewer = labelled().signals.filter(pl.col("signal_id") != member)
    row = (
        step(walked()[8], START + timedelta(9), fewer).members.filter(pl.col("signal_id") == member).row(0, named=True)
    )
    assert (row["cluster_id"], row["via"]) == (None, "withdrawn")


def test_a_signal_that_comes_back_may_join_again():
    member = walked()[8].members.drop_nulls("cluster_id")["signal_id"][0]
    without = step(walked()[8], START + timedelta(9), labelled().signals.filter(pl.col("signal_id") != member))
    again = step(without, START + timedelta(10), labelled().signals)
    row = again.members.filter(pl.col("signal_id") == member).row(0, named=True)
    assert row["via"] != "withdrawn" and row["arrived"] == walked()[0].day


def test_an_old_day_is_not_made_anew_in_the_space_of_another_model():
    recorded = replace(walked()[8], clusters=walked()[8].clusters.with_columns(embedding_model=pl.lit("other/64")))
    again = step(walked()[7], walked()[8].day, labelled().signals, newest=walked()[20], recorded=recorded)
    same(again, recorded)
    assert "other/64" in again.messages[0]


def test_a_day_without_arrivals_changes_nothing_but_the_date():
    state = walked()[10]
    quiet = labelled().signals.filter(pl.col("dt") <= state.day)
    after = step(state, state.day + timedelta(7), quiet)
    assert_frame_equal(after.members.drop("dt"), state.members.drop("dt"))
    assert after.events.is_empty()


def test_fewer_than_five_signals_say_so():
    few = labelled().signals.head(4)
    state = step(None, START, few)
    assert "friction: need 5 signals, have 4" in state.messages
    assert state.clusters.is_empty() and state.members.height == 4


def test_a_signal_without_a_vector_waits():
    vectors = {key: value for key, value in labelled().vectors.items() if key != "sig_000000"}
    state = step(None, START, labelled().signals, vectors=vectors)
    assert "sig_000000" not in state.members["signal_id"]
    later = step(state, START + timedelta(1), labelled().signals)
    assert later.members.filter(pl.col("signal_id") == "sig_000000")["arrived"].to_list() == [START + timedelta(1)]


def test_no_signal_is_lost():
    taken = walked()[-1].members
    assert taken.height == labelled().signals.height
    assert taken.group_by("cluster_id").len().drop_nulls().sort("cluster_id").rows() == (
        walked()[-1]
        .clusters.filter(pl.col("status") == "live")
        .select("cluster_id", pl.col("size").cast(pl.get_index_type()))
        .sort("cluster_id")
        .rows()
    )


@pytest.mark.parametrize("copies", [5, 12])
def test_identical_texts_are_one_cluster(copies):
    signals = labelled().signals.head(copies)
    vector = labelled().vectors["sig_000000"]
    state = step(None, START + timedelta(40), signals, vectors=dict.fromkeys(signals["signal_id"], vector))
    assert state.members["cluster_id"].n_unique() == 1 and state.members["cluster_id"].null_count() == 0
