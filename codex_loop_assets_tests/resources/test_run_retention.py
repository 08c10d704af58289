"""Laws of removing Dagster's old runs: what is made stays made, what is superseded goes with all its files."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.resources.instances import open_instance
from codex_loop_assets.resources.run_retention import drop_old_runs
from codex_loop_assets.settings import SettingsError

DAYS = dg.DailyPartitionsDefinition("2026-03-01")
SOON, LATER = timedelta(days=1), timedelta(days=100)


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def numbers(context) -> None:
    for day in context.partition_keys:
        context.add_asset_metadata({"day": day}, partition_key=day)


@dg.asset
def summary() -> None:
    """Of all days."""


@dg.asset
def broken() -> None:
    raise ValueError("no")


def run(instance, asset, first=None, last=None):
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last} if first else {}
    job = dg.Definitions(assets=[asset]).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, tags=tags, raise_on_error=False).run_id


def test_a_run_goes_when_later_ones_made_all_that_it_made(home):
    with open_instance() as instance:
        old = run(instance, numbers, "2026-03-02", "2026-03-04")
        half = run(instance, numbers, "2026-03-02", "2026-03-03")
        assert drop_old_runs(home, instance, datetime.now(UTC) + LATER) == 0  # The first still is the newest of 03-04.
        new = run(instance, numbers, "2026-03-02", "2026-03-04")
        once, again = run(instance, summary), run(instance, summary)
        failed = run(instance, broken)
        assert drop_old_runs(home, instance, datetime.now(UTC) + SOON) == 0
        assert drop_old_runs(home, instance, datetime.now(UTC) + LATER) == 4
        assert {left.run_id for left in instance.get_runs()} == {new, again}
        assert instance.get_materialized_partitions(dg.AssetKey("numbers")) == {f"2026-03-0{day}" for day in (2, 3, 4)}
        assert instance.get_latest_materialization_event(dg.AssetKey("summary")).run_id == again
    gone = (old, half, once, failed)
    assert not [path for path in home.dagster_home.rglob("*") if any(name in path.name for name in gone)]


def test_a_home_may_keep_every_run(home):
    home.config_path.write_text(home.config_path.read_text("utf-8") + "\n[retention]\nruns_kept_days = 0\n", "utf-8")
    with open_instance() as instance:
        run(instance, summary)
        run(instance, summary)
        assert drop_old_runs(home, instance, datetime.now(UTC) + LATER) == 0


def test_a_setting_that_is_no_number_of_days_is_refused(home):
    home.config_path.write_text(home.config_path.read_text("utf-8") + "\n[retention]\nruns_kept_days = -1\n", "utf-8")
    with open_instance() as instance, pytest.raises(SettingsError, match="runs_kept_days"):
        drop_old_runs(home, instance, datetime.now(UTC))


def test_the_retention_asset_says_how_many_runs_it_removed(home):
    materialise(home, ["retention"])
    with open_instance() as instance:
        said = instance.get_latest_materialization_event(dg.AssetKey("retention")).asset_materialization.metadata
    assert said["runs_removed"].value == 0
