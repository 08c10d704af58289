"""Laws of the refresh of changed clusters from the command line."""

import pytest

from codex_loop_assets import stages
from codex_loop_assets.assets import tasks
from codex_loop_assets.cli.options import Problem
from codex_loop_assets.cli.refresh import refresh_clusters
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.resources.registry import stale_clusters
from codex_loop_assets_tests.conftest import write_rollout


@pytest.fixture
def two_clusters(home, codex_home):
    """A home in which failing builds are one cluster and complaints another; no ticket has been made yet."""
    for number in range(10, 20):
        write_rollout(
            codex_home,
            f"2026-03-{number - 8:02d}",
            number,
            [f"build module {number}", "the build still fails, same error as before"],
        )
    days = [f"2026-03-{day:02d}" for day in range(1, 12)]
    materialise(home, [*stages.INGEST, *stages.CANON, *stages.SIGNALS, *stages.DISCOVERY], days=days)
    materialise(home, stages.REGISTRY)
    return home


def test_a_cluster_that_fails_does_not_keep_the_others_from_their_ticket_and_is_named_without_its_secrets(
    two_clusters, monkeypatch
):
    stale = sorted(stale_clusters(two_clusters.lake))
    assert len(stale) >= 2
    distil, secret = tasks.distil_cluster, "ghp" + "_" + "a1B2c3D4e5" * 3 + "f6G7h8"

    def failing(cluster_id, *arguments, **options):
        if cluster_id == stale[0]:
            raise OSError(f"no space left for {secret}")
        return distil(cluster_id, *arguments, **options)

    complaint = f"1 of {len(stale)} clusters could not be refreshed:\n{stale[0]}: .*no space left"
    with monkeypatch.context() as broken, pytest.raises(Problem, match=complaint) as raised:
        broken.setattr(tasks, "distil_cluster", failing)
        refresh_clusters(two_clusters)
    assert secret not in raised.value.message
    assert two_clusters.lake.keys("tickets") == stale[1:]
    assert refresh_clusters(two_clusters) == stale[:1]
    assert refresh_clusters(two_clusters) == []
