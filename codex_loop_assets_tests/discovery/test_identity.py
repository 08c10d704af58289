"""Laws of identity: who takes over which cluster when groups are fitted anew."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_loop_assets.discovery.identity import commit, founding_id, join
from codex_loop_assets.settings import section

SETTINGS = section("discovery")["clusters"]


def ids(count: int) -> list[str]:
    return [f"sig_{number:03d}" for number in range(count)]


def test_a_cluster_that_doubled_overnight_is_still_itself():
    outcome = commit(ids(12), "friction", ["a"] * 5 + [None] * 7, np.zeros(12, int), SETTINGS)
    assert set(outcome.clusters) == {"a"} and outcome.events == []


def test_two_clusters_in_one_group_merge_into_the_better_match():
    outcome = commit(ids(15), "friction", ["a"] * 9 + ["b"] * 6, np.zeros(15, int), SETTINGS)
    assert set(outcome.clusters) == {"a"}
    (event,) = outcome.events
    assert (event.kind, event.cluster_id, event.other_id, event.overlap, event.size) == ("merge", "b", "a", 1.0, 6)


def test_a_cluster_in_two_groups_splits_and_the_greater_part_keeps_the_id():
    outcome = commit(ids(14), "friction", ["a"] * 14, np.array([0] * 8 + [1] * 6), SETTINGS)
    child = founding_id("friction", ids(14)[8:])
    assert outcome.clusters == ["a"] * 8 + [child] * 6
    assert [(event.kind, event.cluster_id, event.other_id) for event in outcome.events] == [("split", child, "a")]


def test_a_cluster_that_has_just_merged_is_not_taken_apart_and_takes_in_what_is_new():
    clusters, fitted = ["a"] * 14 + [None], np.array([0] * 8 + [1] * 7)
    outcome = commit(ids(15), "friction", clusters, fitted, SETTINGS, whole={"a"})
    assert outcome.clusters == ["a"] * 15 and outcome.events == []


def test_points_at_the_edge_of_a_cluster_of_which_the_fit_shows_some_join_it_and_found_none():
    """Of a large cluster the fit takes some members, of the new points all: beside two that stand for forty, six new ones
    founded a double of it."""
    clusters, fitted = ["a"] * 10 + [None] * 6, np.array([0] * 8 + [1] * 8)
    joined = join(ids(16), "friction", clusters, fitted, 5, stands_for={"a": 20.0})
    committed = commit(ids(16), "friction", clusters, fitted, SETTINGS, stands_for={"a": 20.0})
    assert joined.clusters == committed.clusters == ["a"] * 16 and joined.events == committed.events == []
    assert [event.kind for event in join(ids(16), "friction", clusters, fitted, 5).events] == ["birth"]
    assert [event.kind for event in commit(ids(16), "friction", clusters, fitted, SETTINGS).events] == ["birth"]


def test_a_point_that_became_noise_keeps_its_cluster():
    outcome = commit(ids(8), "friction", ["a"] * 8, np.array([0] * 6 + [-1] * 2), SETTINGS)
    assert outcome.clusters == ["a"] * 8


def test_a_cluster_scattered_over_others_dissolves():
    clusters = ["a"] * 6 + ["b"] * 9 + ["c"] * 9 + ["d"] * 9
    fitted = np.array([0, 0, 1, 1, 2, 2] + [0] * 9 + [1] * 9 + [2] * 9)
    outcome = commit(ids(33), "friction", clusters, fitted, SETTINGS)
    assert "a" not in outcome.clusters
    assert ("dissolve", "a") in [(event.kind, event.cluster_id) for event in outcome.events]


def test_a_cluster_the_fit_saw_little_of_is_left_alone():
    clusters = ["old"] * 10 + ["a"] * 8
    fitted = np.array([-2] * 10 + [0] * 8)
    assert commit(ids(18), "friction", clusters, fitted, SETTINGS).clusters == clusters


def test_on_other_days_nobody_moves_but_new_points_join_and_found():
    clusters = ["a"] * 6 + ["b"] * 6 + [None] * 8
    fitted = np.array([0] * 6 + [0] * 6 + [0] * 2 + [1] * 6)
    outcome = join(ids(20), "friction", clusters, fitted, 5)
    assert outcome.clusters[:12] == clusters[:12]
    assert outcome.clusters[12:14] == ["b"] * 2
    assert [event.kind for event in outcome.events] == ["birth"] and outcome.clusters[14] == founding_id(
        "friction", ids(20)[14:]
    )


def test_an_id_depends_on_its_founders_alone():
    assert founding_id("friction", ["b", "a"]) == founding_id("friction", ["a", "b"])
    assert founding_id("friction", ["a", "b"]) != founding_id("delight", ["a", "b"])


GROUPING = st.lists(st.tuples(st.sampled_from([None, "a", "b", "c"]), st.integers(-2, 4)), min_size=1, max_size=60)


@settings(deadline=None)
@given(GROUPING)
def test_what_stays_whole_is_split_by_no_fit(points):
    clusters, fitted = [cluster for cluster, _ in points], np.array([group for _, group in points])
    outcome = commit(ids(len(points)), "friction", clusters, fitted, SETTINGS, whole={"a", "b", "c"})
    assert "split" not in {event.kind for event in outcome.events}


@settings(deadline=None)
@given(GROUPING)
def test_every_cluster_that_vanishes_has_an_event_and_every_new_one_too(points):
    before = [cluster for cluster, _ in points]
    outcome = commit(ids(len(points)), "friction", before, np.array([label for _, label in points]), SETTINGS)
    gone, new = set(before) - set(outcome.clusters) - {None}, set(outcome.clusters) - set(before) - {None}
    ended = {event.cluster_id for event in outcome.events if event.kind in ("merge", "dissolve")}
    begun = {event.cluster_id for event in outcome.events if event.kind in ("birth", "split")}
    assert gone <= ended and new == begun
    assert all(event.other_id in set(outcome.clusters) for event in outcome.events if event.kind == "merge")


@settings(deadline=None)
@given(GROUPING)
def test_without_commit_no_point_ever_changes_its_cluster(points):
    before = [cluster for cluster, _ in points]
    outcome = join(ids(len(points)), "friction", before, np.array([label for _, label in points]), 5)
    assert all(old is None or old == new for old, new in zip(before, outcome.clusters, strict=True))
